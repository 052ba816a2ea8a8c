import PerdureEngine
import Testing

@testable import Perdure

private let brief = ActivityOptions(startToCloseTimeout: .seconds(5))

// One workflow in the four shapes that a patch gives it.

@Workflow(name: "Patched")
private struct Before {
    func run(context: WorkflowContext<Self>, input: Void) async throws {
        try await context.sleep(for: .seconds(1))
        try await context.executeActivity(name: "old", options: brief)
    }
}

@Workflow(name: "Patched")
private struct During {
    func run(context: WorkflowContext<Self>, input: Void) async throws {
        try await context.sleep(for: .seconds(1))
        if context.patch("new-activity") {
            try await context.executeActivity(name: "new", options: brief)
        } else {
            try await context.executeActivity(name: "old", options: brief)
        }
    }
}

@Workflow(name: "Patched")
private struct Deprecated {
    func run(context: WorkflowContext<Self>, input: Void) async throws {
        try await context.sleep(for: .seconds(1))
        context.deprecatePatch("new-activity")
        try await context.executeActivity(name: "new", options: brief)
    }
}

@Workflow(name: "Patched")
private struct After {
    func run(context: WorkflowContext<Self>, input: Void) async throws {
        try await context.sleep(for: .seconds(1))
        try await context.executeActivity(name: "new", options: brief)
    }
}

/// Asks again and again, the first time before the patch was there.
@Workflow(name: "Loop")
private struct LoopBefore {
    func run(context: WorkflowContext<Self>, input: Void) async throws {
        for _ in 0..<3 { try await context.executeActivity(name: "old", options: brief) }
    }
}

@Workflow(name: "Loop")
private struct LoopDuring {
    func run(context: WorkflowContext<Self>, input: Void) async throws {
        for _ in 0..<3 {
            try await context.executeActivity(name: context.patch("p") ? "new" : "old", options: brief)
        }
    }
}

@Workflow
private struct ManyPatches {
    func run(context: WorkflowContext<Self>, input: Int) async throws -> [Bool] {
        let first = [context.patch("zeta"), context.patch("alpha"), context.patch("zeta")]
        context.deprecatePatch("old")
        try await context.sleep(for: .seconds(1))
        for number in 0..<input { _ = context.patch(String(repeating: "x", count: 100) + "\(number)") }
        return first
    }
}

@Suite("Patches")
struct PatchTests {
    private func recorded<W: WorkflowDefinition>(_: W.Type, through activity: String) throws -> DrivenRun<W>
    where W.Input == Void {
        let run = try DrivenRun(W.self)
        try run.task()
        run.fire("1")
        #expect(try run.task().summaries.last == "ScheduleActivityTask (\(activity), id 1)")
        return run
    }

    @Test("A new run takes the patch and records it; one from before goes the old way, cached or not")
    func patch() async throws {
        let new = try recorded(During.self, through: "new")
        #expect(new.events.contains { $0.summary == "MarkerRecorded (patch new-activity)" })
        try await new.replay()

        let old = try recorded(Before.self, through: "old")
        try await old.replay(with: During.self)
        await #expect(throws: NonDeterminismError.self) { try await old.replay(with: After.self) }
        await #expect(throws: NonDeterminismError.self) { try await old.replay(with: Deprecated.self) }
    }

    @Test("A deprecated patch replays runs that recorded it, and may then be forgotten")
    func deprecation() async throws {
        let during = try recorded(During.self, through: "new")
        try await during.replay(with: Deprecated.self)
        await #expect(throws: NonDeterminismError.self) { try await during.replay(with: After.self) }

        let deprecated = try recorded(Deprecated.self, through: "new")
        try await deprecated.replay()
        try await deprecated.replay(with: After.self)
        try await deprecated.replay(with: During.self)

        let after = try recorded(After.self, through: "new")
        try await after.replay()
        try await after.replay(with: Deprecated.self)
    }

    @Test("A run keeps the answer that it got first")
    func memoized() async throws {
        let run = try DrivenRun(LoopBefore.self)
        try run.task()
        try run.complete("1")
        // Comes to the patched code live, having gone the old way in replay.
        let patched = WorkflowRun<LoopDuring>(run.info)
        defer { patched.evict() }
        run.add(.workflowTaskScheduled)
        run.add(.workflowTaskStarted)
        try patched.replay(run.events)
        #expect(patched.commands.summaries == ["ScheduleActivityTask (old, id 2)"])
    }

    private func changeVersions<W: WorkflowDefinition>(_ run: DrivenRun<W>) -> [JSON] {
        run.events.filter { $0.eventType == .upsertWorkflowSearchAttributes }
            .compactMap { $0.attributes["searchAttributes"]?["TemporalChangeVersion"] }
    }

    @Test("People find runs by the patches that they took, in the list that Temporal's core writes")
    func searchAttribute() async throws {
        let run = try DrivenRun(ManyPatches.self, input: 20)
        try run.task()
        #expect(changeVersions(run) == [["zeta"], ["alpha", "zeta"], ["alpha", "old", "zeta"]])
        run.fire("1")
        try run.task()
        // The list may have 2 kB: one more name than these would not fit.
        #expect(changeVersions(run).count == 3 + 19)
        #expect(try run.result(as: [Bool].self) == [true, true, true])
        try await run.replay()
    }

    @Test("A run from before patches wrote the search attribute goes on without, until its next task")
    func withoutSearchAttribute() async throws {
        let run = try DrivenRun(ManyPatches.self, input: 1)
        for type in [EventType.workflowTaskScheduled, .workflowTaskStarted, .workflowTaskCompleted] { run.add(type) }
        for (id, isDeprecated) in [("zeta", false), ("alpha", false), ("old", true)] {
            run.add(.markerRecorded, PatchMarker(id: id, isDeprecated: isDeprecated).command.attributes)
        }
        run.add(.timerStarted, ["timerId": "1"])
        run.fire("1")
        try run.task()
        #expect(changeVersions(run).count == 1)
        try await run.replay()
    }

    @Test("The first task says which SDK wrote it, and in which ways it decides")
    func metadata() throws {
        let run = try DrivenRun(During.self)
        try run.task()
        run.fire("1")
        run.evict()
        try run.task()
        let said = run.events.filter { $0.eventType == .workflowTaskCompleted }.map { $0.attributes["sdkMetadata"] }
        #expect(
            said == [
                [
                    "coreUsedFlags": [2], "sdkName": .string(SDKMetadata.name),
                    "sdkVersion": .string(SDKMetadata.version),
                ], nil,
            ])
    }

    @Test("A run that another SDK or version began is told by what has changed")
    func otherVersion() throws {
        let run = try DrivenRun(During.self)
        try run.task()
        let completed = try #require(run.events.firstIndex { $0.eventType == .workflowTaskCompleted })
        run.rewrite(completed, ["sdkMetadata": ["sdkName": .string(SDKMetadata.name), "sdkVersion": "0.0.9"]])
        run.fire("1")
        run.evict()
        try run.task()
        #expect(
            run.events.last { $0.eventType == .workflowTaskCompleted }?.attributes["sdkMetadata"] == [
                "coreUsedFlags": [2], "sdkVersion": .string(SDKMetadata.version),
            ])
    }

    @Test("The marker is that of Temporal's core, so that its tools read it")
    func marker() throws {
        let run = try DrivenRun(During.self)
        try run.task()
        run.fire("1")
        #expect(
            try run.task()[0].attributes == [
                "markerName": "core_patch",
                "details": [
                    "patch-data": [
                        ["encoding": "json/plain", "data": ["id": "new-activity", "deprecated": false]]
                    ]
                ],
            ])
    }
}
