import PerdureEngine

/// Code that may touch the world: it is run by a worker, retried by policy, and its result is kept in history.
///
/// `@ActivityContainer` and `@Activity` make these of a type's methods.
public protocol ActivityDefinition: Sendable {
    associatedtype Input: Sendable
    associatedtype Output: Sendable
    /// The activity type, which histories show. The type's name by default.
    static var name: String { get }
    /// The code as it was built, for people who look at a run; nil if it is not to be shown. `@ActivityContainer` knows it.
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
            let input: Input
            do {
                input = try PayloadConversion.decode(Input.self, from: attempt.task.input)
            } catch {
                throw ApplicationError(
                    message: "the input of activity \(Self.name) cannot be read as \(Input.self): \(error)",
                    type: "InvalidInput", isNonRetryable: true)
            }
            let output = try await ActivityExecutionContext.$taskLocal.withValue(ActivityExecutionContext(attempt)) {
                do {
                    return try await self.run(input: input)
                } catch {
                    throw Failure(error)
                }
            }
            return try PayloadConversion.encode(output)
        }
    }
}
