import Foundation
import TestSupport
import Testing

@testable import Postgres

@Suite struct ConfigurationTests {
    @Test func `a URI and a list of keywords name the same server`() async throws {
        let url = try #require(URLComponents(string: serverURL))
        let keywords =
            "host=\(url.host ?? "") port=\(url.port ?? 5432) user=\(url.user ?? "postgres") dbname=postgres"
            + (url.password.map { " password=\($0)" } ?? "")
        for text in [serverURL, keywords] {
            let database = try await withConnection(PostgresConfiguration(text)) {
                try await $0.value("select current_database()::text", as: String.self)
            }
            #expect(database == "postgres")
        }
    }

    @Test func `DATABASE_URL wins over libpq's variables, which stand in for it`() {
        let url = PostgresConfiguration.fromEnvironment(["DATABASE_URL": "postgresql://a@h:1/b", "PGHOST": "other"])
        #expect(url.description == "host=h port=1 dbname=b user=a" || url.description.contains("host=h"))
        #expect(!url.description.contains("other"))
        let variables = PostgresConfiguration.fromEnvironment([
            "DATABASE_URL": "", "PGHOST": "h", "PGPORT": "7", "PGUSER": "o'hara \\ x", "PGDATABASE": "d e",
            "PGPASSWORD": "hunter2", "PGSSLMODE": "verify-full",
        ])
        let parsed = Dictionary(
            uniqueKeysWithValues: (variables.parsed() ?? []).compactMap { option in
                option.value.map { (option.keyword, $0) }
            })
        #expect(parsed["host"] == "h")
        #expect(parsed["port"] == "7")
        #expect(parsed["user"] == "o'hara \\ x")
        #expect(parsed["dbname"] == "d e")
        #expect(parsed["password"] == "hunter2")
        #expect(parsed["sslmode"] == "verify-full")
    }

    @Test func `prepared statements are turned off by a variable, for poolers`() {
        #expect(PostgresConfiguration.fromEnvironment([:]).preparedStatements)
        #expect(
            !PostgresConfiguration.fromEnvironment(["PERDURE_PREPARED_STATEMENTS": "off", "DATABASE_URL": "host=x"])
                .preparedStatements)
    }

    @Test func `a password is never shown`() async throws {
        for text in ["postgresql://u:hunter2@127.0.0.1:1/d", "host=127.0.0.1 port=1 user=u password=hunter2"] {
            let configuration = PostgresConfiguration(text)
            #expect(!configuration.description.contains("hunter2"))
            #expect(!"\(configuration)".contains("hunter2"))
            let error = try await postgresError { try await withConnection(configuration) { _ in } }
            #expect(error.kind == .connection)
            #expect(!"\(error)".contains("hunter2"))
        }
    }

    @Test(arguments: ["=hunter2", "hunter2", "postgresql://h/d?nonsense=hunter2"])
    func `what libpq cannot read is refused at once, without a trace of it`(text: String) async throws {
        let configuration = PostgresConfiguration(text)
        let start = ContinuousClock.now
        let error = try await postgresError { try await withPool(configuration) { _ = try await $0.query("select 1") } }
        #expect(ContinuousClock.now - start < .seconds(20), "the pool tried again what can never work")
        #expect(!error.isRetryable)
        #expect(error.hint?.contains("postgresql://") == true)
        #expect(!"\(error) \(configuration)".contains("hunter2"))
    }

    @Test func `the application's name is shown in pg_stat_activity`() async throws {
        var configuration = PostgresConfiguration(serverURL)
        let name = try await withConnection(configuration) {
            try await $0.value("select current_setting('application_name')", as: String.self)
        }
        #expect(name == "perdure")
        configuration.applicationName = "it's me"
        let mine = try await withConnection(configuration) {
            try await $0.value("select current_setting('application_name')", as: String.self)
        }
        #expect(mine == "it's me")
    }

    @Test func `a server that never answers is given up in time`() async throws {
        let deaf = try DeafServer()
        defer { deaf.close() }
        var configuration = PostgresConfiguration("postgresql://u@127.0.0.1:\(deaf.port)/d?sslmode=disable")
        configuration.connectTimeout = .milliseconds(200)
        for _ in 0..<20 {
            let error = try await postgresError { try await withConnection(configuration) { _ in } }
            #expect(error.kind == .connection)
            #expect(error.message.contains("within"))
        }
    }

    @Test func `cancelling the task gives up connecting`() async throws {
        let deaf = try DeafServer()
        defer { deaf.close() }
        var configuration = PostgresConfiguration("postgresql://u@127.0.0.1:\(deaf.port)/d?sslmode=disable")
        configuration.connectTimeout = .seconds(600)
        let task = Task { [configuration] in try await withConnection(configuration) { _ in } }
        try await eventually("it has begun to connect") { deaf.hasCaller }
        task.cancel()
        let error = try await postgresError { try await task.value }
        #expect(error.kind == .cancelled)
    }

    @Test func `a wrong password and an unknown database keep their SQLSTATE`() async throws {
        let url = try #require(URLComponents(string: serverURL))
        var other = url
        other.path = "/no_such_database"
        let error = try await postgresError {
            try await withConnection(PostgresConfiguration(other.string ?? "")) { _ in }
        }
        #expect(error.sqlState == "3D000")
        #expect(error.message.contains("no_such_database"))
        #expect(!error.message.contains("\n"))
        #expect(!error.isRetryable)
    }
}

/// Accepts connections (the kernel does) and says nothing.
struct DeafServer {
    let port: UInt16
    private let socket: Int32

    init() throws {
        let socket = streamSocket()
        self.socket = socket
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try #require(bound == 0 && listen(socket, 64) == 0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        _ = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(socket, $0, &length) }
        }
        port = UInt16(bigEndian: address.sin_port)
    }

    /// Lets one client in, waits for its first statement, and dies under it: its last words and the end of the
    /// connection come at once. Like a server that stops with something unread, as on a Unix-domain socket always.
    func acceptAndDie() async {
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async {
                let client = accept(socket, nil, nil)
                var buffer = [UInt8](repeating: 0, count: 4096)
                func message(_ type: Character, _ body: [UInt8]) -> [UInt8] {
                    [type.asciiValue!] + withUnsafeBytes(of: UInt32(body.count + 4).bigEndian, Array.init) + body
                }
                func write(_ bytes: [UInt8]) { _ = send(client, bytes, bytes.count, 0) }
                _ = recv(client, &buffer, buffer.count, 0)
                write(message("R", [0, 0, 0, 0]) + message("Z", Array("I".utf8)))
                _ = recv(client, &buffer, buffer.count, 0)
                // With no time to linger, closing resets the connection.
                var linger = linger(l_onoff: 1, l_linger: 0)
                setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout.size(ofValue: linger)))
                write(message("E", Array("SFATAL\0VFATAL\0C57P01\0Mlast words\0\0".utf8)))
                Foundation.close(client)
                continuation.resume()
            }
        }
    }

    /// Whether anybody waits to be let in.
    var hasCaller: Bool {
        var descriptor = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        return poll(&descriptor, 1, 0) == 1
    }

    func close() { Foundation.close(socket) }
}

#if canImport(Glibc)
    import Glibc
    private func streamSocket() -> Int32 { socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0) }
#else
    private func streamSocket() -> Int32 { socket(AF_INET, SOCK_STREAM, 0) }
#endif
