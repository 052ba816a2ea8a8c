import PerdureEngine
public import Postgres

/// An activity that runs inside the database transaction that records its completion. Its rows and the event are
/// committed together or not at all: what it does in this database happens exactly once, whatever fails.
///
/// `@Activity` makes one of a method that takes a `PostgresConnection` beside its input.
public protocol TransactionalActivityDefinition: ActivityDefinition {
    // Again, so that they can be told from the method below.
    associatedtype Input
    associatedtype Output

    /// One attempt. What it does by `connection` is a part of the transaction, which the worker begins (read committed)
    /// and ends; the attempt neither commits nor rolls back, and keeps it short, for rows that it has changed stay
    /// locked until then.
    ///
    /// An attempt that throws, takes too long or is not its worker's any more is rolled back, and tried again by
    /// policy.
    func run(connection: PostgresConnection, input: Input) async throws -> Output
}

extension TransactionalActivityDefinition {
    public func run(input: Input) async throws -> Output {
        guard let connection = ActivityExecutionContext.current?.transaction else {
            throw ApplicationError(
                message: "\(Self.name) is a transactional activity: only a worker can run it", type: "NoTransaction",
                isNonRetryable: true)
        }
        return try await run(connection: connection, input: input)
    }
}

/// Where a transactional activity works.
package typealias ActivityTransaction = PostgresConnection
