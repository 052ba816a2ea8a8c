public import Foundation
import Testing

/// A PostgreSQL server of one test's own, on loopback, which can be stopped the hard way, started again and given TLS.
public struct PrivateServer: Sendable {
    public let folder: URL
    public let port: UInt16
    public var url: String { "postgresql://postgres@127.0.0.1:\(port)/postgres" }

    /// Makes and starts it, runs the body, removes it.
    ///
    /// - Parameters:
    ///   - settings: lines of its `postgresql.conf`.
    ///   - prepare: is given its data directory before it starts.
    public static func with<T>(
        settings: [String] = [], prepare: (URL) async throws -> Void = { _ in },
        _ body: (PrivateServer) async throws -> T
    ) async throws -> T {
        let folder = FileManager.default.temporaryDirectory.appending(
            path: "perdure-server-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let server = PrivateServer(folder: folder, port: try freePort())
        try await giveToServer(folder)
        try await runAsServer(
            bin + "/initdb", ["-D", server.data, "-U", "postgres", "-A", "trust", "--no-sync", "--no-instructions"])
        try await prepare(URL(filePath: server.data))
        let lines = [
            "port = \(server.port)", "listen_addresses = '127.0.0.1'", "unix_socket_directories = ''",
        ]
        let file = try FileHandle(forWritingTo: URL(filePath: server.data + "/postgresql.conf"))
        try file.seekToEnd()
        try file.write(contentsOf: Data((lines + settings).joined(separator: "\n").utf8))
        try file.close()
        try await giveToServer(folder)
        do {
            try await server.start()
            let value = try await body(server)
            try await server.crash()
            return value
        } catch {
            try? await server.crash()
            throw error
        }
    }

    private var data: String { folder.appending(path: "data").path }

    public func start() async throws {
        try await runAsServer(
            Self.bin + "/pg_ctl", ["-D", data, "-w", "-t", "60", "-l", folder.path + "/log", "start"])
    }

    /// Every connection breaks, nothing is written out: the server recovers from its log when it starts.
    public func crash() async throws {
        try await runAsServer(Self.bin + "/pg_ctl", ["-D", data, "-w", "-m", "immediate", "stop"])
    }

    /// Whether the server is built with TLS. That of PyPI is not.
    public static var hasTLS: Bool {
        get async throws { try await run(bin + "/pg_config", ["--configure"]).contains("ssl") }
    }

    /// Where initdb is.
    private static let bin: String = {
        if let bin = ProcessInfo.processInfo.environment["PERDURE_PG_BIN"] { return bin }
        let root = "/usr/lib/postgresql"
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
        let newest = versions.filter { FileManager.default.fileExists(atPath: "\(root)/\($0)/bin/initdb") }
            .max { (Int($0) ?? 0) < (Int($1) ?? 0) }
        return "\(root)/\(newest ?? "15")/bin"
    }()
}

/// Hands a folder to the user that servers run as: they refuse root.
public func giveToServer(_ folder: URL) async throws {
    if geteuid() == 0 { try await run("chown", ["-R", "postgres", folder.path]) }
}

/// Runs a program as the user that servers run as.
@discardableResult
public func runAsServer(_ program: String, _ arguments: [String]) async throws -> String {
    geteuid() == 0
        ? try await run("runuser", ["-u", "postgres", "--", program] + arguments) : try await run(program, arguments)
}

/// A port of loopback that was free a moment ago.
public func freePort() throws -> UInt16 {
    // Below those from which the system takes the ports of connections: one of them could have it before the server
    // does.
    for port in (20_000..<32_000).shuffled().prefix(100) {
        let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(socket) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        address.sin_port = UInt16(port).bigEndian
        let isBound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(socket, address, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        if isBound { return UInt16(port) }
    }
    throw NoFreePort()
}

private struct NoFreePort: Error {}
