import Foundation
import Logging
import PerdureEngine
import PerdureTesting
import Synchronization
import Testing

@testable import Perdure

private let brief = ActivityOptions(startToCloseTimeout: .seconds(30))

/// What interceptors have seen, in order.
private final class Calls: Sendable {
    private let calls = Mutex<[String]>([])
    var all: [String] { calls.withLock { $0 } }
    func note(_ call: String) { calls.withLock { $0.append(call) } }
}

/// Hands on who asked: from the client to workflows, and from there to all that they affect.
private struct Tenant: ClientInterceptor, WorkerInterceptor {
    let name: String
    let calls: Calls

    var clientOutboundInterceptor: Client? { Client(name: name) }
    var workflowInboundInterceptor: Inbound? { Inbound(calls: calls) }
    var workflowOutboundInterceptor: Outbound? { Outbound() }
    var activityInboundInterceptor: Activities? { Activities(calls: calls) }
    var activityOutboundInterceptor: Heartbeats? { Heartbeats(calls: calls) }

    struct Client: ClientOutboundInterceptor {
        let name: String
        private var headers: [String: Payload] { ["tenant": Payload(plain: .string(name))] }

        func startWorkflow<Input>(
            input: StartWorkflowInput<Input>,
            next: (StartWorkflowInput<Input>) async throws -> UntypedWorkflowHandle
        ) async throws -> UntypedWorkflowHandle {
            var input = input
            input.headers = headers
            return try await next(input)
        }

        func signalWithStartWorkflow<Input, SignalInput>(
            input: SignalWithStartWorkflowInput<Input, SignalInput>,
            next: (SignalWithStartWorkflowInput<Input, SignalInput>) async throws -> UntypedWorkflowHandle
        ) async throws -> UntypedWorkflowHandle {
            var input = input
            input.headers = headers
            return try await next(input)
        }

        func signalWorkflow<Input>(
            input: SignalWorkflowInput<Input>, next: (SignalWorkflowInput<Input>) async throws -> Void
        ) async throws {
            var input = input
            input.headers = headers
            try await next(input)
        }

        func queryWorkflow<Input>(
            input: QueryWorkflowInput<Input>, next: (QueryWorkflowInput<Input>) async throws -> [Payload]
        ) async throws -> [Payload] {
            var input = input
            input.headers = headers
            return try await next(input)
        }

        func startWorkflowUpdate<Input>(
            input: StartWorkflowUpdateInput<Input>,
            next: (StartWorkflowUpdateInput<Input>) async throws -> UntypedWorkflowUpdateHandle
        ) async throws -> UntypedWorkflowUpdateHandle {
            var input = input
            input.headers = headers
            return try await next(input)
        }
    }

    struct Inbound: WorkflowInboundInterceptor {
        let calls: Calls

        func executeWorkflow<Workflow: WorkflowDefinition>(
            input: ExecuteWorkflowInput<Workflow>,
            next: (ExecuteWorkflowInput<Workflow>) async throws -> Workflow.Output
        ) async throws -> Workflow.Output {
            if !input.info.isReplaying { calls.note("run \(Workflow.name) \(input.headers.tenant)") }
            return try await next(input)
        }

        func handleSignal<Signal: WorkflowSignalDefinition>(
            input: HandleSignalInput<Signal>, next: (HandleSignalInput<Signal>) async throws -> Void
        ) async throws {
            if !input.info.isReplaying { calls.note("signal \(input.name) \(input.headers.tenant)") }
            try await next(input)
        }

        func handleQuery<Query: WorkflowQueryDefinition>(
            input: HandleQueryInput<Query>, next: (HandleQueryInput<Query>) throws -> Query.Output
        ) throws -> Query.Output {
            calls.note("query \(input.name) \(input.headers.tenant)")
            return try next(input)
        }

        func validateUpdate<Update: WorkflowUpdateDefinition>(
            input: HandleUpdateInput<Update>, next: (HandleUpdateInput<Update>) throws -> Void
        ) throws {
            calls.note("validate \(input.name) \(input.headers.tenant)")
            try next(input)
        }

        func handleUpdate<Update: WorkflowUpdateDefinition>(
            input: HandleUpdateInput<Update>, next: (HandleUpdateInput<Update>) async throws -> Update.Output
        ) async throws -> Update.Output {
            if !input.info.isReplaying { calls.note("update \(input.name) \(input.headers.tenant)") }
            return try await next(input)
        }
    }

    struct Outbound: WorkflowOutboundInterceptor {
        private func own(_ info: WorkflowInfo) -> [String: Payload] { info.headers }

