import Foundation
import Perdure
import PerdureEngine
import Testing

private let long = ActivityOptions(startToCloseTimeout: .seconds(30))
private let once = ActivityOptions(
    startToCloseTimeout: .seconds(30), retryPolicy: RetryPolicy(maximumAttempts: 1))

// The workflows of Tests/Conformance/programs.py, whose histories Tests/Conformance/record_histories.py recorded from
// Temporal's development server.

@Workflow
private struct Sequence {
    func run(context: WorkflowContext<Self>, input: Int) async throws -> [String] {
        var results: [String] = []
        for number in 0..<input {
            results.append(try await context.executeActivity(name: "echo", options: long, input: "\(number)"))
        }
        return results
    }
}

@Workflow
private struct Parallel {
    func run(context: WorkflowContext<Self>, input: Int) async throws -> Int {
        try await withThrowingTaskGroup(of: Int.self) { group in
            for number in 0..<input {
                group.addTask { try await context.executeActivity(name: "add", options: long, input: number) }
            }
            return try await group.reduce(0, +)
        }
    }
}

@Workflow
private struct TimerRace {
    func run(context: WorkflowContext<Self>, input: Void) async throws {
        async let slow: Void = context.sleep(for: .milliseconds(1500))
        async let fast: Void = context.sleep(for: .milliseconds(100))
        async let middle: Void = context.sleep(for: .milliseconds(800))
        _ = try await (slow, fast, middle)
    }
}

@Workflow
private struct WaitsWithTimeout {
    func run(context: WorkflowContext<Self>, input: Void) async throws -> String {
        try await context.condition(timeout: .milliseconds(100)) { _ in false } ? "impossible" : "timed out"
    }
}

@Workflow
private struct Collects {
    var got: [String] = []

    func run(context: WorkflowContext<Self>, input: Int) async throws -> [String] {
        try await context.condition { $0.got.count >= input }
        return got
    }

    @WorkflowSignal(name: "add")
    mutating func add(input: String) { got.append(input) }

    @WorkflowSignal(name: "slowly")
    func slowly(context: WorkflowContext<Self>, input: String) async throws {
        let value: String = try await context.executeActivity(name: "echo", options: long, input: input)
        got.append(value)
    }
}

@Workflow
private struct Fails {
    func run(context: WorkflowContext<Self>, input: String) async throws {
        throw ApplicationError(message: "no money", type: "Insufficient")
    }
}

@Workflow
private struct OneActivity {
    func run(context: WorkflowContext<Self>, input: String) async throws {
        try await context.executeActivity(name: input, options: long)
    }
}

@Workflow
private struct Cancelable {
    func run(context: WorkflowContext<Self>, input: String) async throws -> String {
        do {
            try await context.sleep(for: .seconds(60))
        } catch is CanceledError where input == "ignore" {
            return "stayed"
        } catch let error as CanceledError where input == "cleanup" {
            try await context.withCancellationShield {
                try await context.executeActivity(name: "echo", options: long, input: "cleaned")
            }
            throw error
        }
        return "not canceled"
    }
}

@Workflow
private struct Patched {
    func run(context: WorkflowContext<Self>, input: Void) async throws {
        let way = context.patch("new-way") ? "new" : "old"
        try await context.executeActivity(name: "echo", options: long, input: way)
    }
}

/// Does not ask for the patch that its history holds.
@Workflow(name: "Patched")
private struct NotPatched {
    func run(context: WorkflowContext<Self>, input: Void) async throws {
        try await context.executeActivity(name: "echo", options: long, input: "old")
    }
}

@Workflow
private struct BrokenOnce {
    func run(context: WorkflowContext<Self>, input: Int) async throws {
        try await context.executeActivity(name: "echo", options: long, input: "repaired")
    }
}

