import Foundation
import TestSupport
import Testing

/// A real bank worker, in a process of its own that can be killed.
struct WorkerProcess: Sendable {
    private let process: RunningProcess

    /// - Parameters:
    ///   - lease: after how many seconds of silence others take over what it held.
    ///   - bug: what `PERDURE_BANK_BUG` ships.
    init(
        database: BankDatabase, accountAPI: String, lease: Double = 1, timeout: Double = 2, bug: String = "",
        build: String = ""
    ) throws {
        process = try RunningProcess(
            try builtProgram("bank-worker"),
            environment: [
                "DATABASE_URL": database.url, "ACCOUNT_API_URL": accountAPI, "PERDURE_TASK_QUEUE": "bank",
                "PERDURE_LEASE_SECONDS": "\(lease)", "ACCOUNT_API_TIMEOUT_SECONDS": "\(timeout)",
                "PERDURE_BANK_BUG": bug, "PERDURE_BUILD_ID": build, "LOG_LEVEL": bug.isEmpty ? "warning" : "critical",
            ])
    }

    /// `kill -9`: nothing is handed back, nothing is finished.
    func kill() async {
        process.send(SIGKILL)
        await process.waitUntilExit()
    }

    /// Lets it finish what it holds. Returns its exit status.
    func stop() async -> Int32 {
        process.send(SIGTERM)
        return await process.waitUntilExit()
    }
}

/// Runs the body with workers, which are killed afterwards whatever happens.
func withWorkers<T>(
    _ count: Int, database: BankDatabase, accountAPI: String, timeout: Double = 2, bug: String = "",
    build: String = "", _ body: ([WorkerProcess]) async throws -> T
) async throws -> T {
    let workers = try (0..<count).map { _ in
        try WorkerProcess(database: database, accountAPI: accountAPI, timeout: timeout, bug: bug, build: build)
    }
    let result: Result<T, any Error>
    do { result = .success(try await body(workers)) } catch { result = .failure(error) }
    for worker in workers { await worker.kill() }
    return try result.get()
}