        func executeActivity<Input, Output: Sendable>(
            input: ScheduleActivityInput<Input>, next: (ScheduleActivityInput<Input>) async throws -> Output
        ) async throws -> Output {
            var input = input
            input.headers = own(input.info)
            return try await next(input)
        }

        func startChildWorkflow<Input>(
            input: StartChildWorkflowInput<Input>,
            next: (StartChildWorkflowInput<Input>) async throws -> UntypedChildWorkflowHandle
        ) async throws -> UntypedChildWorkflowHandle {
            var input = input
            input.headers = own(input.info)
            return try await next(input)
        }

        func signalWorkflow<Input>(
            input: SignalChildWorkflowInput<Input>, next: (SignalChildWorkflowInput<Input>) async throws -> Void
        ) async throws {
            var input = input
            input.headers = own(input.info)
            try await next(input)
        }

        func signalExternalWorkflow<Input>(
            input: SignalExternalWorkflowInput<Input>,
            next: (SignalExternalWorkflowInput<Input>) async throws -> Void
        ) async throws {
            var input = input
            input.headers = own(input.info)
            try await next(input)
        }

        func makeContinueAsNewError<Input>(
            input: MakeContinueAsNewErrorInput<Input>,
            next: (MakeContinueAsNewErrorInput<Input>) async throws -> ContinueAsNewError
        ) async throws -> ContinueAsNewError {
            var input = input
            input.headers = own(input.info)
            return try await next(input)
        }
    }

    struct Activities: ActivityInboundInterceptor {
        let calls: Calls

        func executeActivity<Activity: ActivityDefinition>(
            input: ExecuteActivityInput<Activity>,
            next: (ExecuteActivityInput<Activity>) async throws -> Activity.Output
        ) async throws -> Activity.Output {
            calls.note("activity \(Activity.name) \(input.headers.tenant)")
            return try await next(input)
        }
    }

    struct Heartbeats: ActivityOutboundInterceptor {
        let calls: Calls

        func heartbeat(input: HeartbeatInput, next: (HeartbeatInput) throws -> Void) throws {
            calls.note("heartbeat \(input.details)")
            try next(input)
        }
    }
}

extension [String: Payload] {
    fileprivate var tenant: String { self["tenant"].flatMap { $0.data?.stringValue } ?? "nobody" }
}

@ActivityContainer
private struct Desk {
    @Activity
    func stamp(input: String) throws -> String {
        try ActivityExecutionContext.current?.heartbeat(details: 1)
        return "\(input) stamped"
    }
}

@Workflow
private struct Errand {
    var isDone = false

    func run(context: WorkflowContext<Self>, input: Void) async throws {
        try await context.condition { $0.isDone }
    }

    @WorkflowSignal
    mutating func finish() { isDone = true }
}

@Workflow
private struct Journey {
    var stamps: [String] = []
    var legs = 0

    func run(context: WorkflowContext<Self>, input: Int) async throws -> [String] {
        try await context.condition { $0.legs > 0 }
        stamps.append(
            try await context.executeActivity(Desk.Activities.Stamp.self, options: brief, input: "leg \(input)"))
        let errand = try await context.startChildWorkflow(
            Errand.self, options: .init(id: "\(context.info.workflowID)-errand-\(input)"))
        try await errand.signalWorkflow(signalType: Errand.Finish.self)
        try await errand.result()
        let other = context.getExternalWorkflowHandle(Errand.self, id: "\(context.info.workflowID)-other-\(input)")
        try await other.signal(signalType: Errand.Finish.self)
        guard input < 2 else { return stamps }
        throw try await context.makeContinueAsNewError(input: input + 1)
    }

    @WorkflowSignal
    mutating func depart() { legs += 1 }

    @WorkflowUpdate
    mutating func hurry() { legs += 1 }

    @WorkflowQuery
    func count() -> Int { stamps.count }
}

/// Writes down when it is entered and left, and adds its name to what passes.
private struct Layer: WorkerInterceptor {
    let name: String
    let calls: Calls

    var workflowOutboundInterceptor: Outbound? { Outbound(name: name, calls: calls) }

    struct Outbound: WorkflowOutboundInterceptor {
        let name: String
        let calls: Calls

        func executeActivity<Input, Output: Sendable>(
            input: ScheduleActivityInput<Input>, next: (ScheduleActivityInput<Input>) async throws -> Output
        ) async throws -> Output {
            calls.note("enter \(name)")
            defer { calls.note("leave \(name)") }
            var input = input
            input.name += name
            input.options.taskQueue = (input.options.taskQueue ?? "") + name
            return try await next(input)
        }

