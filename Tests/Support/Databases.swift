public import Foundation
public import Logging
import Postgres

/// The server that the tests use: `PERDURE_TEST_DATABASE_URL`, as a superuser.
public let serverURL =
    ProcessInfo.processInfo.environment["PERDURE_TEST_DATABASE_URL"]
    ?? "postgresql://postgres@127.0.0.1:55432/postgres"

/// Says nothing.
public let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// The root of this checkout.
public let checkout = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

/// Where a database of the tests' server is.
public func databaseURL(_ database: String, user: String? = nil) -> String {
    var url = URLComponents(string: serverURL)!
    url.path = "/\(database)"
    if let user { url.user = user }
    return url.string!
}

/// Runs commands on the server's own database.
public func administer(_ sql: String) async throws {
    let connection = try await PostgresConnection.connect(PostgresConfiguration(serverURL), logger: quiet)
    let result: Result<Void, any Error>
    do { result = .success(try await connection.simpleQuery(sql)) } catch { result = .failure(error) }
    await connection.close()
    try result.get()
}

/// Makes a database, runs the body with its name, drops it.
///
/// - Parameter options: what follows `create database name`.
public func withDatabase<T>(
    _ prefix: String, _ options: String = "", _ body: (_ name: String) async throws -> T
) async throws -> T {
    let name = "\(prefix)_\(UUID().uuidString.lowercased().prefix(13).replacing("-", with: "_"))"
    try await administer("create database \(name) \(options)")
    let result: Result<T, any Error>
    do { result = .success(try await body(name)) } catch { result = .failure(error) }
    try await administer("drop database if exists \(name) with (force)")
    return try result.get()
}

/// A program of this package, as it is built beside the tests.
public func builtProgram(_ name: String) throws -> URL {
    let places = [
        URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent(), checkout.appending(path: ".build/debug"),
    ]
    guard
        let program = places.map({ $0.appending(path: name) }).first(where: {
            FileManager.default.isExecutableFile(atPath: $0.path)
        })
    else { throw NotBuilt(description: "there is no \(name): swift build --product \(name)") }
    return program
}

struct NotBuilt: Error, CustomStringConvertible { let description: String }