@Workflow
private struct Attributes {
    func run(context: WorkflowContext<Self>, input: Void) async throws -> [String: Int] {
        context.upsertSearchAttributes(["ConformanceCustomer": "c-2"])
        try context.upsertMemo(["note": "changed"])
        try await context.sleep(for: .milliseconds(50))
        context.upsertSearchAttributes(["ConformanceCustomer": nil])
        return ["amount": context.searchAttributes["ConformanceAmount"]?.intValue ?? 0]
    }
}

@Workflow
private struct Sleeps {
    func run(context: WorkflowContext<Self>, input: Double) async throws {
        try await context.sleep(for: .seconds(input))
    }
}

@Suite("Histories of Temporal's server")
struct TemporalHistoryTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "TemporalHistories")

    private static func text(_ name: String) throws -> String {
        try String(contentsOf: folder.appending(path: "\(name).json"), encoding: .utf8)
    }

    static let all: [String] = {
        let files = try? FileManager.default.contentsOfDirectory(atPath: folder.path)
        return (files ?? []).filter { $0.hasSuffix(".json") }.map { String($0.dropLast(5)) }.sorted()
    }()

    @Test(
        "An equal workflow replays what Temporal's SDK did",
        arguments: [
            "sequence", "parallel", "timers_in_order", "condition_with_timeout", "signals", "signal_that_awaits",
            "signal_with_start", "workflow_fails", "workflow_fails_with_cause", "retried", "heartbeat_timeout",
            "canceled_in_sleep", "canceled_with_cleanup", "cancellation_ignored", "patched", "bug_then_fix",
            "search_attributes_and_memo", "execution_timeout", "terminated",
        ])
    func replays(_ name: String) async throws {
        let replayer = WorkflowReplayer(workflows: [
            Sequence.self, Parallel.self, TimerRace.self, WaitsWithTimeout.self, Collects.self, Fails.self,
            OneActivity.self, Cancelable.self, Patched.self, BrokenOnce.self, Attributes.self, Sleeps.self,
        ])
        try await replayer.replayWorkflow(historyJSON: Self.text(name))
    }

    @Test("Another workflow does not replay it, and the error names the event")
    func differs() async throws {
        let replayer = WorkflowReplayer(workflows: [NotPatched.self])
        let error = await #expect(throws: NonDeterminismError.self) {
            try await replayer.replayWorkflow(historyJSON: Self.text("patched"))
        }
        #expect(error?.eventId == 5)
        #expect(error?.description.contains("MarkerRecorded (patch new-way)") == true)
    }

    @Test("Nothing is lost between Temporal's JSON and ours", arguments: all)
    func roundTrip(_ name: String) throws {
        let given = try JSON(parsing: Self.text(name))
        let events = try TemporalHistory.events(given)
        // By way of what a database would give back.
        let read = try [HistoryEvent](wire: events.wire)
        let expected = (given["events"]?.arrayValue ?? []).map(Self.comparable)
        #expect(expected.count > 2)
        for (event, expected) in zip(read, expected) {
            #expect(Self.comparable(TemporalHistory.json(event)) == expected)
        }
        #expect(read.count == expected.count)
    }

    /// Without what is Temporal's own: its storage's numbers and clocks finer than ours.
    private static func comparable(_ json: JSON) -> JSON {
        switch json {
        case .object(let members):
            var members = members.filter { !["taskId", "version"].contains($0.key) }
            for name in ["eventTime", "workflowExecutionExpirationTime"] {
                if let time = members[name]?.stringValue.flatMap({ Timestamp($0) }) {
                    members[name] = .string(time.description)
                }
            }
            return .object(members.mapValues(comparable))
        case .array(let elements): return .array(elements.map(comparable))
        default: return json
        }
    }

    @Test("What is no history says so")
    func nonsense() async throws {
        let replayer = WorkflowReplayer(workflows: [Patched.self])
        for text in ["", "{}", #"{"events": [{}]}"#, #"{"events": [{"eventId": "1"}]}"#, #"{"events": []}"#] {
            await #expect(throws: HistoryFormatError.self) { try await replayer.replayWorkflow(historyJSON: text) }
        }
    }
}
