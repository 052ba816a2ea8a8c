import Foundation
import PerdureEngine
import TestSupport
import Testing

@testable import Perdure

@Suite("Fused step")
struct FusedStepTests {
    @Test(
        "A worker that fuses steps writes, event for event, the history of one that does not",
        arguments: ["sequence", "retries", "failure", "timers"])
    func sameHistory(program: String) async throws {
        try await Stage.with { stage in
            func history(fuses: Bool) async throws -> [JSON] {
                try await stage.withWorker(Self.code(program)) {
                    $0.fusesSteps = fuses
                    $0.identity = "worker"
                } _: {
                    let handle = try await stage.start("W", input: [Payload(encoding: 7)])
                    _ = try? await handle.resultPayloads()
                    return try await handle.fetchHistory().map(Self.comparable)
                }
            }
            let apart = try await history(fuses: false)
            let fused = try await history(fuses: true)
            #expect(apart.count > 5)
            #expect(fused == apart)
        }
    }

    @Test(
        "Of events as they are stored, a worker puts back what decides how a run goes on and what its code can ask for"
    )
    func storedEvents() async throws {
        try await Stage.with { stage in
            try await stage.withWorker(Self.code("sequence")) {
                let handle = try await stage.start("W", input: [Payload(encoding: 7)])
                _ = try await handle.resultPayloads()
                let whole = try await handle.fetchHistory()
                let runID = try #require(try await handle.describe().runID)
                let stored = try await Engine(pool: stage.database.pool)
                    .histories(shard: 0, of: [HistoryRequest(runID: runID, from: 1)])[0].get()
                #expect(stored.map(\.eventType) == whole.map(\.eventType))
                #expect(stored.map(\.eventTime) == whole.map(\.eventTime))
                // Of workflow tasks a run sees when they began, and nothing else.
                for (stored, whole) in zip(stored, whole) where !whole.eventType.rawValue.hasPrefix("WorkflowTask") {
                    #expect(Self.seen(stored) == Self.seen(whole), "event \(whole.eventId)")
                }
            }
        }
    }

    /// An event's attributes but for those that no run looks at, or that it knows without them.
    private static func seen(_ event: HistoryEvent) -> [String: JSON] {
        event.attributes.dictionary.filter { name, _ in
            ![
                "identity", "requestId", "taskQueue", "workflowType", "workflowId", "originalExecutionRunId",
                "firstExecutionRunId", "workflowTaskCompletedEventId",
            ].contains(name)
                && !(name == "attempt" && event.eventType != .activityTaskFailed)
                && !(name == "retryPolicy" && event.eventType == .activityTaskScheduled)
        }
    }

    @Test("A cached run goes on with what is new to it, and reads nothing else", arguments: ["sequence", "timers"])
    func readsNothingElse(program: String) async throws {
        try await Stage.with { stage in
            // A worker that needed it would fail its task, and the history would say so.
            try await stage.database.pool.query("drop function perdure.get_histories_as_stored")
            try await stage.withWorker(Self.code(program)) {
                $0.fusesSteps = false
            } _: {
                let handle = try await stage.start("W", input: [Payload(encoding: 7)])
                _ = try await handle.resultPayloads()
                let types = try await stage.types(handle)
                #expect(types.filter { $0 == "WorkflowTaskCompleted" }.count >= 5)
                #expect(!types.contains("WorkflowTaskFailed"))
            }
        }
    }

    @Test("Activities that run side by side each end once, whoever's step comes first")
    func parallel() async throws {
        try await Stage.with { stage in
            try await stage.withWorker(Self.code("parallel")) {
                var handles: [UntypedWorkflowHandle] = []
                for _ in 0..<20 { handles.append(try await stage.start("W")) }
                for handle in handles {
                    _ = try await handle.resultPayloads()
                    let history = try await handle.fetchHistory()
                    #expect(history.map(\.eventId) == Array(1...Int64(history.count)))
                    let ends = history.filter { $0.eventType == .activityTaskCompleted }
                    #expect(Set(ends.map { $0.attributes["scheduledEventId"] }).count == 5)
                    #expect(ends.count == 5)
                }
            }
        }
    }

