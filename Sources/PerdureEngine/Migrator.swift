public import Foundation
import Logging
public import Postgres

/// Brings a database to the state of this checkout: migrations, each once and in order, then every function and view.
///
/// The table `perdure.applied_files` remembers each file with its checksum. Concurrent runs wait for each other, for every
/// transaction takes the same advisory lock; it works through a pooler in transaction mode too.
public struct Migrator: Sendable {
    /// What is known of one file.
    public struct File: Sendable, Hashable {
        public enum Kind: String, Sendable { case migration, definition }
        public enum State: String, Sendable {
            case applied, pending
            /// A definition that differs from what was applied: it will be applied again.
            case changed
            /// A migration that differs from what was applied. That is never right.
            case edited
            /// Applied once, and not in this checkout.
            case unknown
        }
        /// Relative to the root.
        public let path: String
        public let kind: Kind
        public let state: State
        public let checksum: String
        public let appliedAt: Date?

        public init(path: String, kind: Kind, state: State, checksum: String, appliedAt: Date?) {
            self.path = path
            self.kind = kind
            self.state = state
            self.checksum = checksum
            self.appliedAt = appliedAt
        }
    }

    public let root: URL
    private let configuration: PostgresConfiguration
    private let logger: Logger

    /// - Parameter root: the folder that holds `migrations` and `sql`.
    public init(root: URL, configuration: PostgresConfiguration, logger: Logger) {
        self.root = root
        self.configuration = configuration
        self.logger = logger
    }

