import Foundation
import Logging
import PerdureEngine
import Postgres
import Testing

let serverURL =
    ProcessInfo.processInfo.environment["PERDURE_TEST_DATABASE_URL"]
    ?? "postgresql://postgres@127.0.0.1:55432/postgres"
let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// The root of this checkout.
let checkout = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

/// An empty database of one test's own.
struct EmptyDatabase: Sendable {
    let name: String
    let url: String
    var configuration: PostgresConfiguration { PostgresConfiguration(url) }

    /// - Parameter owner: the role that owns it and connects; made for the test, and no superuser.
    static func with<T>(ownedBy owner: String? = nil, _ body: (EmptyDatabase) async throws -> T) async throws -> T {
        let name = "perdure_command_\(UUID().uuidString.prefix(13).lowercased().replacing("-", with: "_"))"
        try await administer("create database \(name)\(owner.map { " owner \($0)" } ?? "")")
        let database = EmptyDatabase(name: name, url: url(name, user: owner))
        do {
            let value = try await body(database)
            try await administer("drop database \(name) with (force)")
            return value
        } catch {
            try? await administer("drop database \(name) with (force)")
            throw error
        }
    }

    static func url(_ database: String, user: String? = nil) -> String {
        var url = URLComponents(string: serverURL)!
        url.path = "/\(database)"
        if let user { url.user = user }
        return url.string!
    }

    func migrator(root: URL = checkout) -> Migrator {
        Migrator(root: root, configuration: configuration, logger: quiet)
    }

    func connected<T>(
        as user: String? = nil, isolation: isolated (any Actor)? = #isolation,
        _ body: (PostgresConnection) async throws -> sending T
    ) async throws -> sending T {
        let configuration = user.map { PostgresConfiguration(Self.url(name, user: $0)) } ?? self.configuration
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

func administer(_ sql: String) async throws {
    let connection = try await PostgresConnection.connect(PostgresConfiguration(serverURL), logger: quiet)
    do {
        try await connection.simpleQuery(sql)
    } catch {
        await connection.close()
        throw error
    }
    await connection.close()
}

/// What a program wrote, and how it ended.
struct Outcome: Sendable {
    let status: Int32
    let output: String
    let errors: String
}

/// Runs a program to its end without holding a cooperative thread.
func run(_ program: String, _ arguments: [String], _ environment: [String: String] = [:]) async throws -> Outcome {
    let process = Process()
    process.executableURL = URL(filePath: program)
    process.arguments = arguments
    process.currentDirectoryURL = checkout
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    process.standardInput = FileHandle.nullDevice
    let folder = FileManager.default.temporaryDirectory.appending(path: "perdure-run-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let (out, err) = (folder.appending(path: "out"), folder.appending(path: "err"))
    for file in [out, err] { _ = FileManager.default.createFile(atPath: file.path, contents: nil) }
    process.standardOutput = try FileHandle(forWritingTo: out)
    process.standardError = try FileHandle(forWritingTo: err)
    let status = try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Int32, any Error>) in
        process.terminationHandler = { continuation.resume(returning: $0.terminationStatus) }
        do {
            try process.run()
        } catch {
            continuation.resume(throwing: error)
        }
    }
    return Outcome(
        status: status, output: try String(contentsOf: out, encoding: .utf8),
        errors: try String(contentsOf: err, encoding: .utf8))
}

/// The command line, as it is built beside the tests.
func perdure(
    _ arguments: [String], database: EmptyDatabase? = nil, environment: [String: String] = [:]
) async throws -> Outcome {
    let beside = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent().appending(path: "perdure")
    let program = [beside, checkout.appending(path: ".build/debug/perdure")]
        .first { FileManager.default.isExecutableFile(atPath: $0.path) }
    return try await run(
        try #require(program, "swift build --product perdure").path, arguments,
        ["DATABASE_URL": database?.url ?? ""].merging(environment) { $1 })
}
