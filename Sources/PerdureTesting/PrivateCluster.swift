import Foundation
import Postgres

/// A PostgreSQL server of this process's own, made of the programs that are installed here. It listens on a socket in a
/// temporary folder, and ends with the process, however that ends.
struct PrivateCluster: Sendable {
    let configuration: PostgresConfiguration
    let folder: URL
    /// Ends the server when it is closed.
    private let lifeline: Pipe

    private static let shared = Task { try await start() }

    /// The one of this process; started when it is asked for first.
    static func running() async throws -> PrivateCluster { try await shared.value }

    /// Ends the server, which removes its folder.
    func stop() throws { try lifeline.fileHandleForWriting.close() }

    static func start() async throws -> PrivateCluster {
        guard let programs = PostgresPrograms.find() else {
            throw PostgresError(
                .connection, "there is no PostgreSQL for tests: initdb and pg_ctl were not found",
                hint: "Install PostgreSQL 15 or newer, or set PERDURE_PG_BIN to the folder of its programs, or "
                    + "PERDURE_TEST_DATABASE_URL to a server on which tests may create databases.")
        }
        // A short path, for that of a socket may have a hundred letters.
        let folder = FileManager.default.temporaryDirectory.appending(
            path: "perdure-\(UUID().uuidString.prefix(8).lowercased())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let lifeline = Pipe()
        let answer: String
        do {
            answer = await firstLine(of: try run(programs, folder, lifeline))
        } catch {
            try? FileManager.default.removeItem(at: folder)
            throw error
        }
        guard answer == "ready" else {
            try? FileManager.default.removeItem(at: folder)
            throw PostgresError(
                .connection, "a PostgreSQL server for tests did not start, by \(programs.path): \(answer)",
                hint: "Set PERDURE_TEST_DATABASE_URL to a server on which tests may create databases.")
        }
        return PrivateCluster(
            configuration: PostgresConfiguration("host='\(folder.path)' port=5432 user=postgres dbname=postgres"),
            folder: folder, lifeline: lifeline)
    }

    /// Its input is a pipe that this process holds. When the process ends, the shell reads the end of it, and stops the
    /// server.
    private static let script = """
        for fd in /dev/fd/*; do fd=${fd##*/}; if [ "$fd" -gt 2 ]; then eval "exec $fd>&-"; fi; done
        trap : INT TERM HUP
        cd "$0" || exit 1
        bin=$1
        shift
        if { "$@" "$bin/initdb" -D data -U postgres -A trust -E UTF8 --locale=C --no-sync --no-instructions &&
            "$@" "$bin/pg_ctl" -D data -w -t 60 -l server.log \
        -o "-c listen_addresses='' -c unix_socket_directories='$0' \
        -c port=5432 -c fsync=off -c full_page_writes=off -c max_connections=300" start; } >log 2>&1 </dev/null
        then
            echo ready
            while read -r _; do :; done
            "$@" "$bin/pg_ctl" -D data -m immediate stop >/dev/null 2>&1
        else
            cat log server.log 2>/dev/null | grep -v '^$' | tail -n 5 | tr '\\n' ' '
            echo
        fi
        cd /
        rm -rf "$0"
        """

    private static func run(_ programs: URL, _ folder: URL, _ input: Pipe) throws -> Pipe {
        let output = Pipe()
        // Other programs that this one starts shall not hold it open.
        _ = fcntl(input.fileHandleForWriting.fileDescriptor, F_SETFD, FD_CLOEXEC)
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["bash", "-c", script, folder.path, programs.path]
        // PostgreSQL refuses to run as root.
        if geteuid() == 0 {
            guard let user = getpwnam("postgres") ?? getpwnam("nobody") else {
                throw PostgresError(.connection, "PostgreSQL does not run as root, and there is no user postgres")
            }
            chown(folder.path, user.pointee.pw_uid, user.pointee.pw_gid)
            process.arguments! += ["runuser", "-u", String(cString: user.pointee.pw_name), "--"]
        }
        process.standardInput = input
        process.standardOutput = output
        process.standardError = output
        try process.run()
        return output
    }

    /// Not on one of Swift's threads, for it blocks.
    private static func firstLine(of pipe: Pipe) async -> String {
        let reading = pipe.fileHandleForReading
        return await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                var line = Data()
                while case let data = reading.availableData, !data.isEmpty {
                    line += data
                    if data.contains(UInt8(ascii: "\n")) { break }
                }
                continuation.resume(
                    returning: String(decoding: line, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines))
            }
        }
    }
}

/// Where the programs of PostgreSQL are on this machine.
enum PostgresPrograms {
    /// The folder that has `initdb` and `pg_ctl`: `PERDURE_PG_BIN`, one of the `PATH`, or the newest of the usual
    /// places.
    static func find(_ environment: [String: String] = ProcessInfo.processInfo.environment) -> URL? {
        if let folder = environment["PERDURE_PG_BIN"], !folder.isEmpty { return URL(filePath: folder) }
        let path = (environment["PATH"] ?? "").split(separator: ":").map { URL(filePath: String($0)) }
        return (path + usualPlaces).first { folder in
            ["initdb", "pg_ctl"].allSatisfy {
                FileManager.default.isExecutableFile(atPath: folder.appending(path: $0).path)
            }
        }
    }

    private static var usualPlaces: [URL] {
        let folders = [
            "/usr/lib/postgresql", "/usr/lib64/postgresql", "/opt/homebrew/opt", "/usr/local/opt", "/usr",
            "/Applications/Postgres.app/Contents/Versions",
        ]
        let versions = folders.flatMap { folder -> [(version: Int, url: URL)] in
            let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
            return names.compactMap { name in
                let digits = name.replacing(/^(postgresql@|pgsql-)/, with: "").prefix { $0 != "." }
                return Int(digits).map { ($0, URL(filePath: folder).appending(path: name).appending(path: "bin")) }
            }
        }
        return versions.sorted { $0.version > $1.version }.map(\.url) + [URL(filePath: "/usr/local/pgsql/bin")]
    }
}
