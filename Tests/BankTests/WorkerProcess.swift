import Foundation
import Testing

/// A process of another program. Nothing here blocks a thread: tests share a few with the servers that they start.
final class RunningProcess: Sendable {
    let identifier: Int32
    private let end: Task<Int32, Never>

    /// - Parameter output: where it writes; the tests' own output by default.
    init(
        _ program: URL, _ arguments: [String] = [], environment: [String: String] = [:], output: FileHandle? = nil
    ) throws {
        let process = Process()
        process.executableURL = program
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.currentDirectoryURL = URL(filePath: "/")
        if let output {
            process.standardOutput = output
            process.standardError = output
        }
        let (ends, continuation) = AsyncStream.makeStream(of: Int32.self)
        process.terminationHandler = {
            continuation.yield($0.terminationStatus)
            continuation.finish()
        }
        try process.run()
        identifier = process.processIdentifier
        end = Task { await ends.first { _ in true } ?? -1 }
    }

    /// Its exit status, or the signal that ended it.
    @discardableResult
    func waitUntilExit() async -> Int32 { await end.value }

    func send(_ signal: Int32) { kill(identifier, signal) }

    /// Runs a program to its end, and returns what it wrote. Fails the test if it fails.
    @discardableResult
    static func run(_ program: String, _ arguments: [String]) async throws -> String {
        // A file, because a server that the program starts inherits it and would keep a pipe open.
        let output = FileManager.default.temporaryDirectory.appending(path: "bank-\(UUID().uuidString)")
        _ = FileManager.default.createFile(atPath: output.path, contents: nil)
        defer { try? FileManager.default.removeItem(at: output) }
        let process = try RunningProcess(
            URL(filePath: "/usr/bin/env"), [program] + arguments, output: try FileHandle(forWritingTo: output))
        let status = await process.waitUntilExit()
        let text = try String(contentsOf: output, encoding: .utf8)
        try #require(status == 0, "\(program) failed: \(text)")
        return text
    }
}

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
        try #require(
            FileManager.default.isExecutableFile(atPath: Self.program.path),
            "there is no \(Self.program.path): swift build --product bank-worker")
        process = try RunningProcess(
            Self.program,
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

    /// Beside the tests, where the build puts it.
    static let program: URL = {
        let name = "bank-worker"
        let candidates =
            [URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()]
            + [BankDatabase.root.appending(path: ".build/debug")]
        return candidates.map { $0.appending(path: name) }
            .first { FileManager.default.isExecutableFile(atPath: $0.path) } ?? candidates[1].appending(path: name)
    }()
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
