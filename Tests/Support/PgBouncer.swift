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
        try await runAsServer(try #require(program), ["-q", "-d", folder.path + "/pgbouncer.ini"])
        func stop() throws {
            let text = try String(contentsOf: folder.appending(path: "pid"), encoding: .utf8)
            kill(try #require(Int32(text.trimmingCharacters(in: .whitespacesAndNewlines))), SIGKILL)
        }
        do {
            let url = "postgresql://\(user)@127.0.0.1:\(port)/\(database)"
            try await eventually("PgBouncer answers") {
                guard
                    let connection = try? await PostgresConnection.connect(
                        PostgresConfiguration(url), logger: Logger(label: "test"))
                else { return false }
                await connection.close()
                return true
            }
            try await body(url)
            try stop()
        } catch {
            try? stop()
            throw error
        }
    }
}
