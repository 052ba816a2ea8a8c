import Foundation
import Perdure

// What Benchmarks/poisons.py starts, by the names of these types. Each does one thing that no program should do.

enum Misuse {
    static let workflows: [any WorkflowDefinition.Type] = [
        CallsActivity.self, Listens.self, Busy.self, ThrowsCancellation.self, Sleeps.self, HandlerSleeps.self,
        WaitsOutside.self, Yields.self, Blocks.self, LongTimer.self, LargeResult.self, LargeFailure.self,
    ]
}

/// What the compiler refuses in async code, and what a call may hide.
private func block(for seconds: Double) { Thread.sleep(forTimeInterval: seconds) }

/// `String(repeating:count:)` appends each character by itself: 16 million of them take a tenth of a second.
private func text(_ bytes: Int) -> String {
    String(decoding: [UInt8](repeating: UInt8(ascii: "x"), count: bytes), as: UTF8.self)
}

/// Calls an activity by its name, with the input's retry interval.
@Workflow
struct CallsActivity {
    struct Call: Codable {
        var activity: String
        var retrySeconds: Int?
        var maximumAttempts: Int?
        var heartbeatSeconds: Int?

        enum CodingKeys: String, CodingKey {
            case activity
            case retrySeconds = "retry_seconds"
            case maximumAttempts = "maximum_attempts"
            case heartbeatSeconds = "heartbeat_seconds"
        }
    }

    func run(context: WorkflowContext<Self>, input: Call) async throws {
        try await context.executeActivity(
            name: input.activity,
            options: ActivityOptions(
                startToCloseTimeout: .seconds(20), heartbeatTimeout: input.heartbeatSeconds.map { .seconds($0) },
                retryPolicy: RetryPolicy(
                    initialInterval: .seconds(input.retrySeconds ?? 1), maximumAttempts: input.maximumAttempts ?? 0)))
    }
}

/// Takes whatever signals come, and ends by one of its own.
@Workflow
struct Listens {
    var isOver = false

    func run(context: WorkflowContext<Self>, input: Void) async throws { try await context.condition { $0.isOver } }

    @WorkflowSignal
    func over() { isOver = true }
}

/// Computes for a second in each workflow task, so that signals come meanwhile.
@Workflow
struct Busy {
    var isOver = false

    func run(context: WorkflowContext<Self>, input: Void) async throws {
        block(for: 1)
        try await context.condition { $0.isOver }
    }

    @WorkflowSignal
    func over() { isOver = true }
}

@Workflow
struct ThrowsCancellation {
    func run(context: WorkflowContext<Self>, input: Void) async throws { throw CancellationError() }
}

@Workflow
struct Sleeps {
    func run(context: WorkflowContext<Self>, input: Void) async throws {
        while true { try? await Task.sleep(for: .seconds(1)) }
    }

    @WorkflowSignal
    func over() {}
}

@Workflow
struct HandlerSleeps {
    var isOver = false

    func run(context: WorkflowContext<Self>, input: Void) async throws { try await context.condition { $0.isOver } }

    @WorkflowSignal
    func over() async throws {
        try await Task.sleep(for: .milliseconds(50))
        isOver = true
    }
}

@Workflow
struct WaitsOutside {
    var isOver = false

    func run(context: WorkflowContext<Self>, input: Void) async throws {
        await withCheckedContinuation { continuation in
            DispatchQueue.global().asyncAfter(deadline: .now() + 0.2) { continuation.resume() }
        }
        try await context.condition { $0.isOver }
    }

    @WorkflowSignal
    func over() { isOver = true }
}

@Workflow
struct Yields {
    var isOver = false

    func run(context: WorkflowContext<Self>, input: Void) async throws { while !isOver { await Task.yield() } }

    @WorkflowSignal
    func over() { isOver = true }
}

@Workflow
struct Blocks {
    func run(context: WorkflowContext<Self>, input: Void) async throws { block(for: 4) }
}

@Workflow
struct LongTimer {
    func run(context: WorkflowContext<Self>, input: Double) async throws {
        try await context.sleep(for: .seconds(input))
    }
}

@Workflow
struct LargeResult {
    func run(context: WorkflowContext<Self>, input: Int) async throws -> String { text(input) }
}

@Workflow
struct LargeFailure {
    func run(context: WorkflowContext<Self>, input: Int) async throws {
        throw ApplicationError(message: text(input))
    }
}

@ActivityContainer
struct BadActivities {
    @Activity
    func largeHeartbeat() async throws {
        let context = ActivityExecutionContext.current
        for _ in 0..<10 {
            try context?.heartbeat(details: text(3 << 20))
            try await Task.sleep(for: .milliseconds(500))
        }
    }

    @Activity
    func largeOutput() -> String { text(5 << 20) }

    @Activity
    func largeError() throws { throw ApplicationError(message: text(16 << 20)) }

    @Activity
    func fails() throws { throw ApplicationError(message: "it always does") }

    @Activity
    func throwsCancellation() throws { throw CancellationError() }

    @Activity
    func nullCharacter() throws -> String { throw ApplicationError(message: "a\u{0}b", type: "\u{0}") }
}
