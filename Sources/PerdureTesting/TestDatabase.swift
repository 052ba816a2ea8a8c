public import Foundation
public import Logging
public import Postgres

/// A database of its own for a test or a suite, with the engine in it; dropped when the test is over.
///
/// The server is the one that `PERDURE_TEST_DATABASE_URL` names, by default
/// `postgresql://postgres@127.0.0.1:55432/postgres`; the role must be allowed to create databases.
public struct TestDatabase: Sendable {
    public let name: String
    public let configuration: PostgresConfiguration
    /// Connections to it. Closed by ``drop()``.
    public let pool: PostgresPool
    private let server: PostgresConfiguration

    /// Makes a database, with migrations and functions applied.
    ///
    /// - Parameters:
    ///   - server: a URL; the environment's by default.
    ///   - includes: which of the package's SQL is applied, by path; all of the engine's by default.
    public static func create(
        server url: String? = nil, maximumConnections: Int = 8, logger: Logger = Logger(label: "test"),
        applying includes: (String) -> Bool = { !$0.contains("bank") && !$0.contains("inspect") }
    ) async throws -> TestDatabase {
        let url =
            url ?? ProcessInfo.processInfo.environment["PERDURE_TEST_DATABASE_URL"]
            ?? "postgresql://postgres@127.0.0.1:55432/postgres"
        let name = "perdure_test_\(UUID().uuidString.prefix(13).lowercased().replacing("-", with: "_"))"
        let server = PostgresConfiguration(url)
        guard var components = URLComponents(string: url) else {
            throw PostgresError(.connection, "PERDURE_TEST_DATABASE_URL is not a URL")
        }
        components.path = "/\(name)"
        let configuration = PostgresConfiguration(components.string ?? url)

        let admin = try await PostgresConnection.connect(server, logger: logger)
        do {
            try await admin.simpleQuery("create database \(name)")
        } catch {
            await admin.close()
            throw error
        }
        await admin.close()
        let database = TestDatabase(
            name: name, configuration: configuration,
            pool: PostgresPool(configuration, maximumConnections: maximumConnections, logger: logger), server: server)
        do {
            try await database.apply(sqlFiles().filter { includes($0.path) }, logger)
            return database
        } catch {
            try? await database.drop()
            throw error
        }
    }

    private func apply(_ files: [URL], _ logger: Logger) async throws {
        let connection = try await PostgresConnection.connect(configuration, logger: logger)
        do {
            for file in files {
                do {
                    try await connection.simpleQuery(String(contentsOf: file, encoding: .utf8))
                } catch let error as PostgresError {
                    throw PostgresError(
                        error.kind, "\(file.lastPathComponent): \(error.message)", sqlState: error.sqlState,
                        detail: error.detail, hint: error.hint)
                }
            }
        } catch {
            await connection.close()
            throw error
        }
        await connection.close()
    }

    /// Runs a body with a database that is dropped afterwards.
    public static func with<Value>(
        maximumConnections: Int = 8, _ body: (TestDatabase) async throws -> Value
    ) async throws -> Value {
        let database = try await create(maximumConnections: maximumConnections)
        do {
            let value = try await body(database)
            try await database.drop()
            return value
        } catch {
            try? await database.drop()
            throw error
        }
    }

    /// Ends every connection to the database and drops it.
    public func drop() async throws {
        await pool.close()
        let admin = try await PostgresConnection.connect(server, logger: Logger(label: "test"))
        do {
            try await admin.simpleQuery("drop database if exists \(name) with (force)")
        } catch {
            await admin.close()
            throw error
        }
        await admin.close()
    }

    /// Migrations, then functions, then views, each in the order of their names.
    private static func sqlFiles() throws -> [URL] {
        let root = packageRoot
        return try ["migrations", "sql/engine", "sql/views"].flatMap { folder in
            try FileManager.default
                .contentsOfDirectory(at: root.appending(path: folder), includingPropertiesForKeys: nil)
                .filter { $0.pathExtension == "sql" }
                .sorted { $0.lastPathComponent < $1.lastPathComponent }
        }
    }

    /// The checkout that this file was built from, or `PERDURE_PACKAGE_ROOT`.
    static var packageRoot: URL {
        if let path = ProcessInfo.processInfo.environment["PERDURE_PACKAGE_ROOT"] { return URL(filePath: path) }
        return URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
    }
}
