import Bank
import Foundation
import Postgres
import Testing
import WebCommon

@testable import AccountAPI

/// A database server of the test's own, to be stopped the hard way.
struct PrivateCluster: Sendable {
    let folder: URL
    let port: Int
    var url: String { "postgresql://postgres@127.0.0.1:\(port)/postgres" }

    private static let programs = URL(
        filePath: (try? run("pg_config", ["--bindir"]))?.trimmingCharacters(in: .whitespacesAndNewlines) ?? "/usr/bin")

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "bank-cluster-\(UUID().uuidString.prefix(8))")
        port = try Self.freePort()
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        if geteuid() == 0 { _ = try Self.run("chown", ["postgres", folder.path]) }
        try asServer("initdb", ["-D", data, "-U", "postgres", "-A", "trust", "--no-sync"])
        try start()
    }

    private var data: String { folder.appending(path: "data").path }

    func start() throws {
        try asServer(
            "pg_ctl",
            [
                "-D", data, "-w", "-l", folder.appending(path: "log").path, "-o",
                "-p \(port) -k \(folder.path) -h 127.0.0.1", "start",
            ])
    }

    /// Every connection breaks, nothing is written out: the server recovers from its log when it starts.
    func crash() throws { try asServer("pg_ctl", ["-D", data, "-w", "-m", "immediate", "stop"]) }

    func remove() {
        try? crash()
        try? FileManager.default.removeItem(at: folder)
    }

    /// The server refuses to run as root.
    private func asServer(_ program: String, _ arguments: [String]) throws {
        let path = Self.programs.appending(path: program).path
        _ =
            geteuid() == 0
            ? try Self.run("runuser", ["-u", "postgres", "--", path] + arguments) : try Self.run(path, arguments)
    }

    @discardableResult
    private static func run(_ program: String, _ arguments: [String]) throws -> String {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = [program] + arguments
        process.currentDirectoryURL = URL(filePath: "/")
        // A file, because the server inherits it and would keep a pipe open.
        let output = FileManager.default.temporaryDirectory.appending(path: "bank-\(UUID().uuidString)")
        _ = FileManager.default.createFile(atPath: output.path, contents: nil)
        defer { try? FileManager.default.removeItem(at: output) }
        let handle = try FileHandle(forWritingTo: output)
        process.standardOutput = handle
        process.standardError = handle
        try process.run()
        process.waitUntilExit()
        let text = try String(contentsOf: output, encoding: .utf8)
        try #require(process.terminationStatus == 0, "\(program) failed: \(text)")
        return text
    }

    private static func freePort() throws -> Int {
        let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(socket) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let port = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(socket, address, length) == 0 && getsockname(socket, address, &length) == 0
            }
        }
        try #require(port, "no free port")
        return Int(UInt16(bigEndian: address.sin_port))
    }
}

@Suite(.serialized) struct CrashTests {
    /// Promise: an acknowledged start and every completion survive an immediate stop of the database.
    @Test func theDatabaseStopsAtOnceUnderLoad() async throws {
        let cluster = try PrivateCluster()
        defer { cluster.remove() }
        try BankDatabase.migrate(cluster.url)
        try await BankDatabase.open(cluster.url) { database in
            let routes = AccountRoutes(ledger: Ledger(database.pool))
            try await withServer(routes.router(settings: WebSettings(port: 0))) { url in
                let setting = TransferTests.Setting(database: database, accountAPI: url, gate: Gate())
                try await withWorkers(2, database: database, accountAPI: url) { _ in
                    var expected: [String: Int64] = [:]
                    var acknowledged: [String] = []
                    for number in 0..<60 {
                        let letters = Array("ABCDEFGHIJ")
                        let (from, to) = ("account_\(letters[number % 10])", "account_\(letters[(number + 3) % 10])")
                        let id = "t-\(number)"
                        try await startSurely { try await setting.start(from, to, Int64(number + 1), id: id) }
                        acknowledged.append(id)
                        expected[from, default: 0] -= Int64(number + 1)
                        expected[to, default: 0] += Int64(number + 1)
                        if number == 20 || number == 40 {
                            try cluster.crash()
                            try cluster.start()
                        }
                    }
                    try await setting.waitUntilAllHaveEnded(within: .seconds(120))
                    for id in acknowledged {
                        #expect(try await setting.transfer(id)["status"]?.string == "COMPLETED")
                    }
                    let audit = try await database.audit()
                    #expect(audit.isProven)
                    let opening = try await database.pool.query(
                        "select account_id, opening_cents from bank.accounts where kind = 'customer'")
                    for row in opening {
                        let account = try row.decode(String.self, at: 0)
                        #expect(
                            audit.balances[account] == (try row.decode(Int64.self, at: 1))
                                + expected[account, default: 0])
                    }
                }
            }
        }
    }

    /// Starts again until the start is acknowledged. The id makes that safe: a start that was made and not acknowledged
    /// is found as already running (PD002).
    private func startSurely(_ start: () async throws -> String) async throws {
        try await eventually("the database does not come back") {
            do {
                _ = try await start()
                return true
            } catch let error as PostgresError where error.sqlState == "PD002" {
                return true
            } catch let error as PostgresError where error.isRetryable {
                return false
            }
        }
    }
}
