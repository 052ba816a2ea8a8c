import Foundation
import Synchronization

/// A child process that ends when this one does, however this one ends: it reads from a pipe that nobody else can write
/// to.
///
/// Not Foundation's Process, whose children inherit whatever is open.
final class BenchProcess: Sendable {
    let identifier: pid_t
    /// The end of the pipe that keeps the child alive.
    private let lifeline: Mutex<FileHandle?>
    private let status = Mutex<Int32?>(nil)

    /// Runs this program again.
    init(_ arguments: [String], environment: [String: String]) throws {
        let program = Bundle.main.executablePath ?? CommandLine.arguments[0]
        let pipe = Pipe()
        for handle in [pipe.fileHandleForReading, pipe.fileHandleForWriting] {
            _ = fcntl(handle.fileDescriptor, F_SETFD, FD_CLOEXEC)
        }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, pipe.fileHandleForReading.fileDescriptor, 0)
        posix_spawn_file_actions_adddup2(&actions, 2, 1)
        // A group of its own, so that Ctrl-C reaches the parent alone, which then stops it.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
        var pid: pid_t = 0
        let problem = Self.withCStrings([program] + arguments) { words in
            Self.withCStrings(environment.map { "\($0)=\($1)" }) {
                posix_spawn(&pid, program, &actions, &attributes, words, $0)
            }
        }
        guard problem == 0 else {
            throw BenchError(description: "\(program) did not start: \(String(cString: strerror(problem)))")
        }
        identifier = pid
        lifeline = Mutex(pipe.fileHandleForWriting)
    }

    /// What it ended with, the signal's number below zero; nil while it runs.
    var exitStatus: Int32? {
        status.withLock { status in
            var word: Int32 = 0
            if status == nil, waitpid(identifier, &word, WNOHANG) == identifier {
                let signal = word & 0x7f
                status = signal == 0 ? (word >> 8) & 0xff : -signal
            }
            return status
        }
    }

    /// Lets it finish what it holds, for a while.
    func stop() async {
        let pipe = lifeline.withLock { handle in
            defer { handle = nil }
            return handle
        }
        try? pipe?.close()
        let deadline = ContinuousClock.now + .seconds(15)
        while exitStatus == nil {
            if ContinuousClock.now > deadline { kill(identifier, SIGKILL) }
            try? await Task.sleep(for: .milliseconds(20))
        }
    }

    private static func withCStrings<Result>(
        _ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> Result
    ) -> Result {
        let pointers = strings.map { strdup($0) }
        defer { for pointer in pointers { free(pointer) } }
        return body(pointers + [nil])
    }
}
