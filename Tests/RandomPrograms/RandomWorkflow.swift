import Foundation
import Perdure
import PerdureModel
import Postgres
import Synchronization

/// Carries out a program.
@Workflow
struct RandomWorkflow {
    /// What a run gets from the one before.
    struct Input: Codable, Sendable {
        var program: Program
        /// The workflow id of the whole.
        var root: String
        /// How many segments are done.
        var done = 0
        var trace: [String] = []
        var signals: [Int: String] = [:]
        var updates: [Int: String] = [:]
    }

    private var signals: [Int: String]
    private var updates: [Int: String]
    private var isWaiting = false
    /// Signals that came more than once.
    private var repeated: [Int] = []
    private var root: String

    init(input: Input) {
        signals = input.signals
        updates = input.updates
        root = input.root
    }

    func run(context: WorkflowContext<Self>, input: Input) async throws -> [String] {
        var trace = input.trace
        guard input.done < input.program.segments.count else { return trace }
        trace += try await play(input.program.segments[input.done], context)
        if input.done + 1 < input.program.segments.count {
            try await context.condition { context.allHandlersFinished }
            throw try await context.makeContinueAsNewError(
                input: Input(
                    program: input.program, root: input.root, done: input.done + 1, trace: trace, signals: signals,
                    updates: updates))
        }
        try await context.condition { context.allHandlersFinished }
        if !repeated.isEmpty { trace.append("signals came twice: \(repeated)") }
        switch input.program.ending {
        case .returns: return trace
        case .fails(let message): throw ApplicationError(message: message, type: "Ending")
        case .waitsForCancellation(let cleanup):
            do {
                context.mutateState { $0.isWaiting = true }
                try await context.condition { _ in false }
            } catch {
                _ = try await context.withCancellationShield { try await play(cleanup, context) }
                throw error
            }
            return trace
        }
    }

    /// Whether nothing is left but to cancel it.
    @WorkflowQuery
    func waits() -> Bool { isWaiting }

    @WorkflowSignal
    mutating func tell(context: WorkflowContext<Self>, input number: Int) async throws {
        if signals[number] != nil {
            repeated.append(number)
            return
        }
        if Step.isHandledSlowly(number) {
            try await context.executeActivity(
                Deeds.Activities.Plain.self, options: attempts, input: DeedInput(root: root, name: "signal-\(number)"))
        }
        signals[number] = "signal \(number)"
    }

    @WorkflowUpdate(validator: "check")
    mutating func change(context: WorkflowContext<Self>, input number: Int) async throws -> String {
        // One that was sent again to the run that follows.
        if let known = updates[number] { return known }
        try await context.executeActivity(
            Deeds.Activities.Plain.self, options: attempts, input: DeedInput(root: root, name: "update-\(number)"))
        updates[number] = "update \(number)"
        return "update \(number)"
    }

    func check(input number: Int) throws {
        if number < 0 { throw ApplicationError(message: "\(number) is refused", type: "Refused") }
    }

    // MARK: - Steps

    private func play(_ steps: [Step], _ context: WorkflowContext<Self>) async throws -> [String] {
        var trace: [String] = []
        for step in steps { trace += try await play(step, context) }
        return trace
    }

    private func play(_ step: Step, _ context: WorkflowContext<Self>) async throws -> [String] {
        switch step {
        case .activity(let deed):
            try await perform(deed, context)
            return [deed.name]
        case .sleep(let milliseconds):
            try await context.sleep(for: .milliseconds(milliseconds))
            return ["slept"]
        case .parallel(let branches): return try await play(besideEachOther: branches, context)
        case .catching(let steps):
            do {
                return try await play(steps, context)
            } catch let error as any FailureError {
                return ["caught \(describe(error.failure))"]
            }
        case .fail(let message): throw ApplicationError(message: message, type: "Step")
        case .signal(let number):
            try await context.condition { $0.signals[number] != nil }
            return [signals[number] ?? ""]
        case .update(let number):
            try await context.condition { $0.updates[number] != nil }
            return [updates[number] ?? ""]
        case .child(let child): return try await play(child, context)
        case .canceled(let victim, let steps):
            return try await withThrowingTaskGroup(of: String.self) { group in
                group.addTask { try await suffer(victim, context) }
                let trace = try await play(steps, context)
                group.cancelAll()
                return trace + [try await group.next() ?? ""]
            }
        case .timedOut(let milliseconds, let victim):
            return [
                try await context.timeout(for: .milliseconds(milliseconds)) { try await suffer(victim, context) }
            ]
        case .random(let id):
            var generator = context.randomNumberGenerator
            let (number, uuid) = (Int.random(in: 0...1_000_000, using: &generator), context.uuid())
            let echo = try await context.executeActivity(
                Deeds.Activities.Echo.self, options: attempts, input: "\(number) \(uuid)")
            return [echo == "\(number) \(uuid)" ? "random \(id)" : "random \(id) differs: \(echo)"]
        case .bug(let id, let times):
            if Bugs.shared.isMet("\(context.info.workflowID) \(id)", times: times) { throw Bug(id: id) }
            return ["bug \(id)"]
        }
    }

