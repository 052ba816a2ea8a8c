import Perdure
import PerdureEngine

/// Trivial activities, one after the other.
@Workflow
struct BenchSteps {
    mutating func run(context: WorkflowContext<BenchSteps>, input: Int) async throws -> Int {
        var sum = 0
        for step in 0..<input {
            sum += try await context.executeActivity(
                BenchStep.self, options: ActivityOptions(startToCloseTimeout: .seconds(60)), input: step)
        }
        return sum
    }
}

struct BenchStep: ActivityDefinition {
    /// As `@Activity` would make it; the name that a type has by itself is looked up each time.
    static let name = "BenchStep"
    func run(input: Int) async throws -> Int { input }
}

/// Sleeps for that many milliseconds.
@Workflow
struct BenchSleep {
    mutating func run(context: WorkflowContext<BenchSleep>, input: Int) async throws {
        try await context.sleep(for: .milliseconds(input))
    }
}

/// Runs an activity for each signal, as many as the input says.
@Workflow
struct BenchSignals {
    var received = 0

    @WorkflowSignal
    mutating func go(input: Int) { received += 1 }

    mutating func run(context: WorkflowContext<BenchSignals>, input: Int) async throws {
        for number in 1...input {
            try await context.condition { $0.received >= number }
            _ = try await context.executeActivity(
                BenchStep.self, options: ActivityOptions(startToCloseTimeout: .seconds(60)), input: number)
        }
    }
}
