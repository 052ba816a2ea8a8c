import Foundation
import PerdureEngine
import PerdureTesting
import TestSupport
import Testing

@testable import Perdure

@Workflow
private struct Doubling {
    func run(context: WorkflowContext<Self>, input: Int) async throws -> Int {
        guard input >= 0 else { throw ApplicationError(message: "negative", type: "Negative", isNonRetryable: true) }
        return 2 * input
    }
}

/// Waits for signals until it is told to end.
@Workflow
private struct Listening {
    var heard: [String] = []

    func run(context: WorkflowContext<Self>, input: Void) async throws -> [String] {
        try await context.condition { $0.heard.contains("end") }
        return heard
    }

    @WorkflowSignal
    mutating func tell(input: String) { heard.append(input) }

    @WorkflowQuery
    func count() -> Int { heard.count }
}

@Workflow
private struct Parent {
    func run(context: WorkflowContext<Self>, input: Int) async throws -> Int {
        try await context.executeChildWorkflow(Doubling.self, options: .init(id: "child"), input: input) + 1
    }
}

/// Tells what it catches of a child whose wait it cancels.
@Workflow
private struct Canceling {
    func run(context: WorkflowContext<Self>, input: String) async throws -> String {
        let types: [String: ChildWorkflowOptions.CancellationType] = [
            "abandon": .abandon, "try": .tryCancel, "completed": .waitCancellationCompleted,
            "requested": .waitCancellationRequested,
        ]
        do {
            _ = try await context.timeout(for: .seconds(1)) {
                try await context.executeChildWorkflow(
                    Listening.self, options: .init(id: "child", cancellationType: types[input] ?? .abandon))
            }
            return "completed"
        } catch let error as ChildWorkflowError {
            return "\(error)"
        }
    }
}

@Workflow
private struct Signaling {
    func run(context: WorkflowContext<Self>, input: Void) async throws -> [String] {
        let child = try await context.startChildWorkflow(Listening.self, options: .init(id: "child"))
        try await child.signalWorkflow(signalType: Listening.Tell.self, input: "one")
        try await child.signalWorkflow(signalType: Listening.Tell.self, input: "end")
        return try await child.result()
    }
}

@Workflow
private struct External {
    func run(context: WorkflowContext<Self>, input: String) async throws -> String {
        let other = context.getExternalWorkflowHandle(Listening.self, id: "other")
        do {
            if input == "cancel" {
                try await other.cancel()
            } else {
                try await other.signal(signalType: Listening.Tell.self, input: "end")
            }
            return "done"
        } catch let error as ApplicationError {
            return error.type
        }
    }
}

@Workflow
private struct Families {
    func run(context: WorkflowContext<Self>, input: [Int]) async throws -> [Int] {
        try await withThrowingTaskGroup(of: (Int, Int).self) { group in
            for (place, value) in input.enumerated() {
                group.addTask {
                    (place, try await context.executeChildWorkflow(Doubling.self, input: value))
                }
            }
            var results = input
            while let (place, value) = try await group.next() { results[place] = value }
            return results
        }
    }
}

@Workflow
private struct Relations {
    func run(context: WorkflowContext<Self>, input: Bool) async throws -> [String] {
        guard input else {
            return [context.info.parent?.workflowID ?? "none", context.info.root.workflowID]
        }
        return try await context.executeChildWorkflow(Relations.self, options: .init(id: "child"), input: false)
    }
}

private let ran: JSON = ["result": [["encoding": "json/plain", "data": 42]]]

@Suite struct ChildWorkflowTests {
    // MARK: Replay

    @Test func `a child is started, and its result is waited for, on replay too`() async throws {
        let run = try DrivenRun(Parent.self, input: 21)
        #expect(try run.task().summaries == ["StartChildWorkflowExecution (Doubling, id child)"])
        run.child("child", .childWorkflowExecutionStarted)
        #expect(try run.task().isEmpty)
        run.evict()
        run.child("child", .childWorkflowExecutionCompleted, ran)
        #expect(try run.task().map(\.commandType) == [.completeWorkflowExecution])
        #expect(try run.result(as: Int.self) == 43)
        try await run.replay()
    }

