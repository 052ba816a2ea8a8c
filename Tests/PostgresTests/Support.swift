import Foundation
import Logging
import Postgres
import Synchronization
import TestSupport
import Testing

/// A connection for one test, closed afterwards.
@discardableResult
func withConnection<T>(
    _ configuration: PostgresConfiguration = PostgresConfiguration(serverURL),
    isolation: isolated (any Actor)? = #isolation, _ body: (PostgresConnection) async throws -> sending T
) async throws -> sending T {
    let connection = try await PostgresConnection.connect(configuration, logger: quiet)
    do {
        let value = try await body(connection)
        await connection.close()
        return value
    } catch {
        await connection.close()
        throw error
    }
}

@discardableResult
func withPool<T>(
    _ configuration: PostgresConfiguration = PostgresConfiguration(serverURL), maximumConnections: Int = 4,
    acquireTimeout: Duration = .seconds(30), isolation: isolated (any Actor)? = #isolation,
    _ body: (PostgresPool) async throws -> sending T
) async throws -> sending T {
    let pool = PostgresPool(
        configuration, maximumConnections: maximumConnections, acquireTimeout: acquireTimeout, logger: quiet)
    do {
        let value = try await body(pool)
        await pool.close()
        return value
    } catch {
        await pool.close()
        throw error
    }
}

extension PostgresConnection {
    func value<T: PostgresDecodable>(_ query: PostgresQuery, as type: T.Type = T.self) async throws -> T {
        try await self.query(query)[0].decode(type, at: 0)
    }
}

/// The error that the body throws; anything else fails the test.
func postgresError(
    sourceLocation: SourceLocation = #_sourceLocation, _ body: () async throws -> Void
) async throws -> PostgresError {
    do {
        try await body()
    } catch let error as PostgresError {
        return error
    }
    Issue.record("it threw nothing", sourceLocation: sourceLocation)
    throw CancellationError()
}

/// Random, and the same in every run.
struct Random: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }
    /// SplitMix64.
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// A number that many tasks write.
final class Tally: Sendable {
    private let number = Mutex(0)
    var value: Int { number.withLock { $0 } }
    func raise(to value: Int) { number.withLock { $0 = max($0, value) } }
    func add() { number.withLock { $0 += 1 } }
}
