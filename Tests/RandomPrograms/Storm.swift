public import Foundation
import Logging
import Perdure
import PerdureEngine
import PerdureTesting
import Postgres
import Synchronization

/// How random programs are run.
public struct StormOptions: Sendable {
    /// That of the first program; the others count on from it.
    public var seed: UInt64
    public var programs: Int
    /// How many programs are under way at a time.
    public var atOnce = 12
    public var workers = 3
    /// Whether workers are killed, connections cut and rows locked.
    public var isTroubled = true
    /// How long one program may take.
    public var limit = Duration.seconds(120)
    /// A program that runs ``StormWorker/run()``, if workers are processes, which are killed for good.
    public var workerProgram: URL?
    /// No program begins behind this time.
    public var end: ContinuousClock.Instant?
    /// Told of each finding at once.
    public var onFinding: @Sendable (Finding) -> Void = { print($0) }
    /// Changes what is expected, for tests of the tests.
    var alter: (@Sendable (inout Expectation) -> Void)?

    public init(seed: UInt64, programs: Int) {
        self.seed = seed
        self.programs = programs
    }
}

/// Something that is not as the model says.
public struct Finding: Sendable, CustomStringConvertible {
    /// The seed of the program; nil if it is of no one program.
    public let seed: UInt64?
    public let problem: String

    public var description: String { "\(seed.map { "seed \($0): " } ?? "")\(problem)" }
}

/// What was run, and what was found.
public struct StormReport: Sendable, CustomStringConvertible {
    public internal(set) var programs = 0
    public internal(set) var runs = 0
    public internal(set) var events = 0
    public internal(set) var troubles: [String: Int] = [:]
    public internal(set) var findings: [Finding] = []
    public internal(set) var took = Duration.zero

    public var description: String {
        let troubles = troubles.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
        return "\(programs) programs with \(runs) runs and \(events) events in \(took.formatted()): "
            + "\(findings.count) findings. Troubles: \(troubles.isEmpty ? "none" : troubles)"
    }
}

/// Runs random programs among troubles, and compares what came of them with the model.
public final class Storm: Sendable {
    private let options: StormOptions
    private let database: TestDatabase
    private let client: PerdureClient
    private let troubles: Troubles
    private let report = Mutex(StormReport())
    private let begun = Mutex(0)

    /// Runs the programs on a database of their own.
    ///
    /// - Throws: an error of the server. What is wrong with programs stands in the report.
    public static func run(_ options: StormOptions) async throws -> StormReport {
        let database = try await TestDatabase.create(maximumConnections: 30, logger: silent)
        do {
            try await database.pool.query(PostgresQuery(stringLiteral: Deeds.table))
            let storm = Storm(options, database)
            try await storm.run()
            try await database.drop()
            return storm.report.withLock { $0 }
        } catch {
            try? await database.drop()
            throw error
        }
    }

    static let silent = WorkflowEnvironment.silent

    private let pool: PostgresPool

    private init(_ options: StormOptions, _ database: TestDatabase) {
        self.options = options
        self.database = database
        var configuration = database.configuration
        configuration.applicationName = "storm-client"
        pool = PostgresPool(configuration, maximumConnections: 12, acquireTimeout: .seconds(30), logger: Self.silent)
        client = PerdureClient(pool: pool)
        troubles = Troubles(database, options)
    }