        func handleSleep(input: HandleSleepInput, next: (HandleSleepInput) async throws -> Void) async throws {
            var input = input
            input.duration *= 2
            try await next(input)
        }
    }
}

@Workflow
private struct Nap {
    func run(context: WorkflowContext<Self>, input: Void) async throws -> String {
        try await context.sleep(for: .seconds(1))
        return try await context.executeActivity(name: "a", options: brief)
    }
}

@Suite("Interceptors")
struct InterceptorTests {
    @Test("Each surrounds the next, the first outermost, and may change what passes; on replay as before")
    func order() async throws {
        let calls = Calls()
        let surroundings = Surroundings(interceptors: [Layer(name: "1", calls: calls), Layer(name: "2", calls: calls)])
        let run = try DrivenRun(Nap.self, input: JSON.null, surroundings: surroundings)
        let timer = try run.task()
        #expect(timer.first?.attributes["startToFireTimeout"] == "4s")
        run.fire("1")
        let activity = try run.task()
        #expect(activity.summaries == ["ScheduleActivityTask (a12, id 1)"])
        #expect(activity.first?.attributes["taskQueue"]?["name"] == "12")
        run.evict()
        try run.complete("1", "done")
        try run.task()
        #expect(try run.result(as: String.self) == "done")
        let passage = ["enter 1", "enter 2", "leave 2", "leave 1"]
        #expect(calls.all == passage + passage)
        try await WorkflowReplayer(
            workflows: [Nap.self], interceptors: [Layer(name: "1", calls: calls), Layer(name: "2", calls: calls)]
        ).replayWorkflow(history: run.events)
    }

    @Test("What an interceptor says goes with the command, and a command without it says nothing")
    func commands() throws {
        let headers: [String: Payload] = ["tenant": Payload(plain: "ann")]
        let surroundings = Surroundings(interceptors: [Tenant(name: "", calls: Calls())])
        for (surroundings, header) in [(surroundings, headers.json), (.none, nil)] as [(Surroundings, JSON?)] {
            let run = try DrivenRun(
                Journey.self, input: 1, attributes: ["header": headers.json], surroundings: surroundings)
            try run.signal("Depart", headers: headers)
            #expect(try run.task().map { $0.attributes["header"] } == [header])
            try run.complete("1", "stamped")
            #expect(try run.task().map { $0.attributes["header"] } == [header])
            run.child("w-errand-1", .childWorkflowExecutionStarted)
            #expect(try run.task().map { $0.attributes["header"] } == [header])
        }
    }

    @Test("Headers go from the client through workflows, activities, children, signals and runs that follow")
    func propagation() async throws {
        try await TestDatabase.with { database in
            let calls = Calls()
            let tenant = Tenant(name: "ann", calls: calls)
            let client = PerdureClient(pool: database.pool, interceptors: [tenant])
            var options = WorkerOptions(taskQueue: "desk")
            options.interceptors = [tenant]
            let worker = Worker(
                pool: database.pool, options: options, workflows: [Journey.self, Errand.self],
                activityContainers: [Desk()],
                logger: Logger(label: "worker", factory: { _ in SwiftLogNoOpLogHandler() }))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await worker.run() }
                for leg in 1...2 {
                    try await client.startWorkflow(
                        type: Errand.self, options: .init(id: "j-other-\(leg)", taskQueue: "desk"))
                }
                let journey = try await client.startWorkflow(
                    type: Journey.self, options: .init(id: "j", taskQueue: "desk"), input: 1)
                #expect(try await journey.query(queryType: Journey.Count.self) == 0)
                try await journey.executeUpdate(updateType: Journey.Hurry.self)
                // Of the second run.
                let first = journey.resultRunID
                _ = try? await journey.result(followRuns: false)
                let second = client.workflowHandle(type: Journey.self, id: "j")
                try await second.signal(signalType: Journey.Depart.self)
                #expect(try await journey.result() == ["leg 2 stamped"])
                for leg in 1...2 {
                    try await client.workflowHandle(type: Errand.self, id: "j-other-\(leg)").result()
                }
                #expect(first != nil)
                group.cancelAll()
                try await group.waitForAll()
            }
            let seen = calls.all
            #expect(seen.filter { $0.hasSuffix("nobody") } == [])
            for (call, count) in [
                ("run Journey ann", 2), ("run Errand ann", 4), ("query Count ann", 1), ("validate Hurry ann", 1),
                ("update Hurry ann", 1), ("signal Depart ann", 1), ("activity Stamp ann", 2),
                ("signal Finish ann", 4), ("heartbeat [1]", 2),
            ] {
                #expect(seen.count { $0 == call } == count, "\(call) in \(seen)")
            }
        }
    }
}
