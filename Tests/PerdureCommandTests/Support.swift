import Foundation
import Logging
import PerdureEngine
import Postgres
import TestSupport
import Testing

/// An empty database of one test's own.
struct EmptyDatabase: Sendable {
    let name: String
    let url: String
    var configuration: PostgresConfiguration { PostgresConfiguration(url) }

    /// - Parameter owner: the role that owns it and connects; made for the test, and no superuser.
    static func with<T>(ownedBy owner: String? = nil, _ body: (EmptyDatabase) async throws -> T) async throws -> T {
        try await withDatabase("perdure_command", owner.map { "owner \($0)" } ?? "") { name in
            try await body(EmptyDatabase(name: name, url: databaseURL(name, user: owner)))
        }
    }

    func migrator(root: URL = checkout) -> Migrator {
        Migrator(root: root, configuration: configuration, logger: quiet)
    }

    func connected<T>(
        as user: String? = nil, isolation: isolated (any Actor)? = #isolation,
        _ body: (PostgresConnection) async throws -> sending T
    ) async throws -> sending T {
        let configuration = user.map { PostgresConfiguration(databaseURL(name, user: $0)) } ?? self.configuration
        let connection = try await PostgresConnection.connect(configuration, logger: quiet)
        do {
            let value = try await body(connection)
            await connection.close()
            return value
        } catch {
            await connection.close()
            throw error
        }
    }
}

/// The command line, as it is built beside the tests.
func perdure(
    _ arguments: [String], database: EmptyDatabase? = nil, environment: [String: String] = [:]
) async throws -> Outcome {
    try await outcome(
        of: try builtProgram("perdure").path, arguments,
        environment: ["DATABASE_URL": database?.url ?? ""].merging(environment) { $1 })
}