    /// Where the SQL is: `PERDURE_ROOT`, or the nearest folder that has it, upwards from `directory` or from the program.
    ///
    /// - Throws: ``MigrationError/noRoot(_:)``.
    public static func findRoot(
        from directory: URL = URL(filePath: FileManager.default.currentDirectoryPath),
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws -> URL {
        if let path = environment["PERDURE_ROOT"], !path.isEmpty { return URL(filePath: path) }
        let program = Bundle.main.executableURL?.resolvingSymlinksInPath().deletingLastPathComponent()
        for start in [directory, program].compactMap(\.self) {
            var folder = start.standardizedFileURL
            while folder.path != "/" {
                let candidate = folder.appending(path: "migrations/0001_engine.sql")
                if FileManager.default.fileExists(atPath: candidate.path) { return folder }
                folder = folder.deletingLastPathComponent()
            }
        }
        throw MigrationError.noRoot(directory.path)
    }

    /// Every file of this checkout and of the database, in the order of applying. Changes and locks nothing.
    public func status() async throws -> [File] {
        try await connected { connection in try await plan(connection) }
    }

    /// The same for who may read no more than the views, as the pages may.
    public static func status(root: URL, in pool: PostgresPool) async throws -> [File] {
        try await plan(root, ledger: "perdure.installed_files") { try await pool.query($0) }
    }

    /// Applies what is pending or changed.
    ///
    /// - Parameters:
    ///   - dryRun: only says what would be applied.
    ///   - lockTimeout: how long to wait for each lock that others hold: another migration's, or a table's.
    ///   - progress: is called with the path of each file once it is applied.
    /// - Returns: the paths, in order.
    /// - Throws: ``MigrationError``. Files before the one that failed stay applied; the one that failed left nothing.
    @discardableResult
    public func migrate(
        dryRun: Bool = false, lockTimeout: Duration = .seconds(60), progress: (String) -> Void = { _ in }
    ) async throws -> [String] {
        try await connected { connection in
            if dryRun {
                let work = try work(in: await plan(connection))
                return (work.migrations + work.definitions).map(\.path)
            }
            var applied: [String] = []
            while true {
                // One migration a transaction, then all definitions in one. Each looks anew, under the lock.
                let step = try await transaction(connection, lockTimeout) { () -> Step in
                    let files = try await plan(connection)
                    let work = try work(in: files)
                    if let migration = work.migrations.first {
                        try await apply(migration, connection)
                        return Step(paths: [migration.path], isLast: false)
                    }
                    for file in work.definitions { try await apply(file, connection) }
                    let gone = files.filter { $0.state == .unknown }.map(\.path)
                    try await connection.query("delete from perdure.applied_files where path = any(\(gone))")
                    return Step(paths: work.definitions.map(\.path), isLast: true)
                }
                for path in step.paths { progress(path) }
                applied += step.paths
                if step.isLast { return applied }
            }
        }
    }

    private struct Step {
        let paths: [String]
        let isLast: Bool
    }

    // MARK: -

    /// What is to be applied.
    private func work(in files: [File]) throws -> (migrations: [File], definitions: [File]) {
        if let edited = files.first(where: { $0.state == .edited }) { throw MigrationError.edited(edited.path) }
        let unknown = files.filter { $0.state == .unknown && $0.kind == .migration }.map(\.path)
        if !unknown.isEmpty { throw MigrationError.newerDatabase(unknown) }
        let migrations = files.filter { $0.kind == .migration && $0.state == .pending }
        let definitions = files.filter { $0.kind == .definition && $0.state != .unknown }
        // One new function needs its grants, and a changed view what stands on it: all or none.
        let isCurrent =
            migrations.isEmpty && files.allSatisfy { $0.kind == .migration || $0.state == .applied }
        return (migrations, isCurrent ? [] : definitions)
    }

    private func connected<Value: Sendable>(
        _ body: (PostgresConnection) async throws -> Value
    ) async throws -> Value {
        var configuration = configuration
        // So that it works through a pooler in transaction mode too.
        configuration.preparedStatements = false
        let connection = try await PostgresConnection.connect(configuration, logger: logger)
        do {
            let value = try await body(connection)
            await connection.close()
            return value
        } catch {
            await connection.close()
            throw error
        }
    }

    /// A transaction in which no other migration of this database runs.
    private func transaction<Value: Sendable>(
        _ connection: PostgresConnection, _ lockTimeout: Duration, _ body: () async throws -> Value
    ) async throws -> Value {
        let milliseconds = max(1, Int(lockTimeout / .milliseconds(1)))
        let ledger = try String(contentsOf: root.appending(path: "sql/applied_files.sql"), encoding: .utf8)
        try await connection.simpleQuery("begin")
        do {
            try await connection.query(
                """
                select set_config('client_min_messages', 'warning', true), \
                set_config('lock_timeout', \("\(milliseconds)ms"), true)
                """)
            do {
                try await connection.query("select pg_advisory_xact_lock(hashtext('perdure.migrate'))")
            } catch let error as PostgresError where error.sqlState == "55P03" {
                throw MigrationError.busy
            }
            try await connection.simpleQuery(ledger)
            let value = try await body()
            try await connection.simpleQuery("commit")
            return value
        } catch {
            try? await connection.simpleQuery("rollback")
            throw error
        }
    }

    private func plan(_ connection: PostgresConnection) async throws -> [File] {
        try await Self.plan(root, ledger: "perdure.applied_files") { try await connection.query($0) }
    }

    /// - Parameter ledger: the table, or the view, of what was applied.
    private static func plan(
        _ root: URL, ledger: String, _ query: (PostgresQuery) async throws -> PostgresRows
    ) async throws -> [File] {
        var applied: [String: (kind: File.Kind, checksum: String, at: Date)] = [:]
        if try await query("select to_regclass(\(ledger)) is not null")[0].decode(Bool.self, at: 0) {
            for row in try await query("select path, kind, checksum, applied_at from \(unescaped: ledger)") {
                let kind = File.Kind(rawValue: try row.decode(String.self, "kind")) ?? .definition
                applied[try row.decode("path")] = (kind, try row.decode("checksum"), try row.decode("applied_at"))
            }
        }
        let paths = try folders.flatMap { folder, kind in
            try Self.paths(in: folder, of: root).map { (path: $0, kind: kind) }
        }
        let contents = try paths.map { [UInt8](try Data(contentsOf: root.appending(path: $0.path))) }
        let checksums = try await query(
            """
            select encode(sha256(f.content), 'hex') from unnest(\(contents)) with ordinality f (content, place) \
            order by f.place
            """
        ).map { try $0.decode(String.self, at: 0) }
        var files: [File] = []
        for ((path, kind), checksum) in zip(paths, checksums) {
            let known = applied.removeValue(forKey: path)
            let state: File.State =
                switch known?.checksum {
                case nil: .pending
                case checksum: .applied
                default: kind == .migration ? .edited : .changed
                }
            files.append(File(path: path, kind: kind, state: state, checksum: checksum, appliedAt: known?.at))
        }
        for (path, known) in applied.sorted(by: { $0.key < $1.key }) {
            files.append(
                File(path: path, kind: known.kind, state: .unknown, checksum: known.checksum, appliedAt: known.at))
        }
        return files
    }

    /// In the order of applying. `sql/install.sh` lists the same.
    private static let folders: [(String, File.Kind)] = [
        ("migrations", .migration), ("sql/engine", .definition), ("sql/views", .definition), ("sql/bank", .definition),
    ]

    private static func paths(in folder: String, of root: URL) throws -> [String] {
        let url = root.appending(path: folder)
        guard FileManager.default.fileExists(atPath: url.path) else { return [] }
        return try FileManager.default.contentsOfDirectory(atPath: url.path)
            .filter { $0.hasSuffix(".sql") }.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
            .map { "\(folder)/\($0)" }
    }

    private func apply(_ file: File, _ connection: PostgresConnection) async throws {
        let text = try String(contentsOf: root.appending(path: file.path), encoding: .utf8)
        let start = ContinuousClock.now
        do {
            try await connection.simpleQuery(text)
        } catch let error as PostgresError {
            let line = error.position.map { text.prefix($0 - 1).count(where: \.isNewline) + 1 }
            throw MigrationError.failed(file.path, line: line, error)
        }
        let milliseconds = Int((ContinuousClock.now - start) / .milliseconds(1))
        try await connection.query(
            """
            insert into perdure.applied_files (path, kind, checksum, duration_ms)
            values (\(file.path), \(file.kind.rawValue), \(file.checksum), \(milliseconds))
            on conflict (path) do update set checksum = excluded.checksum, applied_at = clock_timestamp(),
                applied_by = session_user, duration_ms = excluded.duration_ms
            """)
        logger.info("applied", metadata: ["file": "\(file.path)", "milliseconds": "\(milliseconds)"])
    }
}

/// Why a database could not be migrated.
public enum MigrationError: Error, Sendable, CustomStringConvertible {
    case noRoot(String)
    case edited(String)
    case newerDatabase([String])
    case busy
    case failed(String, line: Int?, PostgresError)

    public var description: String {
        switch self {
        case .noRoot(let directory):
            "there is no migrations folder at or above \(directory): run this in a checkout, or set PERDURE_ROOT"
        case .edited(let path):
            "\(path) was edited after it had been applied: restore it, and put the change into a new migration"
        case .newerDatabase(let paths):
            "the database is newer than this code (PD010): it has \(paths.joined(separator: ", ")). Update the code."
        case .busy:
            "another migration of this database has not ended in time: look for it in pg_stat_activity, or raise "
                + "--lock-timeout"
        case .failed(let path, let line, let error): "\(path)\(line.map { ":\($0)" } ?? ""): \(error)"
        }
    }
}
