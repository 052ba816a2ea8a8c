import PerdureEngine

/// Code that may touch the world: it is run by a worker, retried by policy, and its result is kept in history.
///
/// `@ActivityContainer` and `@Activity` make these of a type's methods.
public protocol ActivityDefinition: Sendable {
    associatedtype Input: Sendable
    associatedtype Output: Sendable
    /// The activity type, which histories show. The type's name by default.
    static var name: String { get }
    /// The code as it was built, for people who look at a run; nil if it is not to be shown. `@ActivityContainer` knows
    /// it.
    static var sourceCode: SourceCode? { get }
    /// One attempt. ``ActivityExecutionContext/current`` tells which.
    func run(input: Input) async throws -> Output
}

extension ActivityDefinition {
    public static var name: String { String(describing: self) }
    public static var sourceCode: SourceCode? { nil }
}

/// A type whose methods are activities. `@ActivityContainer` makes it so.
public protocol ActivityContainer: Sendable {
    var allActivities: [any ActivityDefinition] { get }
}

extension ActivityDefinition {
    /// What a worker calls: payloads in, payloads out.
    func operation() -> @Sendable (ActivityAttempt) async throws -> [Payload] {
        { attempt in
            let converter = attempt.surroundings.converter
            do {
                let input = try Self.input(converter, attempt.task.input)
                let output = try await ActivityExecutionContext.$taskLocal.withValue(
                    ActivityExecutionContext(attempt)
                ) {
                    try await self.run(input: input, attempt)
                }
                return try converter.encode(output)
            } catch let error as CompleteActivityOutsideError {
                throw error
            } catch {
                throw converter.failure(error)
            }
        }
    }

    private static func input(_ converter: DataConverter, _ payloads: [Payload]) throws -> Input {
        do {
            return try converter.decode(from: payloads)
        } catch {
            throw ApplicationError(
                message: "the input of activity \(name) cannot be read as \(Input.self): \(error)",
                type: "InvalidInput", isNonRetryable: true)
        }
    }

    private func run(input: Input, _ attempt: ActivityAttempt) async throws -> Output {
        let interceptors = attempt.surroundings.activityInbound
        guard !interceptors.isEmpty else { return try await run(input: input) }
        return try await intercept(
            by: interceptors, ExecuteActivityInput(definition: self, headers: attempt.task.headers, input: input),
            { try await $0.executeActivity(input: $1, next: $2) },
            around: { try await $0.definition.run(input: $0.input) })
    }
}
