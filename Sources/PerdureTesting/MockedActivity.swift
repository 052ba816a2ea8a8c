public import Perdure
import Synchronization

/// An activity that stands for another in a test: of the same name and types, with a body that the test gives.
///
/// ```swift
/// let withdraw = MockedActivity(TransferActivities.Activities.Withdraw.self) { movement in
///     guard movement.amount < limit else { throw ApplicationError(message: "too much", isNonRetryable: true) }
///     return balance
/// }
/// ```
public struct MockedActivity<Activity: ActivityDefinition>: ActivityDefinition {
    public static var name: String { Activity.name }

    private let body: @Sendable (Activity.Input) async throws -> Activity.Output
    private let calls = Calls()

    /// - Parameter body: what each attempt does. ``ActivityExecutionContext/current`` tells which it is.
    public init(
        _ activity: Activity.Type, _ body: @escaping @Sendable (Activity.Input) async throws -> Activity.Output
    ) {
        self.body = body
    }

    /// - Parameter output: what every attempt returns.
    public init(_ activity: Activity.Type, returning output: Activity.Output) {
        self.init(activity) { _ in output }
    }

    /// - Parameter error: what every attempt throws.
    public init(_ activity: Activity.Type, throwing error: any Error) {
        self.init(activity) { _ in throw error }
    }

    /// The inputs of all attempts so far, in the order in which these began.
    public var inputs: [Activity.Input] { calls.inputs.withLock { $0 } }

    public func run(input: Activity.Input) async throws -> Activity.Output {
        calls.inputs.withLock { $0.append(input) }
        return try await body(input)
    }

    /// Shared by all copies.
    private final class Calls: Sendable {
        let inputs = Mutex<[Activity.Input]>([])
    }
}