    private func play(
        besideEachOther branches: [[Step]], _ context: WorkflowContext<Self>
    ) async throws -> [String] {
        try await withThrowingTaskGroup(of: (Int, [String]).self) { group in
            for (number, branch) in branches.enumerated() {
                group.addTask { (number, try await play(branch, context)) }
            }
            var traces: [Int: [String]] = [:]
            for try await (number, trace) in group { traces[number] = trace }
            return branches.indices.flatMap { ["branch \($0)"] + (traces[$0] ?? []) }
        }
    }

    private var attempts: ActivityOptions {
        ActivityOptions(
            startToCloseTimeout: .seconds(60),
            retryPolicy: RetryPolicy(initialInterval: .milliseconds(10), maximumInterval: .milliseconds(200)))
    }

    private func perform(_ deed: Deed, _ context: WorkflowContext<Self>) async throws {
        var options = attempts
        options.priority = deed.priority
        let input = DeedInput(
            root: root, name: deed.name, failures: deed.failures, failsForGood: deed.failsForGood,
            milliseconds: deed.milliseconds)
        switch deed.kind {
        case .plain: try await context.executeActivity(Deeds.Activities.Plain.self, options: options, input: input)
        case .transactional:
            try await context.executeActivity(Deeds.Activities.Transactional.self, options: options, input: input)
        }
    }

    /// - Returns: that it has ended, if it has ended as it must.
    private func suffer(_ victim: Victim, _ context: WorkflowContext<Self>) async throws -> String {
        do {
            switch victim {
            case .timer: try await context.sleep(for: .seconds(86400))
            case .condition: try await context.condition { _ in false }
            case .activity(_, let waits):
                try await context.executeActivity(
                    Deeds.Activities.Wait.self,
                    options: ActivityOptions(
                        startToCloseTimeout: .seconds(86400),
                        cancellationType: waits ? .waitCancellationCompleted : .tryCancel,
                        heartbeatTimeout: .seconds(5),
                        retryPolicy: RetryPolicy(
                            initialInterval: .milliseconds(10), maximumInterval: .milliseconds(200))))
            case .child(let id, let cleanup):
                _ = try await context.executeChildWorkflow(
                    RandomWorkflow.self, options: ChildWorkflowOptions(id: "\(root)/c\(id)"),
                    input: Input(
                        program: Program(
                            segments: [[]], ending: .waitsForCancellation(cleanup: [.activity(cleanup)])), root: root))
            }
            return "\(victim.name) returned"
        } catch let error as any FailureError {
            // An attempt may be lost behind the request to cancel it, and is not tried again then.
            if case .activity = victim { return "ended \(victim.name)" }
            return error.failure.isCancellation
                ? "ended \(victim.name)" : "\(victim.name) failed: \(describe(error.failure))"
        }
    }

    private func play(_ child: Child, _ context: WorkflowContext<Self>) async throws -> [String] {
        let policy: ChildWorkflowOptions.ParentClosePolicy =
            switch child.bond {
            case .awaited, .terminated: .terminate
            case .abandoned: .abandon
            case .asked: .requestCancel
            }
        let handle = try await context.startChildWorkflow(
            RandomWorkflow.self,
            options: ChildWorkflowOptions(id: "\(root)/c\(child.id)", parentClosePolicy: policy),
            input: Input(program: child.program, root: root))
        for number in child.signals {
            do {
                if child.signalsAsExternal {
                    try await context.getExternalWorkflowHandle(RandomWorkflow.self, id: handle.id)
                        .signal(signalType: Tell.self, input: number)
                } else {
                    try await handle.signalWorkflow(signalType: Tell.self, input: number)
                }
            } catch let error as ApplicationError where error.type == "ExternalWorkflowExecutionNotFound" {
                return ["child \(child.id) had ended before signal \(number)"]
            }
        }
        guard child.bond == .awaited else { return ["child \(child.id)"] }
        return ["child \(child.id)"] + (try await handle.result())
    }
}