    @Test func `a child that has started and ended before its parent looked is one step`() async throws {
        let run = try DrivenRun(Parent.self, input: 21)
        try run.task()
        run.child("child", .childWorkflowExecutionStarted)
        run.child("child", .childWorkflowExecutionCompleted, ran)
        try run.task()
        #expect(try run.result(as: Int.self) == 43)
        try await run.replay()
    }

    @Test func `a failure keeps its chain of causes`() async throws {
        let run = try DrivenRun(Parent.self, input: 21)
        try run.task()
        run.child("child", .childWorkflowExecutionStarted)
        let cause = Failure.application("outer", type: "Outer", cause: .application("inner", type: "Inner"))
        run.child(
            "child", .childWorkflowExecutionFailed, ["failure": cause.json, "retryState": "RetryPolicyNotSet"])
        try run.task()
        let failure = try #require(run.failure)
        #expect(failure.chain.map(\.message) == ["Child Workflow execution failed", "outer", "inner"])
        guard case .childWorkflow(let child) = failure.kind else { throw Unexpected(what: "\(failure.kind)") }
        #expect(child.workflowId == "child" && child.workflowType == "Doubling")
        #expect(child.initiatedEventId == 5 && child.startedEventId == 6)
        #expect(child.retryState == .retryPolicyNotSet)
        try await run.replay()
    }

    @Test(arguments: [
        (EventType.childWorkflowExecutionTimedOut, "Child Workflow execution timed out: Timed out"),
        (.childWorkflowExecutionTerminated, "Child Workflow execution terminated: Terminated"),
        (.childWorkflowExecutionCanceled, "Child Workflow execution cancelled: Cancelled"),
    ])
    func `a child can end in other ways`(_ type: EventType, _ message: String) async throws {
        let run = try DrivenRun(Parent.self, input: 21)
        try run.task()
        run.child("child", .childWorkflowExecutionStarted)
        run.child("child", type)
        try run.task()
        #expect(try #require(run.failure).description == message)
        try await run.replay()
    }

    @Test func `an id that is taken fails the start`() async throws {
        let run = try DrivenRun(Parent.self, input: 21)
        try run.task()
        run.child("child", .startChildWorkflowExecutionFailed, ["cause": "WorkflowAlreadyExists"])
        try run.task()
        let failure = try #require(run.failure)
        let kind = Failure.Kind.application(type: "WorkflowExecutionAlreadyStarted", nonRetryable: true, details: [])
        #expect(failure.cause?.kind == kind)
        try await run.replay()
    }

    @Test func `other code than the history's is found out`() async throws {
        let run = try DrivenRun(Parent.self, input: 21)
        try run.task()
        run.child("child", .childWorkflowExecutionStarted)
        run.child("child", .childWorkflowExecutionCompleted, ran)
        try run.task()
        await #expect(throws: NonDeterminismError.self) { try await run.replay(with: OtherChild.self) }
        await #expect(throws: NonDeterminismError.self) { try await run.replay(with: NoChild.self) }
    }

    @Workflow
    struct OtherChild {
        func run(context: WorkflowContext<Self>, input: Int) async throws -> Int {
            try await context.executeChildWorkflow(Doubling.self, options: .init(id: "another"), input: input) + 1
        }
    }

    @Workflow
    struct NoChild {
        func run(context: WorkflowContext<Self>, input: Int) async throws -> Int { 43 }
    }

    // MARK: Cancellation

    private func canceled(_ how: String) throws -> (DrivenRun<Canceling>, [String]) {
        let run = try DrivenRun(Canceling.self, input: how)
        try run.task()
        run.child("child", .childWorkflowExecutionStarted)
        try run.task()
        run.fire("1")
        return (run, try run.task().summaries)
    }

