import Foundation
import Logging
import Perdure
import PerdureTesting
import Postgres
import Synchronization

/// Keeps workers, and troubles them: they are killed and stopped, connections are cut, rows are locked so that claims
/// pass them by.
final class Troubles: Sendable {
    private let database: TestDatabase
    private let options: StormOptions
    private struct State {
        var counts: [String: Int] = [:]
        var problems: [String] = []
        var lastWorker = 0
    }
    private let state = Mutex(State())

    init(_ database: TestDatabase, _ options: StormOptions) {
        self.database = database
        self.options = options
    }

    var counts: [String: Int] { state.withLock { $0.counts } }
    var problems: [String] { state.withLock { $0.problems } }

    private func count(_ trouble: String) { state.withLock { $0.counts[trouble, default: 0] += 1 } }

    // MARK: - Workers

    /// Keeps one worker at work: when it has been ended, another takes its place.
    func keepWorker(_ place: Int) async {
        var dice = Dice(seed: options.seed &* 31 &+ UInt64(place))
        while !Task.isCancelled {
            let number = state.withLock { state in
                state.lastWorker += 1
                return state.lastWorker
            }
            // Not all of them at once, or nothing would ever be done.
            let life = options.isTroubled ? Duration.milliseconds(dice.number(300...6000)) : .seconds(86400)
            let worker = StormWorker(
                configuration: database.configuration, name: "storm-worker-\(number)", seed: dice.next())
            do {
                if let program = options.workerProgram {
                    try await runProcess(program, worker, for: life, &dice)
                } else {
                    try await runWorker(worker, for: life, kills: dice.onceIn(2))
                }
            } catch {
                if !Task.isCancelled { state.withLock { $0.problems.append("a worker ended: \(error)") } }
            }
        }
    }

    private func runWorker(_ worker: StormWorker, for life: Duration, kills: Bool) async throws {
        let pool = worker.makePool()
        let work = Task { try await worker.run(pool) }
        let isOver = Task { try? await Task.sleep(for: life) }
        await withTaskCancellationHandler {
            await isOver.value
        } onCancel: {
            isOver.cancel()
        }
        if kills, !Task.isCancelled {
            count("workers killed")
            // It can tell nobody any more; what it holds goes back when its lease runs out.
            await pool.close()
            try await cut("= \(quoted(worker.name))", limit: 100)
        } else if !Task.isCancelled {
            count("workers stopped")
        }
        work.cancel()
        let result = await work.result
        await pool.close()
        if !kills { try result.get() }
    }

    private func runProcess(
        _ program: URL, _ worker: StormWorker, for life: Duration, _ dice: inout Dice
    ) async throws {
        let process = Process()
        process.executableURL = program
        process.arguments = ["worker"]
        process.environment = ProcessInfo.processInfo.environment.merging(worker.environment) { $1 }
        let isOver = AsyncStream<Void>.makeStream()
        process.terminationHandler = { _ in isOver.continuation.finish() }
        try process.run()
        try? await Task.sleep(for: life)
        count("worker processes killed")
        kill(process.processIdentifier, SIGKILL)
        for await _ in isOver.stream {}
    }

    // MARK: - Connections and rows

    /// Makes trouble until it is canceled.
    func make() async {
        var dice = Dice(seed: options.seed &* 17)
        while (try? await Task.sleep(for: .milliseconds(dice.number(20...400)))) != nil {
            do {
                if dice.onceIn(2) {
                    count("connections cut")
                    try await cut("like 'storm-%'", limit: dice.number(1...3))
                } else {
                    count("rows locked")
                    try await lockRows(for: .milliseconds(dice.number(1...60)), dice.pick(Self.tables))
                }
            } catch {
                if !Task.isCancelled { state.withLock { $0.problems.append("no trouble could be made: \(error)") } }
            }
        }
    }

    private static let tables = ["run_states", "workflow_tasks", "activity_tasks", "timers", "transfers"]

    private func quoted(_ text: String) -> String { "'\(text)'" }

    private func cut(_ name: String, limit: Int) async throws {
        _ = try await database.pool.query(
            """
            select pg_terminate_backend(a.pid) from (
                select a.pid from pg_stat_activity a
                where a.datname = current_database() and a.application_name \(unescaped: name)
                order by random() limit \(Int32(limit))) a
            """)
    }

    /// Claims and upkeep pass by what somebody else has locked, so that others come first.
    private func lockRows(for duration: Duration, _ table: String) async throws {
        try await database.pool.transaction { connection in
            _ = try await connection.query(
                "select from perdure.\(unescaped: table) where random() < 0.3 limit 10 for update skip locked")
            try await Task.sleep(for: duration)
        }
    }
}

/// A worker with random options.
public struct StormWorker: Sendable {
    static let taskQueue = "storm"

    let configuration: PostgresConfiguration
    let name: String
    let seed: UInt64

    func makePool() -> PostgresPool {
        var configuration = configuration
        configuration.applicationName = name
        return PostgresPool(configuration, maximumConnections: 6, logger: Storm.silent)
    }

    /// - Parameter pool: cut with the worker.
    func run(_ pool: PostgresPool) async throws {
        let deeds = PostgresPool(configuration, maximumConnections: 4, logger: Storm.silent)
        var dice = Dice(seed: seed)
        var options = WorkerOptions(taskQueue: Self.taskQueue, identity: name, buildID: dice.pick(["a", "b"]))
        options.maxCachedWorkflows = dice.pick([0, 1, 3, 1000])
        options.maxConcurrentWorkflowTasks = dice.pick([1, 3, 64])
        options.maxConcurrentTransactions = dice.pick([1, 4])
        options.fusesSteps = !dice.onceIn(3)
        options.usesNotifications = !dice.onceIn(3)
        options.lease = .milliseconds(dice.number(1000...3000))
        options.maximumPollInterval = .milliseconds(dice.pick([20, 200, 1000]))
        options.gracefulShutdownTimeout = .milliseconds(dice.number(0...200))
        options.registersSourceCode = false
        options.deadlockTimeout = .seconds(30)
        let worker = Worker(
            pool: pool, options: options, workflows: [RandomWorkflow.self],
            activityContainers: [Deeds(pool: deeds)], logger: Storm.silent)
        let result: Result<Void, any Error>
        do { result = .success(try await worker.run()) } catch { result = .failure(error) }
        await deeds.close()
        try result.get()
    }

    // MARK: - As a process

    private static let variable = "PERDURE_STORM_WORKER"

    var environment: [String: String] {
        [
            Self.variable: "\(name) \(seed) \(configuration.database ?? "")",
            "\(Self.variable)_SERVER": configuration.conninfo,
        ]
    }

    /// What a process of ``StormOptions/workerProgram`` does: works until it is killed, or its parent has gone.
    public static func run() async throws {
        let environment = ProcessInfo.processInfo.environment
        let words = (environment[variable] ?? "").split(separator: " ").map(String.init)
        guard words.count == 3, let seed = UInt64(words[1]), let server = environment["\(variable)_SERVER"] else {
            throw PostgresError(.configuration, "a worker is started by random-programs, with \(variable)")
        }
        var configuration = PostgresConfiguration(server)
        configuration.database = words[2]
        Bugs.shared.folder.withLock { $0 = Bugs.folder(ofDatabase: words[2]) }
        let worker = StormWorker(configuration: configuration, name: words[0], seed: seed)
        let parent = getppid()
        let watch = Task.detached {
            while getppid() == parent { try await Task.sleep(for: .milliseconds(200)) }
            exit(0)
        }
        defer { watch.cancel() }
        try await worker.run(worker.makePool())
    }
}