    @Test(
        "What happens to a run while its activity runs makes the fused step wait, and nothing is lost or done twice"
    )
    func stale() async throws {
        try await Stage.with { stage in
            var code = WorkerCode()
            code.workflow("W") { history in
                for step in ["1", "2"] {
                    guard history.scheduled(step) != nil else { return [.activity(step, "a")] }
                    guard history.end(of: step) != nil else { return [] }
                }
                return history.signals.count == 20 ? [.complete()] : []
            }
            let isReleased = Box(false)
            let calls = Box(0)
            code.activity("a") { _ in
                calls.add(1)
                try await eventually("it is released") { isReleased.value }
                return []
            }
            try await stage.withWorker(code) {
                let handle = try await stage.start("W")
                try await eventually("the activity runs") { calls.value == 1 }
                for number in 0..<20 {
                    try await handle.signal(signalName: "s", input: number)
                    if number == 10 { isReleased.value = true }
                }
                _ = try await handle.resultPayloads()
                #expect(calls.value == 2)
                let types = try await stage.types(handle)
                #expect(types.filter { $0 == "ActivityTaskCompleted" }.count == 2)
                #expect(types.filter { $0 == "WorkflowExecutionSignaled" }.count == 20)
            }
        }
    }

    private static func code(_ program: String) -> WorkerCode {
        var code = WorkerCode()
        let retry = RetryPolicy(initialInterval: .milliseconds(1), maximumAttempts: 2)
        code.workflow("W") { history in
            switch program {
            case "parallel":
                guard history.scheduled("1") != nil else {
                    return (1...5).map { .activity("\($0)", "a", input: [try! Payload(encoding: $0)]) }
                }
                return (1...5).allSatisfy { history.end(of: "\($0)") != nil } ? [.complete()] : []
            case "timers":
                for step in ["1", "2", "3"] {
                    guard history.scheduled(step) != nil else { return [.activity(step, "a")] }
                    guard history.end(of: step) != nil else { return [] }
                    guard history.started(timer: step) else { return [.timer(step, .milliseconds(1))] }
                    guard history.fired(step) else { return [] }
                }
                return [.complete()]
            default:
                for step in ["1", "2", "3", "4"] {
                    guard history.scheduled(step) != nil else {
                        return [
                            .activity(
                                step, program == "sequence" ? "a" : program, input: [try Payload(encoding: step)],
                                heartbeat: step == "2" ? .seconds(30) : nil, retry: step == "3" ? nil : retry)
                        ]
                    }
                    guard let end = history.end(of: step) else { return [] }
                    guard end.eventType == .activityTaskCompleted else {
                        return [.fail(.application("it failed", type: "Test"))]
                    }
                }
                return [.complete([try Payload(encoding: "done")].json)]
            }
        }
        code.activity("a") { attempt in
            if let number = try? attempt.task.input.first?.decode(Int.self) {
                // The activity's own work.
                try await Task.sleep(for: .milliseconds(number))
            }
            return [try Payload(encoding: ["of": attempt.task.activityID])]
        }
        code.activity("retries") { attempt in
            if attempt.task.attempt == 1, attempt.task.activityID != "3" {
                throw Failure.application("not yet", type: "Busy")
            }
            return []
        }
        code.activity("failure") { attempt in
            if attempt.task.activityID == "2" { throw Failure.application("no", type: "No", nonRetryable: true) }
            return []
        }
        return code
    }

    /// An event without what is different in every run: times, and the ids of runs and workers.
    private static func comparable(_ event: HistoryEvent) -> JSON {
        var attributes = event.attributes
        for name in ["requestId", "originalExecutionRunId", "firstExecutionRunId", "workflowId", "identity"] {
            if attributes[name] != nil { attributes[name] = "…" }
        }
        return ["id": .number(event.eventId), "type": .string(event.eventType.rawValue), "attributes": attributes]
    }
}
