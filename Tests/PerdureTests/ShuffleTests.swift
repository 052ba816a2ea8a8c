import Foundation
import PerdureEngine
import Testing

@testable import Perdure

/// Uses all of structured concurrency at once: `async let`, a task group whose tasks have several steps and children of
/// their own, handlers, conditions, timers, and cancellation of a part.
@Workflow
private struct Fan {
    var bonus = 0
    var order: [String] = []

    func run(context: WorkflowContext<Self>, input: Int) async throws -> [String] {
        async let first = step("first", context)
        async let second = step("second", context)
        async let bonuses: Void = context.condition { $0.bonus >= 2 }
        try await withThrowingTaskGroup(of: Int.self) { group in
            for number in 0..<input {
                group.addTask {
                    let one = try await step("item \(number)", context)
                    if number % 2 == 0 { try await context.sleep(for: .seconds(number + 1)) }
                    async let left = step("left \(number)", context)
                    async let right = step("right \(number)", context)
                    return try await one + left + right
                }
            }
            for try await sum in group { order.append("sum \(sum)") }
        }
        try await bonuses
        order.append("\(try await first) \(try await second)")
        order.append(context.uuid().uuidString)
        let winner = try await withThrowingTaskGroup(of: Int.self) { group in
            for name in ["x", "y", "z"] { group.addTask { try await step(name, context) } }
            let winner = try await group.next() ?? 0
            group.cancelAll()
            return winner
        }
        order.append("winner \(winner)")
        return order
    }

    @WorkflowSignal
    func give(context: WorkflowContext<Self>, input: Int) async throws {
        bonus += input
        order.append("bonus \(try await step("bonus \(input)", context))")
    }

    private func step(_ name: String, _ context: WorkflowContext<Self>) async throws -> Int {
        let value: Int = try await context.executeActivity(
            name: name, options: .init(startToCloseTimeout: .seconds(5)), input: name)
        order.append("\(name) = \(value)")
        return value
    }
}

@Suite("Shuffled completions")
struct ShuffleTests {
    private let runID = UUID(uuid: (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16))

    /// Plays one run to its end in an order that the seed decides, evicting it at random, and returns its history.
    private func play(seed: UInt64, evicts: Bool) throws -> (events: [HistoryEvent], decisions: [[String]]) {
        // Two generators, so that evictions do not change what happens.
        var dice = SplitMix64(state: seed)
        var evictions = SplitMix64(state: ~seed)
        let run = try DrivenRun(Fan.self, input: 3, runID: runID)
        var decisions: [[String]] = []
        var open: Set<String> = []
        var signals = 2
        while run.events.last?.eventType != .workflowExecutionCompleted {
            let commands = try run.task()
            decisions.append(commands.summaries)
            for command in commands {
                let attributes = command.attributes
                switch command.commandType {
                case .scheduleActivityTask: open.insert("a\(attributes["activityId"]?.stringValue ?? "")")
                case .startTimer: open.insert("t\(attributes["timerId"]?.stringValue ?? "")")
                case .cancelTimer: open.remove("t\(attributes["timerId"]?.stringValue ?? "")")
                default: break
                }
            }
            guard run.events.last?.eventType != .workflowExecutionCompleted else { break }
            if evicts, Bool.random(using: &evictions) { run.evict() }
            // One to three things happen before the next workflow task.
            var left = Int.random(in: 1...3, using: &dice)
            while left > 0 {
                left -= 1
                if signals > 0, Int.random(in: 0..<5, using: &dice) == 0 || open.isEmpty {
                    try run.signal("Give", 1)
                    signals -= 1
                } else if let next = open.sorted().randomElement(using: &dice) {
                    open.remove(next)
                    let id = String(next.dropFirst())
                    if next.first == "a" {
                        try run.complete(id, Int.random(in: 1...1000, using: &dice))
                    } else {
                        run.fire(id)
                    }
                }
            }
        }
        return (run.events, decisions)
    }

    @Test("A thousand orders of completion: each gives the same decisions cold, warm and evicted at any point")
    func thousand() async throws {
        let replayer = WorkflowReplayer(workflows: [Fan.self])
        var outcomes: Set<[String]> = []
        for seed in 0..<1000 as Range<UInt64> {
            let warm = try play(seed: seed, evicts: false)
            let cold = try play(seed: seed, evicts: true)
            #expect(warm.decisions == cold.decisions, "seed \(seed)")
            #expect(warm.events == cold.events, "seed \(seed)")
            try await replayer.replayWorkflow(history: warm.events)
            outcomes.insert(try [Payload](json: warm.events.last?.attributes["result"])[0].decode([String].self))
        }
        // They were orders indeed.
        #expect(outcomes.count == 1000)
    }

    @Test("A history replays alike from every one of its workflow tasks")
    func everyPoint() throws {
        for seed in 0..<20 as Range<UInt64> {
            let (events, decisions) = try play(seed: seed, evicts: false)
            let starts = events.indices.filter { events[$0].eventType == .workflowTaskStarted }
            for (number, place) in starts.enumerated() {
                let run = WorkflowRun<Fan>(try DrivenRun(Fan.self, input: 3, runID: runID).info)
                defer { run.evict() }
                // Cold up to there, then warm to the end.
                try run.replay(Array(events[...place]))
                #expect(run.commands.summaries == decisions[number])
                try run.replay(Array(events[(place + 1)...]))
                try run.requireAllMatched()
            }
        }
    }
}