    @Test func `abandoning a child says nothing to it`() async throws {
        let (run, commands) = try canceled("abandon")
        #expect(commands == ["CompleteWorkflowExecution"])
        try await run.replay()
    }

    @Test func `trying to cancel a child does not wait for it`() async throws {
        let (run, commands) = try canceled("try")
        #expect(
            commands == ["RequestCancelExternalWorkflowExecution (id child)", "CompleteWorkflowExecution"])
        #expect(try run.result(as: String.self) == "Child Workflow execution cancelled: Cancelled")
        try await run.replay()
    }

    @Test func `waiting for a cancellation waits for the child's end, whatever that is`() async throws {
        for (end, seen) in [
            (EventType.childWorkflowExecutionCanceled, "Child Workflow execution cancelled: Cancelled"),
            (.childWorkflowExecutionCompleted, "completed"),
        ] {
            let (run, commands) = try canceled("completed")
            #expect(commands == ["RequestCancelExternalWorkflowExecution (id child)"])
            run.effect(
                .requestCancelExternalWorkflowExecutionInitiated, on: "child",
                .externalWorkflowExecutionCancelRequested)
            #expect(try run.task().isEmpty)
            run.evict()
            let nothing: JSON = ["result": [["encoding": "json/plain", "data": []]]]
            run.child("child", end, end == .childWorkflowExecutionCompleted ? nothing : [:])
            try run.task()
            #expect(try run.result(as: String.self) == seen)
            try await run.replay()
        }
    }

    @Test func `waiting for the request goes on when the child has been asked`() async throws {
        let (run, _) = try canceled("requested")
        run.effect(
            .requestCancelExternalWorkflowExecutionInitiated, on: "child", .externalWorkflowExecutionCancelRequested)
        try run.task()
        #expect(try run.result(as: String.self) == "Child Workflow execution cancelled: Cancelled")
        try await run.replay()
    }

    // MARK: Signals

    @Test func `signals to a child are waited for, one after the other`() async throws {
        let run = try DrivenRun(Signaling.self)
        try run.task()
        run.child("child", .childWorkflowExecutionStarted)
        for _ in 0..<2 {
            #expect(try run.task().summaries == ["SignalExternalWorkflowExecution (Tell, id child)"])
            run.effect(
                .signalExternalWorkflowExecutionInitiated, on: "child", .externalWorkflowExecutionSignaled)
        }
        #expect(try run.task().isEmpty)
        let heard: JSON = ["result": [["encoding": "json/plain", "data": ["one", "end"]]]]
        run.child("child", .childWorkflowExecutionCompleted, heard)
        try run.task()
        #expect(try run.result(as: [String].self) == ["one", "end"])
        try await run.replay()
    }

    @Test func `nobody to signal or to cancel is an error that code can catch`() async throws {
        for (how, initiated, failed) in [
            (
                "signal", EventType.signalExternalWorkflowExecutionInitiated,
                EventType.signalExternalWorkflowExecutionFailed
            ),
            (
                "cancel", .requestCancelExternalWorkflowExecutionInitiated,
                .requestCancelExternalWorkflowExecutionFailed
            ),
        ] {
            let run = try DrivenRun(External.self, input: how)
            try run.task()
            run.effect(initiated, on: "other", failed, ["cause": "ExternalWorkflowExecutionNotFound"])
            try run.task()
            #expect(try run.result(as: String.self) == "ExternalWorkflowExecutionNotFound")
            try await run.replay()
        }
    }

    // MARK: In the database

    private func withWorkers(
        caching: Int = 100, _ body: @Sendable (PerdureClient, TestDatabase) async throws -> Void
    ) async throws {
        try await TestDatabase.with { database in
            var options = WorkerOptions(taskQueue: "q")
            options.maxCachedWorkflows = caching
            let worker = Worker(
                pool: database.pool, options: options,
                workflows: [
                    Doubling.self, Listening.self, Parent.self, Signaling.self, External.self, Families.self,
                    Relations.self,
                ], activities: [])
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await worker.run() }
                try await body(PerdureClient(pool: database.pool), database)
                group.cancelAll()
            }
            let violations = try await database.pool.query("select kind || ': ' || what from perdure.violations()")
            #expect(try violations.map { try $0.decode(String.self, at: 0) } == [])
        }
    }

    @Test(arguments: [100, 0])
    func `children of a worker's runs work, with a cache and without`(_ caching: Int) async throws {
        try await withWorkers(caching: caching) { client, _ in
            let parent = try await client.executeWorkflow(
                type: Parent.self, options: .init(id: "p", taskQueue: "q"), input: 4)
            #expect(parent == 9)
            let many = try await client.executeWorkflow(
                type: Families.self, options: .init(id: "many", taskQueue: "q"), input: Array(0..<20))
            #expect(many == (0..<20).map { 2 * $0 })
            let heard = try await client.executeWorkflow(
                type: Signaling.self, options: .init(id: "s", taskQueue: "q"))
            #expect(heard == ["one", "end"])
            let known = try await client.executeWorkflow(
                type: Relations.self, options: .init(id: "r", taskQueue: "q"), input: true)
            #expect(known == ["r", "r"])
        }
    }

    @Test func `a child's failure fails its parent, and the history replays`() async throws {
        try await withWorkers { client, _ in
            let handle = try await client.startWorkflow(
                type: Parent.self, options: .init(id: "p", taskQueue: "q"), input: -1)
            do {
                _ = try await handle.result()
                Issue.record("it completed")
            } catch let error as WorkflowFailedError {
                #expect("\(error)".contains("negative"))
            }
            try await WorkflowReplayer(workflows: [Parent.self])
                .replayWorkflow(history: try await handle.fetchHistory())
        }
    }

    @Test func `other workflows are signalled and cancelled`() async throws {
        try await withWorkers { client, _ in
            let other = try await client.startWorkflow(
                type: Listening.self, options: .init(id: "other", taskQueue: "q"))
            let signaled = try await client.executeWorkflow(
                type: External.self, options: .init(id: "e1", taskQueue: "q"), input: "signal")
            #expect(signaled == "done")
            #expect(try await other.result() == ["end"])
            // It has ended: there is nobody to signal, and nothing left to cancel.
            let late = try await client.executeWorkflow(
                type: External.self, options: .init(id: "e2", taskQueue: "q"), input: "signal")
            #expect(late == "ExternalWorkflowExecutionNotFound")
            let idle = try await client.executeWorkflow(
                type: External.self, options: .init(id: "e3", taskQueue: "q"), input: "cancel")
            #expect(idle == "done")
        }
    }

    @Test func `terminating a parent ends its child`() async throws {
        try await withWorkers { client, database in
            let parent = try await client.startWorkflow(type: Family.self, options: .init(id: "f", taskQueue: "q2"))
            let worker = Worker(
                pool: database.pool, options: .init(taskQueue: "q2"), workflows: [Family.self, Listening.self],
                activities: [])
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await worker.run() }
                let child = client.workflowHandle(type: Listening.self, id: "f-child")
                try await eventually("the child runs") {
                    (try? await child.query(queryType: Listening.Count.self)) == 0
                }
                try await parent.terminate()
                do {
                    _ = try await child.result()
                    Issue.record("the child completed")
                } catch let error as WorkflowFailedError {
                    #expect("\(error)".contains("by parent close policy"))
                }
                group.cancelAll()
            }
        }
    }

    @Workflow
    struct Family {
        func run(context: WorkflowContext<Self>, input: Void) async throws -> [String] {
            try await context.executeChildWorkflow(name: "Listening", options: .init(id: "f-child"), input: JSON.null)
        }
    }
}
