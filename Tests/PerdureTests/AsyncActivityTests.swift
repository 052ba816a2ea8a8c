import Foundation
import Logging
import PerdureEngine
import PerdureTesting
import Postgres
import Synchronization
import TestSupport
import Testing

@testable import Perdure

/// Hands its work over, and remembers by which token its end is to be told.
@ActivityContainer
private struct Handover {
    let tokens: Mailbox

    @Activity
    func approve(order: String) async throws -> String {
        let info = try #require(ActivityExecutionContext.current?.info)
        tokens.put(info.taskToken)
        if let left = try info.heartbeatDetails(as: String.self) { return "resumed from \(left)" }
        throw CompleteActivityOutsideError()
    }
}

private final class Mailbox: Sendable {
    private let tokens = Mutex<[[UInt8]]>([])
    var all: [[UInt8]] { tokens.withLock { $0 } }
    func put(_ token: [UInt8]) { tokens.withLock { $0.append(token) } }
}

@Workflow
private struct Approval {
    func run(context: WorkflowContext<Self>, input: String) async throws -> String {
        let options = ActivityOptions(
            startToCloseTimeout: .seconds(60), cancellationType: .waitCancellationCompleted,
            retryPolicy: RetryPolicy(initialInterval: .milliseconds(5)), activityID: "approval")
        if input == "canceled" {
            return try await context.timeout(for: .milliseconds(50)) {
                try await context.executeActivity(Handover.Activities.Approve.self, options: options, input: input)
            }
        }
        return try await context.executeActivity(Handover.Activities.Approve.self, options: options, input: input)
    }
}

private func approving(
    _ input: String = "order",
    _ body: (PerdureClient, WorkflowHandle<Approval>, Mailbox, PostgresPool) async throws -> Void
) async throws {
    try await TestDatabase.with { database in
        let tokens = Mailbox()
        let worker = Worker(
            pool: database.pool, options: WorkerOptions(taskQueue: "q"), workflows: [Approval.self],
            activityContainers: [Handover(tokens: tokens)], logger: .silent)
        let running = Task { try await worker.run() }
        let client = PerdureClient(pool: database.pool)
        let handle = try await client.startWorkflow(
            type: Approval.self, options: .init(id: "w", taskQueue: "q"), input: input)
        try await eventually("the activity has begun") { !tokens.all.isEmpty }
        try await body(client, handle, tokens, database.pool)
        running.cancel()
        _ = try? await running.value
    }
}

@Suite("Activities that are completed from outside", .timeLimit(.minutes(5)))
struct AsyncActivityTests {
    @Test("By the token of the attempt")
    func byToken() async throws {
        try await approving { client, handle, tokens, _ in
            let activity = try client.asyncActivityHandle(taskToken: tokens.all[0])
            try await activity.heartbeat(details: "half")
            try await activity.complete("yes")
            #expect(try await handle.result() == "yes")
            await #expect(throws: AsyncActivityNotFoundError.self) { try await activity.complete("again") }
            await #expect(throws: AsyncActivityNotFoundError.self) { try await activity.heartbeat() }
        }
    }

    @Test("By the id of the activity")
    func byID() async throws {
        try await approving { client, handle, _, _ in
            try await client.asyncActivityHandle(workflowID: "w", activityID: "approval").complete("yes")
            #expect(try await handle.result() == "yes")
            await #expect(throws: AsyncActivityNotFoundError.self) {
                try await client.asyncActivityHandle(workflowID: "w", activityID: "approval").complete("no")
            }
            await #expect(throws: WorkflowNotFoundError.self) {
                try await client.asyncActivityHandle(workflowID: "nobody", activityID: "a").complete("no")
            }
        }
    }

    @Test("A failure is tried again, with the details of the last heartbeat")
    func fails() async throws {
        try await approving { client, handle, tokens, _ in
            let activity = client.asyncActivityHandle(workflowID: "w", activityID: "approval")
            try await activity.heartbeat(details: "half")
            try await activity.fail(ApplicationError(message: "not now"))
            #expect(try await handle.result() == "resumed from half")
            #expect(tokens.all.count == 2)
            // The first attempt's token is not the second's.
            let first = try client.asyncActivityHandle(taskToken: tokens.all[0])
            await #expect(throws: AsyncActivityNotFoundError.self) { try await first.complete("late") }
        }
    }

    @Test("It learns by its heartbeats that it is canceled, and says that it has stopped")
    func canceled() async throws {
        try await approving("canceled") { client, handle, tokens, _ in
            let activity = try client.asyncActivityHandle(taskToken: tokens.all[0])
            try await eventually("it is told") {
                do {
                    try await activity.heartbeat()
                    return false
                } catch let error as AsyncActivityCanceledError {
                    return error.isCancelRequested
                }
            }
            try await activity.reportCancellation(details: "stopped")
            await #expect(throws: WorkflowFailedError.self) { try await handle.result() }
            let history = try await handle.fetchHistory()
            let canceled = history.first { $0.eventType == .activityTaskCanceled }
            #expect(canceled?.attributes["details"]?[0]?["data"] == "stopped")
        }
    }

    @Test("It learns by its heartbeats that it is paused")
    func paused() async throws {
        try await approving { client, handle, tokens, pool in
            let activity = try client.asyncActivityHandle(taskToken: tokens.all[0])
            try await pool.query("select perdure.pause_activity('w', 'approval')")
            let error = await #expect(throws: AsyncActivityCanceledError.self) { try await activity.heartbeat() }
            #expect(error?.isPaused == true && error?.isCancelRequested == false)
            try await activity.complete("all the same")
            #expect(try await handle.result() == "all the same")
        }
    }

    @Test("What is no token is refused")
    func noToken() throws {
        let token = ActivityTaskToken(
            shard: 3, workerID: UUID(), runID: UUID(), scheduledEventID: 5, attempt: 2)
        #expect(ActivityTaskToken(bytes: token.bytes) == token)
        #expect(ActivityTaskToken(bytes: Array("1:2:3".utf8)) == nil)
        #expect(ActivityTaskToken(bytes: []) == nil)
    }

    @Test("The guide's program")
    func guide() async throws {
        let code = try String(
            contentsOf: checkout.appending(path: "Tests/PerdureTests/OutsideExample.swift"), encoding: .utf8)
        let guide = try String(contentsOf: checkout.appending(path: "docs/guides/workflows.md"), encoding: .utf8)
        #expect(
            guide.contains("<!-- completion from outside -->\n```swift\n\(code)```\n"),
            "Copy Tests/PerdureTests/OutsideExample.swift into the guide, below <!-- completion from outside -->.")
        try await TestDatabase.with { database in
            let client = PerdureClient(pool: database.pool)
            let mails = Mailbox()
            let worker = Worker(
                pool: database.pool, options: WorkerOptions(taskQueue: "q"), workflows: [Purchasing.self],
                activityContainers: [Approvals { token, _ in mails.put(token) }], logger: .silent)
            let running = Task { try await worker.run() }
            for (place, isApproved) in [true, false].enumerated() {
                let handle = try await client.startWorkflow(
                    type: Purchasing.self, options: .init(id: "order-\(place)", taskQueue: "q"), input: "pens")
                try await eventually("the mail was sent") { mails.all.count > place }
                try await decide(isApproved, on: "pens", token: mails.all[place], client: client)
                #expect(try await handle.result() == (isApproved ? "ordered" : "declined"))
                // A second click changes nothing.
                try await decide(!isApproved, on: "pens", token: mails.all[place], client: client)
            }
            running.cancel()
            _ = try? await running.value
        }
    }
}