    private func run() async throws {
        let start = ContinuousClock.now
        let bugs = Bugs.folder(ofDatabase: database.configuration.database ?? "")
        defer { try? FileManager.default.removeItem(at: bugs) }
        if options.workerProgram != nil {
            Bugs.shared.areFixed.store(true, ordering: .relaxed)
            try FileManager.default.createDirectory(at: bugs, withIntermediateDirectories: true)
        }
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<options.workers { group.addTask { await self.troubles.keepWorker(number) } }
            if options.isTroubled { group.addTask { await self.troubles.make() } }
            await runPrograms()
            group.cancelAll()
        }
        await pool.close()
        for problem in troubles.problems { found(nil, problem) }
        let broken = try await database.pool.query("select to_jsonb(v)::text from perdure.violations() v")
        for row in broken { found(nil, "a rule is broken: \(try row.decode(String.self, at: 0))") }
        report.withLock { report in
            report.troubles = troubles.counts
            report.took = ContinuousClock.now - start
        }
    }

    private func runPrograms() async {
        await withDiscardingTaskGroup { group in
            for _ in 0..<options.atOnce {
                group.addTask {
                    while let seed = self.nextSeed() { await self.runProgram(seed) }
                }
            }
        }
    }

    private func nextSeed() -> UInt64? {
        if let end = options.end, end < .now { return nil }
        let number = begun.withLock { begun in
            defer { begun += 1 }
            return begun
        }
        return number < options.programs ? options.seed &+ UInt64(number) : nil
    }

    private func found(_ seed: UInt64?, _ problem: String) {
        let finding = Finding(seed: seed, problem: problem)
        report.withLock { $0.findings.append(finding) }
        options.onFinding(finding)
    }

    // MARK: - One program

    private func runProgram(_ seed: UInt64) async {
        let limit = options.limit
        await withTaskGroup(of: String?.self) { group in
            group.addTask {
                do {
                    try await self.check(seed)
                } catch {
                    return Task.isCancelled ? nil : "it could not be run: \(error)"
                }
                return nil
            }
            group.addTask {
                guard (try? await Task.sleep(for: limit)) != nil else { return nil }
                return "it has not ended within \(limit): " + (await self.state(of: seed))
            }
            if let problem = await group.next() ?? nil { found(seed, problem) }
            group.cancelAll()
        }
        report.withLock { $0.programs += 1 }
    }

    /// Where the workflows of a program stand.
    private func state(of seed: UInt64) async -> String {
        let rows = try? await database.pool.query(
            """
            select string_agg(concat_ws(' ', e.workflow_id, e.status, (
                select string_agg(h.event_id || ' ' || h.event_type, ', ' order by h.event_id)
                from perdure.history_events h where h.run_id = e.run_id and h.event_id > (
                    select max(m.event_id) - 8 from perdure.history_events m where m.run_id = e.run_id))), '; ')
            from perdure.executions e
            where (e.workflow_id = \("p\(seed)") or e.workflow_id like \("p\(seed)/%")) and e.status = 'Running'
            """)
        return (try? rows?.first?.decode(String?.self, at: 0)) ?? "nothing is open"
    }

    private func check(_ seed: UInt64) async throws {
        let program = ProgramGenerator.program(seed: seed)
        var expectation = Expectation(program)
        options.alter?(&expectation)
        let root = "p\(seed)"
        var dice = Dice(seed: ~seed)
        let handle = try await start(program, root, &dice)
        let outcome = try await withThrowingTaskGroup(of: Void.self) { group in
            for number in program.signals.shuffled(using: &dice) {
                let pause = dice.number(0...400)
                group.addTask { try await self.send(number, handle, after: .milliseconds(pause)) }
            }
            for number in program.updates {
                let pause = dice.number(0...400)
                group.addTask { try await self.update(number, handle, seed, after: .milliseconds(pause)) }
            }
            if dice.onceIn(3) { group.addTask { try await self.ask(handle) } }
            if case .waitsForCancellation = program.ending, case .canceled = expectation.outcome {
                group.addTask {
                    while try await !self.ask(handle) { try await Task.sleep(for: .milliseconds(50)) }
                    try await handle.cancel()
                }
            }
            let outcome = try await Self.outcome(handle)
            try await group.waitForAll()
            return outcome
        }
        if outcome != expectation.outcome { found(seed, "\(outcome), and not \(expectation.outcome)") }
        for (id, expected) in expectation.others {
            let other = client.workflowHandle(type: RandomWorkflow.self, id: "\(root)/\(id)")
            // A child that was left may be about to start it.
            while try await runs(of: other.id).isEmpty { try await Task.sleep(for: .milliseconds(20)) }
            let outcome = try await Self.outcome(other)
            if outcome != expected { found(seed, "\(id): \(outcome), and not \(expected)") }
        }
        try await replayAll(seed, root, program)
        try await checkDeeds(seed, root, expectation)
    }

    private func start(
        _ program: Program, _ root: String, _ dice: inout Dice
    ) async throws -> WorkflowHandle<RandomWorkflow> {
        var options = WorkflowOptions(id: root, taskQueue: StormWorker.taskQueue)
        if dice.onceIn(2) { options.priority = dice.number(1...5) }
        return try await client.startWorkflow(
            type: RandomWorkflow.self, options: options, input: .init(program: program, root: root))
    }

    private static func outcome(_ handle: WorkflowHandle<RandomWorkflow>) async throws -> Expectation.Outcome {
        do {
            return .completed(try await handle.result())
        } catch let error as WorkflowFailedError {
            switch error.status {
            case .canceled: return .canceled
            case .terminated: return .terminated
            default: return .failed(describe(error.failure))
            }
        }
    }

    private func send(
        _ number: Int, _ handle: WorkflowHandle<RandomWorkflow>, after pause: Duration
    ) async throws {
        try await Task.sleep(for: pause)
        try await handle.signal(signalType: RandomWorkflow.Tell.self, input: number)
    }

    private func update(
        _ number: Int, _ handle: WorkflowHandle<RandomWorkflow>, _ seed: UInt64, after pause: Duration
    ) async throws {
        try await Task.sleep(for: pause)
        if number % 4 == 0 {
            do {
                _ = try await send(-number, UUID().uuidString, handle)
                found(seed, "update \(-number) was taken")
            } catch let error as WorkflowUpdateFailedError where error.isRejected {
                // So it must be.
            }
        }
        let result = try await send(number, "u\(number)", handle)
        if result != "update \(number)" { found(seed, "update \(number) has the result \(result)") }
    }

    /// Sends an update until it is taken. A run whose workflow tasks fail takes none, and forgets what it has not
    /// accepted.
    private func send(
        _ number: Int, _ updateID: String, _ handle: WorkflowHandle<RandomWorkflow>
    ) async throws -> String {
        while true {
            do {
                return try await handle.executeUpdate(
                    updateType: RandomWorkflow.Change.self, updateID: updateID, input: number)
            } catch let error as EngineError where error.code == .workflowTasksFail {
            } catch is WorkflowUpdateNotFoundError {}
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    /// - Returns: whether it waits for its cancellation; false if nobody tells.
    @discardableResult
    private func ask(_ handle: WorkflowHandle<RandomWorkflow>) async throws -> Bool {
        do {
            return try await handle.query(queryType: RandomWorkflow.Waits.self, timeout: .seconds(5))
        } catch is QueryFailedError {
            // No worker in time, or one with a bug.
            return false
        }
    }

    // MARK: - What is left of it

    private struct RunRow {
        let workflowID: String
        let runID: UUID
        let isOpen: Bool
    }

    private func runs(of root: String) async throws -> [RunRow] {
        try await database.pool.query(
            """
            select workflow_id, run_id, status = 'Running' as open from perdure.executions
            where workflow_id = \(root) or workflow_id like \(root + "/%")
            """
        ).map {
            RunRow(
                workflowID: try $0.decode("workflow_id"), runID: try $0.decode("run_id"), isOpen: try $0.decode("open"))
        }
    }

    /// Waits until the children have ended too, and replays what all of them have done.
    private func replayAll(_ seed: UInt64, _ root: String, _ program: Program) async throws {
        var runs = try await runs(of: root)
        while runs.contains(where: \.isOpen) {
            try await Task.sleep(for: .milliseconds(20))
            runs = try await self.runs(of: root)
        }
        let ofRoot = runs.count { $0.workflowID == root }
        if ofRoot != program.segments.count {
            found(seed, "\(ofRoot) runs follow each other, and not \(program.segments.count)")
        }
        let replayer = WorkflowReplayer(workflows: [RandomWorkflow.self])
        for run in runs {
            let history = try await client.untypedWorkflowHandle(id: run.workflowID, runID: run.runID).fetchHistory()
            do {
                try await replayer.replayWorkflow(history: history, runID: run.runID)
            } catch {
                found(seed, "the run \(run.runID) of \(run.workflowID) does not replay: \(error)")
            }
            report.withLock { report in
                report.runs += 1
                report.events += history.count
            }
        }
    }

    private func checkDeeds(_ seed: UInt64, _ root: String, _ expectation: Expectation) async throws {
        let rows = try await database.pool.query(
            "select name, kind, times, keys from deeds where root = \(root)")
        var done: Set<String> = []
        for row in rows {
            let (name, kind) = (try row.decode(String.self, "name"), try row.decode(String.self, "kind"))
            done.insert(name)
            let times = try row.decode(Int32.self, "times")
            if kind == "transactional", times != 1 { found(seed, "\(name) was done \(times) times") }
            let keys = try row.decode([String].self, "keys")
            if keys.count != 1 { found(seed, "\(name) had the keys \(keys)") }
        }
        let missing = expectation.required.subtracting(done)
        if !missing.isEmpty { found(seed, "not done: \(missing.sorted())") }
        let more = done.subtracting(expectation.required).subtracting(expectation.allowed)
        if !more.isEmpty { found(seed, "done, and not asked for: \(more.sorted())") }
    }
}
