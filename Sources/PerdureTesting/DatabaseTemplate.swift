import Foundation
import Logging
import PerdureEngine
import Postgres

/// A database with the engine in it, of which those of tests are copies: to copy one takes a tenth of the time that it
/// takes to make one. It stays on the server for the next tests, under the name of what is in it.
actor DatabaseTemplates {
    static let shared = DatabaseTemplates()

    private var made: [String: Task<String, any Error>] = [:]

    /// The name of the template on a server, made if it is not there.
    func template(on server: PostgresConfiguration, _ logger: Logger) async throws -> String {
        let place = server.description
        if let task = made[place] { return try await task.value }
        let task = Task { try await Self.make(on: server, logger) }
        made[place] = task
        do {
            return try await task.value
        } catch {
            made[place] = nil
            throw error
        }
    }

    /// It was dropped on the server.
    func forget(on server: PostgresConfiguration) { made[server.description] = nil }

    private static func make(on server: PostgresConfiguration, _ logger: Logger) async throws -> String {
        let root = checkout
        let files = try Migrator.files(root: root)
        return try await withConnection(server, logger) { admin in
            // Other processes make it too.
            try await admin.query("select pg_advisory_lock(hashtext('perdure.template'))")
            let checksum = try await admin.query(
                "select left(encode(sha256(\([UInt8](files.joined().utf8))), 'hex'), 16)")[0].decode(String.self, at: 0)
            let name = "perdure_template_\(checksum)"
            let known = try await admin.query(
                "select shobj_description(oid, 'pg_database') from pg_database where datname = \(name)"
            ).first?.decode(String?.self, at: 0)
            if known?.hasPrefix(readySince) == true { return name }
            try await admin.simpleQuery("drop database if exists \(name) with (force)")
            try await admin.simpleQuery("create database \(name)")
            var configuration = server
            configuration.database = name
            try await Migrator(root: root, configuration: configuration, logger: logger).migrate()
            try await dropOld(but: name, admin)
            try await admin.simpleQuery("alter database \(name) with allow_connections false")
            let now = try await admin.query("select clock_timestamp()::date::text")[0].decode(String.self, at: 0)
            try await admin.simpleQuery("comment on database \(name) is '\(readySince)\(now)'")
            return name
        }
    }

    private static let readySince = "A template of databases for tests of Perdure, since "

    /// Those of other versions that are older than a week.
    private static func dropOld(but name: String, _ admin: PostgresConnection) async throws {
        let old = try await admin.query(
            """
            select d.datname::text from pg_database d
            where d.datname like 'perdure\\_template\\_%' and d.datname <> \(name)
              and shobj_description(d.oid, 'pg_database') like \(readySince + "%")
              and right(shobj_description(d.oid, 'pg_database'), 10)::date < current_date - 7
            """)
        for row in old {
            let name = try row.decode(String.self, at: 0)
            try await admin.simpleQuery("drop database if exists \(name) with (force)")
        }
    }

    /// The checkout that this file was built from, if it is still there: its SQL may be newer than what is built in.
    private static let checkout: URL? = {
        let root =
            ProcessInfo.processInfo.environment["PERDURE_PACKAGE_ROOT"].map { URL(filePath: $0) }
            ?? URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return FileManager.default.fileExists(atPath: root.appending(path: "migrations/0001_engine.sql").path)
            ? root : nil
    }()
}

/// Runs a body with a connection that is closed afterwards.
func withConnection<Value: Sendable>(
    _ configuration: PostgresConfiguration, _ logger: Logger, _ body: (PostgresConnection) async throws -> Value
) async throws -> Value {
    let connection = try await PostgresConnection.connect(configuration, logger: logger)
    let result: Result<Value, any Error>
    do { result = .success(try await body(connection)) } catch { result = .failure(error) }
    await connection.close()
    return try result.get()
}
