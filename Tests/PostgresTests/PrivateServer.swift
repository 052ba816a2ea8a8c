import Foundation
import Testing

/// A PostgreSQL server of one test's own, on loopback, which can be stopped, started and given TLS.
struct PrivateServer: Sendable {
    let folder: URL
    let port: UInt16
    var url: String { "postgresql://postgres@127.0.0.1:\(port)/postgres" }

    static func with<T>(
        settings: [String] = [], prepare: (URL) async throws -> Void = { _ in },
        _ body: (PrivateServer) async throws -> T
    ) async throws -> T {
        let folder = URL(filePath: "/tmp/perdure-server-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let server = PrivateServer(folder: folder, port: try freePort())
        try await give(folder)
        try await serverProgram(
            bin + "/initdb", ["-D", server.data, "-U", "postgres", "-A", "trust", "--no-sync", "--no-instructions"])
        try await prepare(URL(filePath: server.data))
        let lines = [
            "port = \(server.port)", "listen_addresses = '127.0.0.1'", "unix_socket_directories = ''", "fsync = off",
        ]
        let file = try FileHandle(forWritingTo: URL(filePath: server.data + "/postgresql.conf"))
        try file.seekToEnd()
        try file.write(contentsOf: Data((lines + settings).joined(separator: "\n").utf8))
        try file.close()
        try await give(folder)
        do {
            try await server.start()
            let value = try await body(server)
            try await server.stop()
            return value
        } catch {
            try? await server.stop()
            throw error
        }
    }

    private var data: String { folder.appending(path: "data").path }

    func start() async throws {
        try await serverProgram(
            Self.bin + "/pg_ctl", ["-D", data, "-w", "-t", "60", "-l", folder.path + "/log", "start"])
    }

    func stop() async throws {
        try await serverProgram(Self.bin + "/pg_ctl", ["-D", data, "-w", "-m", "immediate", "stop"])
    }

    /// Where initdb is.
    static let bin: String = {
        if let bin = ProcessInfo.processInfo.environment["PERDURE_PG_BIN"] { return bin }
        let root = "/usr/lib/postgresql"
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
        let newest = versions.filter { FileManager.default.fileExists(atPath: "\(root)/\($0)/bin/initdb") }
            .max { (Int($0) ?? 0) < (Int($1) ?? 0) }
        return "\(root)/\(newest ?? "15")/bin"
    }()
}

/// A port that was free a moment ago.
func freePort() throws -> UInt16 {
    let server = try DeafServer()
    defer { server.close() }
    return server.port
}

/// Hands a folder to the user that servers run as: they refuse root.
func give(_ folder: URL) async throws {
    if geteuid() == 0 { try await run("/bin/chown", ["-R", "postgres", folder.path]) }
}

@discardableResult
func serverProgram(_ program: String, _ arguments: [String]) async throws -> String {
    geteuid() == 0
        ? try await run("/usr/sbin/runuser", ["-u", "postgres", "--", program] + arguments)
        : try await run(program, arguments)
}

struct ProgramFailed: Error, CustomStringConvertible {
    let description: String
}

/// Runs a program to its end without holding a cooperative thread, and returns what it wrote.
///
/// Not Foundation's Process: that waits for every descendant too, and servers are some.
@discardableResult
func run(_ program: String, _ arguments: [String]) async throws -> String {
    let path = "/tmp/perdure-output-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    let words =
        ["/bin/sh", "-c", #"cd / && out=$0 && exec "$@" > "$out" 2>&1 < /dev/null"#, path, program] + arguments
    var pid: pid_t = 0
    let pointers = words.map { strdup($0) }
    let problem = posix_spawn(&pid, "/bin/sh", nil, nil, pointers + [nil], environ)
    for pointer in pointers { free(pointer) }
    guard problem == 0 else { throw ProgramFailed(description: "\(program) did not start: error \(problem)") }
    let child = pid
    let status = await withCheckedContinuation { continuation in
        DispatchQueue.global().async {
            var status: Int32 = 0
            while waitpid(child, &status, 0) < 0, errno == EINTR {}
            continuation.resume(returning: status)
        }
    }
    let text = try String(contentsOfFile: path, encoding: .utf8)
    guard status == 0 else { throw ProgramFailed(description: "\(program) ended with \(status): \(text)") }
    return text
}
