public import Foundation
import Testing

/// A process of another program. Nothing here blocks a thread that tests share: they share a few with the servers that
/// they start.
///
/// Not Foundation's Process: that takes a process for running as long as anybody holds a descriptor that it made, and a
/// server that another test starts at the same moment inherits them all.
public final class RunningProcess: Sendable {
    public let identifier: pid_t
    private let end: Task<Int32, Never>

    /// - Parameters:
    ///   - environment: beside what the tests have themselves.
    ///   - output: where it writes; the tests' own output by default.
    ///   - errors: where it writes what goes wrong; to `output` by default.
    public init(
        _ program: URL, _ arguments: [String] = [], environment: [String: String] = [:], in folder: URL? = nil,
        output: FileHandle? = nil, errors: FileHandle? = nil
    ) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        if let output { posix_spawn_file_actions_adddup2(&actions, output.fileDescriptor, 1) }
        if let errors = errors ?? output { posix_spawn_file_actions_adddup2(&actions, errors.fileDescriptor, 2) }
        let variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }.map { "\($0)=\($1)" }
        var pid: pid_t = 0
        let words = ["bash", "-c", Self.letsGo, folder?.path ?? "/", program.path] + arguments
        let problem = withCStrings(words) { words in
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
        cd "$0"; for fd in /proc/self/fd/*; do fd=${fd##*/}; \
        if [ "$fd" -gt 2 ]; then eval "exec $fd>&-"; fi; done; exec "$@"
        """

    /// Its exit status, or the signal that ended it.
    @discardableResult
    public func waitUntilExit() async -> Int32 { await end.value }

    public func send(_ signal: Int32) { kill(identifier, signal) }
}

/// What a program wrote, and how it ended.
public struct Outcome: Sendable {
    public let status: Int32
    public let output: String
    public let errors: String
}

/// Runs a program to its end.
///
/// - Parameters:
///   - program: its path, or its name for one in the PATH.
///   - folder: where it runs.
public func outcome(
    of program: String, _ arguments: [String] = [], environment: [String: String] = [:], in folder: URL = checkout
) async throws -> Outcome {
    // Files, because a server that the program starts inherits them and would keep a pipe open.
    let files = try TemporaryFolder()
    defer { files.remove() }
    let (output, errors) = (try files.file("output"), try files.file("errors"))
    let process = try RunningProcess(
        URL(filePath: "/usr/bin/env"), [program] + arguments, environment: environment, in: folder,
        output: output.handle, errors: errors.handle)
    let status = await process.waitUntilExit()
    return Outcome(status: status, output: try output.text(), errors: try errors.text())
}

/// Runs a program to its end, and returns what it wrote. Fails the test if it fails.
@discardableResult
public func run(_ program: String, _ arguments: [String] = []) async throws -> String {
    let end = try await outcome(of: program, arguments, in: URL(filePath: "/"))
    try #require(end.status == 0, "\(program) ended with \(end.status): \(end.output)\(end.errors)")
    return end.output
}

private struct TemporaryFolder {
    struct File {
        let url: URL
        let handle: FileHandle
        func text() throws -> String { String(decoding: try Data(contentsOf: url), as: UTF8.self) }
    }

    let url = FileManager.default.temporaryDirectory.appending(path: "perdure-run-\(UUID().uuidString)")

    init() throws { try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true) }

    func file(_ name: String) throws -> File {
        let file = url.appending(path: name)
        try Data().write(to: file)
        return File(url: file, handle: try FileHandle(forWritingTo: file))
    }

    func remove() { try? FileManager.default.removeItem(at: url) }
}

/// Calls the body with an array of C strings that ends with nil.
private func withCStrings<Result>(
    _ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> Result
) -> Result {
    let pointers = strings.map { strdup($0) }
    defer { for pointer in pointers { free(pointer) } }
    return body(pointers + [nil])
}