/// A failure in few words.
func describe(_ failure: Failure?) -> String {
    guard let failure else { return "nothing" }
    return switch failure.kind {
    case .application(let type, _, _): "\(type): \(failure.message)"
    case .activity: "activity: \(describe(failure.cause))"
    case .childWorkflow: "child: \(describe(failure.cause))"
    case .canceled: "canceled"
    case .terminated: "terminated"
    case .timeout(let type, _): "timed out: \(type.rawValue)"
    default: "\(failure)"
    }
}

/// No failure that a history may hold: it fails the workflow task.
struct Bug: Error { let id: Int }

/// Which bugs have been met how often, in this process or, with a folder, in all that have the folder.
final class Bugs: Sendable {
    static let shared = Bugs()
    private let met = Mutex<[String: Int]>([:])
    /// Whether there are none in this process, as where it replays what others have done.
    let areFixed = Atomic(false)
    /// Where worker processes count together: each is killed after seconds, and the next one has to go on counting.
    let folder = Mutex<URL?>(nil)

    static func folder(ofDatabase name: String) -> URL {
        FileManager.default.temporaryDirectory.appending(path: "perdure-storm-bugs-\(name)")
    }

    func isMet(_ key: String, times: Int) -> Bool {
        guard !areFixed.load(ordering: .relaxed) else { return false }
        let folder = folder.withLock { $0 }
        return met.withLock { met in
            if let folder { return Self.isMet(in: folder, key, times: times) }
            guard met[key, default: 0] < times else { return false }
            met[key, default: 0] += 1
            return true
        }
    }

    /// A bug is a file that has a byte for each time that it was met.
    private static func isMet(in folder: URL, _ key: String, times: Int) -> Bool {
        let name = key.replacing("/", with: "_").replacing(" ", with: "-")
        let file = open(folder.appending(path: name).path, O_CREAT | O_APPEND | O_RDWR, 0o600)
        precondition(file >= 0, "the bugs cannot be counted in \(folder.path)")
        defer { close(file) }
        guard lseek(file, 0, SEEK_END) < times else { return false }
        return write(file, "x", 1) == 1
    }
}

struct DeedInput: Codable, Sendable {
    var root: String
    var name: String
    var failures = 0
    var failsForGood = false
    var milliseconds = 0
}

/// Activities whose effects are rows of the table `deeds`.
@ActivityContainer
struct Deeds {
    /// Not the worker's, which may be cut.
    let pool: PostgresPool

    static let table = """
        create table deeds (root text, name text, kind text, times int not null, keys text[] not null,
            primary key (root, name))
        """

    @Activity
    func plain(_ deed: DeedInput) async throws -> String {
        try await attempt(deed)
        try await pool.query(done(deed, "plain"))
        return deed.name
    }

    @Activity
    func transactional(connection: PostgresConnection, deed: DeedInput) async throws -> String {
        try await attempt(deed)
        try await connection.query(done(deed, "transactional"))
        return deed.name
    }

    @Activity
    func echo(_ text: String) -> String { text }

    @Activity
    func wait() async throws {
        while true {
            try await Task.sleep(for: .milliseconds(50))
            try ActivityExecutionContext.current?.heartbeat(details: "waits")
        }
    }

    private func attempt(_ deed: DeedInput) async throws {
        if deed.milliseconds > 0 { try await Task.sleep(for: .milliseconds(deed.milliseconds)) }
        if ActivityExecutionContext.current?.info.attempt ?? 1 <= deed.failures {
            throw ApplicationError(message: "\(deed.name) fails at first", type: "Again")
        }
        if deed.failsForGood {
            throw ApplicationError(message: "\(deed.name) failed", type: "Deed", isNonRetryable: true)
        }
    }

    private func done(_ deed: DeedInput, _ kind: String) throws -> PostgresQuery {
        let key = ActivityExecutionContext.current?.info.idempotencyKey ?? ""
        return """
            insert into deeds as d (root, name, kind, times, keys)
            values (\(deed.root), \(deed.name), \(kind), 1, array[\(key)])
            on conflict (root, name) do update set times = d.times + 1,
                keys = case when \(key) = any(d.keys) then d.keys else d.keys || \(key) end
            """
    }
}
