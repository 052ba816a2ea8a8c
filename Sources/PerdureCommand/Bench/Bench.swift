import ArgumentParser
import Foundation
import PerdureEngine
import Postgres
import UnixSignals

/// A measurement, in a namespace of its own: no other worker works there, and no other run counts.
struct Bench: Sendable {
    static let taskQueue = "bench"

    let options: BenchOptions
    let namespace: String
    /// Starts workflows and watches them. What it costs the server to watch is not counted.
    let connection: PostgresConnection

    /// Runs a measurement to its end, or until a signal, and prints what it found.
    static func run(_ options: BenchOptions, _ body: @escaping @Sendable (Bench) async throws -> BenchReport)
        async throws
    {
        let connection = try await options.connect()
        let server = try await BenchServer(connection)
        if !server.isDurable { note("Warning: \(server.summary)") }
        let bench = Bench(
            options: options, namespace: "bench-\(UUID().uuidString.prefix(8).lowercased())", connection: connection)
        try await connection.query(
            "select perdure.create_namespace(\(bench.namespace), interval '1 day', 'Made by perdure bench')")
        let result = await Result { try await interruptible { try await body(bench) } }
        // In a task of its own, which an interrupt has not cancelled.
        await Task { await bench.tellWhatIsLeft() }.value
        try result.get().print(options.output, server)
    }

    /// Progress and remarks go to standard error; standard output is for the result.
    static func note(_ text: String) { FileHandle.standardError.write(Data("\(text)\n".utf8)) }

    private static func interruptible(_ body: @escaping @Sendable () async throws -> BenchReport) async throws
        -> BenchReport
    {
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
        return try await withThrowingTaskGroup(of: BenchReport?.self) { group in
            group.addTask { try await body() }
            group.addTask {
                for await signal in signals {
                    note("Stopping the workers")
                    throw ExitCode(128 + signal.rawValue)
                }
                return nil
            }
            defer { group.cancelAll() }
            while let finished = try await group.next() {
                if let finished { return finished }
            }
            throw CancellationError()
        }
    }

    private func tellWhatIsLeft() async {
        let rows = try? await connection.query(
            """
            select count(*) filter (where status = 'Running') as open,
                count(*) filter (where status <> 'Running') as closed
            from perdure.executions where namespace = \(namespace)
            """)
        guard let row = rows?[0], let open = try? row.decode(Int.self, "open"),
            let closed = try? row.decode(Int.self, "closed")
        else { return }
        let openRuns = open == 0 ? "" : " and \(open) open runs, which stay until they are terminated"
        Self.note(
            "Namespace \(namespace) keeps \(closed) closed runs, which workers delete after a day\(openRuns). "
                + "Drop the database to be rid of them at once."
        )
    }

    // MARK: Workflows

    /// Starts workflows as a client does, but many in a statement.
    func start(
        _ type: String, _ prefix: String, _ numbers: Range<Int>, input: Int, on connection: PostgresConnection? = nil
    ) async throws {
        guard !numbers.isEmpty else { return }
        try await (connection ?? self.connection).query(
            """
            select count(s.run_id) from generate_series(
                \(Int64(numbers.lowerBound)), \(Int64(numbers.upperBound - 1))) n,
                perdure.start_workflow(workflow_type => \(type), workflow_id => \(prefix) || n,
                    task_queue => \(Self.taskQueue),
                    input => to_jsonb(\(Int64(input))), namespace => \(namespace)) s
            """)
    }

    /// Starts the measurement's usual workflows.
    func startBacklog(_ prefix: String, _ count: Int) async throws -> BenchRuns {
        for first in stride(from: 0, to: count, by: 500) {
            try await start("BenchSteps", prefix, first..<min(first + 500, count), input: options.activities)
        }
        return BenchRuns(bench: self, prefix: prefix, count: count)
    }

    func now() async throws -> Date {
        try await connection.query("select clock_timestamp()")[0].decode(Date.self, at: 0)
    }
}

/// What of a server's settings tells whether its figures can be compared.
struct BenchServer: Sendable {
    let settings: [String: String]

    init(_ connection: PostgresConnection) async throws {
        let rows = try await connection.query(
            """
            select name, setting from pg_settings
                where name in ('server_version', 'fsync', 'synchronous_commit', 'full_page_writes',
                    'wal_compression', 'shared_buffers', 'max_wal_size', 'autovacuum')
            """)
        settings = try Dictionary(
            uniqueKeysWithValues: rows.map {
                (try $0.decode(String.self, "name"), try $0.decode(String.self, "setting"))
            })
    }

    /// Whether what has been committed survives a crash of the machine.
    var isDurable: Bool { settings["fsync"] == "on" && settings["synchronous_commit"] != "off" }

    var summary: String {
        let shown = ["fsync", "synchronous_commit", "full_page_writes", "wal_compression"].map {
            "\($0) \(settings[$0] ?? "?")"
        }
        return
            "PostgreSQL \(settings["server_version"] ?? "?"), commits are "
            + "\(isDurable ? "durable" : "NOT durable: a crash loses them") (\(shown.joined(separator: ", ")))"
    }
}

extension Result where Failure == any Error {
    fileprivate init(catching body: () async throws -> Success) async {
        do { self = .success(try await body()) } catch { self = .failure(error) }
    }
}
