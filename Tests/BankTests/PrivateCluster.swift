import Foundation
import Testing

/// A database server of the test's own, to be stopped the hard way.
struct PrivateCluster: Sendable {
    let url: String
    private let folder: URL
    private let port: Int
    private let programs: URL

    /// Makes a cluster, runs the body, removes it.
    static func with<T>(_ body: (PrivateCluster) async throws -> T) async throws -> T {
        let cluster = try await PrivateCluster()
        let result: Result<T, any Error>
        do { result = .success(try await body(cluster)) } catch { result = .failure(error) }
        try? await cluster.crash()
        try? FileManager.default.removeItem(at: cluster.folder)
        return try result.get()
    }

    private init() async throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "bank-cluster-\(UUID().uuidString.prefix(8))")
        port = try Self.freePort()
        url = "postgresql://postgres@127.0.0.1:\(port)/postgres"
        let found = try await RunningProcess.run("pg_config", ["--bindir"])
        programs = URL(filePath: found.trimmingCharacters(in: .whitespacesAndNewlines))
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        if geteuid() == 0 { try await RunningProcess.run("chown", ["postgres", folder.path]) }
        try await asServer("initdb", ["-D", data, "-U", "postgres", "-A", "trust", "--no-sync"])
        try await start()
    }

    private var data: String { folder.appending(path: "data").path }

    func start() async throws {
        try await asServer(
            "pg_ctl",
            [
                "-D", data, "-w", "-l", folder.appending(path: "log").path, "-o",
                "-p \(port) -k \(folder.path) -h 127.0.0.1", "start",
            ])
    }

    /// Every connection breaks, nothing is written out: the server recovers from its log when it starts.
    func crash() async throws { try await asServer("pg_ctl", ["-D", data, "-w", "-m", "immediate", "stop"]) }

    /// Runs one of the server's programs, as `postgres` when root runs the tests: the server refuses to be root's.
    private func asServer(_ program: String, _ arguments: [String]) async throws {
        let user = geteuid() == 0 ? ["runuser", "-u", "postgres", "--"] : []
        let words = user + [programs.appending(path: program).path] + arguments
        try await RunningProcess.run(words[0], Array(words.dropFirst()))
    }

    private static func freePort() throws -> Int {
        let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(socket) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let port = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(socket, address, length) == 0 && getsockname(socket, address, &length) == 0
            }
        }
        try #require(port, "no free port")
        return Int(UInt16(bigEndian: address.sin_port))
    }
}
