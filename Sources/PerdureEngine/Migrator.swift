public import Foundation
public import Logging
public import Postgres

/// Brings a schema of a database to the state of this package: migrations, each once and in order, then every function
/// and view. The engine's SQL is a part of the program, so that no checkout is needed.
///
/// The table `perdure.applied_files` remembers each file with its checksum. Concurrent runs wait for each other, for
/// every transaction takes the same advisory lock; it works through a pooler in transaction mode too.
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
            /// Applied once, and not among the files.
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

    private let files: MigrationFiles
    private let configuration: PostgresConfiguration
    private let logger: Logger

    /// Migrates the engine: schema `perdure`.
    ///
    /// - Parameters:
    ///   - root: a folder that holds `migrations` and `sql`, to use its files; by default those that the program was
    ///     built with.
    ///   - configuration: the database, as the owner of the schema, or as a role that may create schemas in it.
    public init(
        root: URL? = nil, configuration: PostgresConfiguration, logger: Logger = Logger(label: "perdure.migrator")
    ) {
        files = MigrationFiles(engineIn: root)
        self.configuration = configuration
        self.logger = logger
    }

    /// Migrates another schema in the same way, and in the same ledger. The engine has to be installed.
    ///
    /// - Parameters:
    ///   - schema: where it was dropped, nothing of it counts as applied any more.
    ///   - migrations: the folder of the migrations, relative to the root.
    ///   - definitions: the folders of functions and views, relative to the root, in the order of applying.
    ///   - root: the folder that holds these.
    public init(
        schema: String, migrations: String, definitions: [String], root: URL, configuration: PostgresConfiguration,
        logger: Logger = Logger(label: "perdure.migrator")
    ) {
        files = MigrationFiles(schema: schema, migrations: migrations, definitions: definitions, root: root)
        self.configuration = configuration
        self.logger = logger
    }

    /// A checkout: `PERDURE_ROOT`, or the nearest folder that is one, upwards from `directory` or from the program.
    ///
    /// - Returns: nil if there is none, and `PERDURE_ROOT` is not set.
    /// - Throws: ``MigrationError/noRoot(_:)`` if `PERDURE_ROOT` is no such folder.
    public static func findRoot(
        from directory: URL = URL(filePath: FileManager.default.currentDirectoryPath),
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws -> URL? {
        func isRoot(_ folder: URL) -> Bool {
            FileManager.default.fileExists(atPath: folder.appending(path: "migrations/0001_engine.sql").path)
        }
        if let path = environment["PERDURE_ROOT"], !path.isEmpty {
            let root = URL(filePath: path)
            guard isRoot(root) else { throw MigrationError.noRoot(path) }
            return root
        }
        let program = Bundle.main.executableURL?.resolvingSymlinksInPath().deletingLastPathComponent()
        for start in [directory, program].compactMap(\.self) {
            var folder = start.standardizedFileURL
            while folder.path != "/" {
                if isRoot(folder) { return folder }
                folder = folder.deletingLastPathComponent()
            }
        }
        return nil
    }

    /// Every file of the schema, here and in the database, in the order of applying. Changes and locks nothing.
    public func status() async throws -> [File] {
        try await connected { connection in try await plan(connection) }
    }

    /// The same of the engine, for who may read no more than the views, as the pages may.
    public static func status(root: URL? = nil, in pool: PostgresPool) async throws -> [File] {
        let files = MigrationFiles(engineIn: root)
        return try await plan(files, ledger: "perdure.installed_files") { try await pool.query($0) }
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
        let ledger = try files.text("sql/applied_files.sql")
        // Whatever the role or the database sets.
        try await connection.simpleQuery("begin isolation level read committed read write")
        do {
            try await connection.query(
                """
                select set_config('client_min_messages', 'warning', true), \
                set_config('standard_conforming_strings', 'on', true), set_config('statement_timeout', '0', true), \
                set_config('lock_timeout', \("\(milliseconds)ms"), true)
                """)
            do {
                try await connection.query("select pg_advisory_xact_lock(hashtext('perdure.migrate'))")
            } catch let error as PostgresError where error.sqlState == "55P03" {
                throw MigrationError.busy
            }
            try await connection.simpleQuery(ledger)
            if try await !Self.isThere(files.schema, { try await connection.query($0) }) {
                let applied = try await connection.query("select path from perdure.applied_files")
                    .map { try $0.decode(String.self, at: 0) }.filter(files.contains)
                try await connection.query("delete from perdure.applied_files where path = any(\(applied))")
            }
            let value = try await body()
            try await connection.simpleQuery("commit")
            return value
        } catch {
            try? await connection.simpleQuery("rollback")
            throw error
        }
    }

    private func plan(_ connection: PostgresConnection) async throws -> [File] {
        try await Self.plan(files, ledger: "perdure.applied_files") { try await connection.query($0) }
    }

    private static func isThere(
        _ schema: String, _ query: (PostgresQuery) async throws -> PostgresRows
    ) async throws -> Bool {
        try await query("select exists (select from pg_namespace where nspname = \(schema))")[0]
            .decode(Bool.self, at: 0)
    }

    /// - Parameter ledger: the table, or the view, of what was applied.
    private static func plan(
        _ source: MigrationFiles, ledger: String, _ query: (PostgresQuery) async throws -> PostgresRows
    ) async throws -> [File] {
        var applied: [String: (kind: File.Kind, checksum: String, at: Date)] = [:]
        let isThere = try await isThere(source.schema, query)
        if isThere, try await query("select to_regclass(\(ledger)) is not null")[0].decode(Bool.self, at: 0) {
            for row in try await query("select path, kind, checksum, applied_at from \(unescaped: ledger)") {
                let path = MigrationFiles.placeToday(of: try row.decode("path"))
                guard source.contains(path) else { continue }
                let kind = File.Kind(rawValue: try row.decode("kind")) ?? .definition
                applied[path] = (kind, try row.decode("checksum"), try row.decode("applied_at"))
            }
        }
        let paths = try source.paths()
        let contents = try paths.map { [UInt8](try source.text($0.path).utf8) }
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

    private func apply(_ file: File, _ connection: PostgresConnection) async throws {
        let text = try files.text(file.path)
        let start = ContinuousClock.now
        if file.kind == .migration {
            try await connection.query("select set_config('perdure.migrates', \(files.schema), true)")
            try await connection.simpleQuery(try files.text("sql/before_migration.sql"))
        }
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
            "there is no file migrations/0001_engine.sql in \(directory): set PERDURE_ROOT to a checkout"
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
