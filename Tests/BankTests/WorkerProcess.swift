import Foundation
import Testing

/// A real bank worker, in a process of its own that can be killed.
final class WorkerProcess: Sendable {
    let identifier: Int32
    private let process: Process

    /// - Parameters:
    ///   - lease: after how many seconds of silence others take over what it held.
    init(database: BankDatabase, accountAPI: String, lease: Double = 1, timeout: Double = 2) throws {
        process = Process()
        process.executableURL = Self.program
        process.environment = ProcessInfo.processInfo.environment.merging([
            "DATABASE_URL": database.url, "ACCOUNT_API_URL": accountAPI, "PERDURE_TASK_QUEUE": "bank",
            "PERDURE_LEASE_SECONDS": "\(lease)", "ACCOUNT_API_TIMEOUT_SECONDS": "\(timeout)", "LOG_LEVEL": "warning",
        ]) { $1 }
        try #require(
            FileManager.default.isExecutableFile(atPath: Self.program.path),
            "there is no \(Self.program.path): swift build --product bank-worker")
        try process.run()
        identifier = process.processIdentifier
    }

    /// `kill -9`: nothing is handed back, nothing is finished.
    func kill() {
        Foundation.kill(identifier, SIGKILL)
        process.waitUntilExit()
    }

    /// Lets it finish what it holds.
    func stop() {
        process.terminate()
        process.waitUntilExit()
    }

    /// Beside the tests, where the build puts it.
    private static let program: URL = {
        let name = "bank-worker"
        let candidates =
            [URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()]
            + [BankDatabase.root.appending(path: ".build/debug")]
        return candidates.map { $0.appending(path: name) }
            .first { FileManager.default.isExecutableFile(atPath: $0.path) } ?? candidates[1].appending(path: name)
    }()
}

/// Runs the body with workers, which are stopped afterwards whatever happens.
func withWorkers<T>(
    _ count: Int, database: BankDatabase, accountAPI: String, timeout: Double = 2,
    _ body: ([WorkerProcess]) async throws -> T
) async throws -> T {
    let workers = try (0..<count).map { _ in
        try WorkerProcess(database: database, accountAPI: accountAPI, timeout: timeout)
    }
    defer { for worker in workers { worker.kill() } }
    return try await body(workers)
}
