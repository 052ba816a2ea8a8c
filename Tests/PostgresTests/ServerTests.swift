import Foundation
import TestSupport
import Testing

@testable import Postgres

/// What needs a server of one's own.
@Suite struct ServerTests {
    @Test func `the pool comes back after the server does`() async throws {
        try await PrivateServer.with { server in
            try await withPool(
                PostgresConfiguration(server.url), maximumConnections: 3, acquireTimeout: .seconds(120)
            ) { pool async throws in
                try await withThrowingTaskGroup { group in
                    for _ in 0..<3 { group.addTask { _ = try await pool.query("select pg_sleep(0.05)") } }
                    try await group.waitForAll()
                }
                try await server.crash()
                // These wait for the server, and meet it when it is there again.
                let lost = Tally()
                try await withThrowingTaskGroup { group in
                    for number in 0..<10 {
                        group.addTask {
                            while true {
                                do {
                                    let rows = try await pool.query("select \(number)")
                                    #expect(rows.count == 1)
                                    return
                                } catch let error as PostgresError where error.isRetryable {
                                    lost.add()
                                }
                            }
                        }
                    }
                    try await eventually("they wait for it") { pool.waiting >= 7 }
                    try await server.start()
                    try await group.waitForAll()
                }
                #expect(lost.value < 1000, "it hammered the server instead of waiting")
            }
        }
    }

    @Test(.timeLimit(.minutes(5))) func `a statement learns that the server died under it`() async throws {
        let server = try DeafServer()
        defer { server.close() }
        let configuration = PostgresConfiguration("host=127.0.0.1 port=\(server.port) user=postgres sslmode=disable")
        for _ in 0..<50 {
            async let death: Void = server.acceptAndDie()
            try await withConnection(configuration) { connection in
                let error = try await postgresError { try await connection.query("select 1") }
                #expect(error.kind == .connection && error.isRetryable)
            }
            await death
        }
    }

    @Test(.enabled("the server is built with TLS") { try await PrivateServer.hasTLS })
    func `TLS by sslmode, with a certificate that is checked`() async throws {
        let prepare: (URL) async throws -> Void = { data in
            try await run(
                "/usr/bin/openssl",
                [
                    "req", "-new", "-x509", "-days", "2", "-nodes", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost", "-keyout", data.path + "/server.key", "-out",
                    data.path + "/server.crt",
                ])
            try await run("/bin/chmod", ["600", data.path + "/server.key"])
        }
        try await PrivateServer.with(settings: ["ssl = on"], prepare: prepare) { server in
            let certificate = server.folder.path + "/data/server.crt"
            func isEncrypted(_ options: String) async throws -> Bool {
                try await withConnection(
                    PostgresConfiguration("host=localhost port=\(server.port) user=postgres \(options)")
                ) {
                    try await $0.value("select ssl from pg_stat_ssl where pid = pg_backend_pid()", as: Bool.self)
                }
            }
            #expect(try await isEncrypted("sslmode=disable") == false)
            #expect(try await isEncrypted("sslmode=prefer"))
            #expect(try await isEncrypted("sslmode=require"))
            #expect(try await isEncrypted("sslmode=verify-full sslrootcert=\(certificate)"))
            // The certificate is for localhost, not for the address.
            let error = try await postgresError {
                try await withConnection(
                    PostgresConfiguration(
                        "host=127.0.0.1 port=\(server.port) user=postgres "
                            + "sslmode=verify-full sslrootcert=\(certificate)"
                    )
                ) { _ in }
            }
            #expect(error.message.contains("certificate"))
            // More than one record in both directions, and a pipeline, over TLS.
            try await withConnection(
                PostgresConfiguration("host=localhost port=\(server.port) user=postgres sslmode=require")
            ) { connection in
                let text = String(repeating: "t", count: 3_000_000)
                #expect(try await connection.value("select \(text)", as: String.self) == text)
                let results = try await connection.pipeline(
                    (0..<50).map { "select \($0), \(String(repeating: "u", count: 50_000))" })
                #expect(try results[49].get()[0].decode(Int.self, at: 0) == 49)
                let marker = "over TLS \(UUID())"
                let task = Task { try await connection.query("select pg_sleep(600) /* \(unescaped: marker) */") }
                try await untilActive(connection, marker, on: PostgresConfiguration(server.url))
                task.cancel()
                #expect(try await postgresError { _ = try await task.value }.kind == .cancelled)
            }
        }
    }

    @Test func `a server that is full is an error that can be repeated`() async throws {
        try await PrivateServer.with(settings: [
            "max_connections = 4", "superuser_reserved_connections = 0", "max_wal_senders = 0",
        ]) { server in
            let configuration = PostgresConfiguration(server.url)
            var held: [PostgresConnection] = []
            var refused: PostgresError?
            for _ in 0..<6 where refused == nil {
                do {
                    held.append(try await PostgresConnection.connect(configuration, logger: quiet))
                } catch let error as PostgresError {
                    refused = error
                }
            }
            #expect(held.count == 4)
            #expect(refused?.sqlState == "53300")
            #expect(refused?.isRetryable == true)
            for connection in held { await connection.close() }
        }
    }
}
