import Foundation
import Logging
import Postgres
import Testing

/// The pooler, on loopback and not as root, before the tests' server.
public enum PgBouncer {
    static let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].first(
        where: FileManager.default.isExecutableFile)
    public static var isInstalled: Bool { program != nil }

    /// - Parameter body: gets the URL of the database through a PgBouncer of its own, in transaction mode.
    public static func with(database: String = "postgres", _ body: (String) async throws -> Void) async throws {
        try await withPooler(database: database) { try await body($0.url) }
    }

    /// - Parameter body: gets a PgBouncer of its own before the database, in transaction mode.
    public static func withPooler(
        database: String = "postgres", _ body: (Pooler) async throws -> Void
    ) async throws {
        let server = try #require(URLComponents(string: serverURL))
        let port = try freePort()
        let folder = URL(filePath: "/tmp/perdure-pgbouncer-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let user = server.user ?? "postgres"
        try """
        [databases]
        \(database) = host=\(server.host ?? "127.0.0.1") port=\(server.port ?? 5432) dbname=\(database) user=\(user)\
        \(server.password.map { " password=\($0)" } ?? "")
        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = \(port)
        unix_socket_dir =
        auth_type = any
        pool_mode = transaction
        default_pool_size = 4
        logfile = \(folder.path)/log
        pidfile = \(folder.path)/pid
        ignore_startup_parameters = extra_float_digits
        """.write(to: folder.appending(path: "pgbouncer.ini"), atomically: true, encoding: .utf8)
        try await giveToServer(folder)
        let pooler = Pooler(url: "postgresql://\(user)@127.0.0.1:\(port)/\(database)", folder: folder)
        do {
            try await pooler.start()
            try await body(pooler)
            try await pooler.kill()
        } catch {
            try? await pooler.kill()
            throw error
        }
    }

    /// One PgBouncer, which can be killed and started again.
    public struct Pooler: Sendable {
        public let url: String
        fileprivate let folder: URL

        /// Starts it, and waits until it answers.
        public func start() async throws {
            // One that was killed leaves its file.
            try? FileManager.default.removeItem(at: folder.appending(path: "pid"))
            try await runAsServer(try #require(program), ["-q", "-d", folder.path + "/pgbouncer.ini"])
            do {
                try await eventually("PgBouncer answers") {
                    guard
                        let connection = try? await PostgresConnection.connect(
                            PostgresConfiguration(url), logger: Logger(label: "test"))
                    else { return false }
                    await connection.close()
                    return true
                }
            } catch {
                let log = try? String(contentsOf: folder.appending(path: "log"), encoding: .utf8)
                Issue.record("PgBouncer wrote: \(log?.suffix(2000) ?? "nothing")")
                throw error
            }
        }

        /// Whatever goes through it at this moment is cut. Then it is gone, and its port is free for the next.
        public func kill() async throws {
            let text = try String(contentsOf: folder.appending(path: "pid"), encoding: .utf8)
            let pid = try #require(Int32(text.trimmingCharacters(in: .whitespacesAndNewlines)))
            Foundation.kill(pid, SIGKILL)
            try await eventually("PgBouncer is gone") {
                // What nobody has waited for yet is a zombie, whose sockets are closed.
                (try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8))?.contains(") Z ") ?? true
            }
        }
    }
}
