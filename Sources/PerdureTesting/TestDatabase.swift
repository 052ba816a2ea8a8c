import Foundation
public import Logging
public import Postgres

/// A database of its own for a test or a suite, with the engine in it; dropped when the test is over.
///
/// The server is the one that `PERDURE_TEST_DATABASE_URL` names, whose role must be allowed to create databases.
/// Without that variable it is a server of this process's own, made of the PostgreSQL that is installed here, which
/// ends with the process.
public struct TestDatabase: Sendable {
    public let name: String
    public let configuration: PostgresConfiguration
    /// Connections to it. Closed by ``drop()``.
    public let pool: PostgresPool
    private let server: PostgresConfiguration

    /// Makes a database, with migrations and functions applied.
    ///
    /// - Parameter server: where; `PERDURE_TEST_DATABASE_URL` or a server of this process's own by default.
    public static func create(
        server url: String? = nil, maximumConnections: Int = 8, logger: Logger = Logger(label: "test")
    ) async throws -> TestDatabase {
        try await create(on: server(url), maximumConnections, logger)
    }

    /// - Parameter sessionOptions: what each session sets, as `-c name=value`.
    static func create(
        on server: PostgresConfiguration, _ maximumConnections: Int, sessionOptions: String? = nil, _ logger: Logger
    ) async throws -> TestDatabase {
        let name = "perdure_test_\(UUID().uuidString.prefix(13).lowercased().replacing("-", with: "_"))"
        try await copyTemplate(to: name, server, logger)
        var configuration = server
        configuration.database = name
        configuration.sessionOptions = sessionOptions
        return TestDatabase(
            name: name, configuration: configuration,
            pool: PostgresPool(configuration, maximumConnections: maximumConnections, logger: logger), server: server)
    }

    static func server(_ url: String? = nil) async throws -> PostgresConfiguration {
        let environment = ProcessInfo.processInfo.environment["PERDURE_TEST_DATABASE_URL"]
        if let url = url ?? environment, !url.isEmpty { return PostgresConfiguration(url) }
        return try await PrivateCluster.running().configuration
    }

    private static func copyTemplate(
        to name: String, _ server: PostgresConfiguration, _ logger: Logger
    ) async throws {
        func copy() async throws {
            let template = try await DatabaseTemplates.shared.template(on: server, logger)
            try await withConnection(server, logger) {
                try await $0.simpleQuery("create database \(name) template \(template)")
            }
        }
        do {
            try await copy()
        } catch let error as PostgresError where error.sqlState == "3D000" {
            // Somebody has dropped it.
            await DatabaseTemplates.shared.forget(on: server)
            try await copy()
        }
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
        try await withConnection(server, Logger(label: "test")) {
            try await $0.simpleQuery("drop database if exists \(name) with (force)")
        }
    }
}
