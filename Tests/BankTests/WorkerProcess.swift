import Foundation
import Testing

/// A process of another program. Nothing here blocks a thread that tests share: they share a few with the servers that they
/// start.
///
/// Not Foundation's Process: that takes a process for running as long as anybody holds a descriptor that it made, and a
/// server that another test starts at the same moment inherits them all.
final class RunningProcess: Sendable {
    let identifier: pid_t
    private let end: Task<Int32, Never>

    /// - Parameter output: where it writes; the tests' own output by default.
    init(
        _ program: URL, _ arguments: [String] = [], environment: [String: String] = [:], output: FileHandle? = nil
    ) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let output {
            posix_spawn_file_actions_adddup2(&actions, output.fileDescriptor, 1)
            posix_spawn_file_actions_adddup2(&actions, output.fileDescriptor, 2)
        }
        let variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }.map { "\($0)=\($1)" }
        var pid: pid_t = 0
        let problem = withCStrings(["bash", "-c", Self.letsGo, program.path] + arguments) { words in
            withCStrings(variables) { posix_spawn(&pid, "/bin/bash", &actions, nil, words, $0) }
        }
        try #require(problem == 0, "\(program.path) did not start: \(String(cString: strerror(problem)))")
        identifier = pid
        let (ends, continuation) = AsyncStream.makeStream(of: Int32.self)
        let child = pid
        Thread.detachNewThread {
            var status: Int32 = 0
            while waitpid(child, &status, 0) < 0, errno == EINTR {}
            let signal = status & 0x7f
            continuation.yield(signal == 0 ? (status >> 8) & 0xff : signal)
            continuation.finish()
        }
        end = Task { await ends.first { _ in true } ?? -1 }
    }

    /// The shell lets go of whatever else is open in the tests, and becomes the program.
    private static let letsGo = """
        cd /; for fd in /proc/self/fd/*; do fd=${fd##*/}; if [ "$fd" -gt 2 ]; then eval "exec $fd>&-"; fi; done; exec "$0" "$@"
        """

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

/// Calls the body with an array of C strings that ends with nil.
private func withCStrings<Result>(
    _ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> Result
) -> Result {
    let pointers = strings.map { strdup($0) }
    defer { for pointer in pointers { free(pointer) } }
    return body(pointers + [nil])
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
