import Foundation
public import Postgres
import Synchronization

/// The SQL contract as Swift functions: one method a function of schema `perdure`, and nothing else. It holds no state
/// but how many shards there are, which never changes; every call is one statement, hence one transaction, unless it is
/// made ``on(_:)`` a connection.
///
/// All methods throw ``EngineError`` for what the engine refuses, which includes a database that is not migrated, and
/// `PostgresError` for everything else.
public struct Engine: Sendable {
    public let pool: PostgresPool
    private var connection: PostgresConnection?
    private let shardCount = ShardCount()

    public init(pool: PostgresPool) { self.pool = pool }

    /// The same on one connection: every call is a part of the transaction that is open there.
    public func on(_ connection: PostgresConnection) -> Engine {
        var engine = self
        engine.connection = connection
        return engine
    }

    var isInTransaction: Bool { connection != nil }

    func query(_ query: PostgresQuery) async throws -> PostgresRows {
        do {
            if let connection { return try await connection.query(query) }
            return try await pool.query(query)
        } catch let error as PostgresError {
            throw Self.meaning(error)
        }
    }

    static func meaning(_ error: PostgresError) -> any Error {
        let refusal = EngineError(error) ?? EngineError(notMigrated: error)
        return refusal ?? error
    }

    func row(_ query: PostgresQuery) async throws -> PostgresRow {
        guard let row = try await self.query(query).first else {
            throw PostgresError(.decoding, "a function that returns one row returned none")
        }
        return row
    }

    /// The shards of this installation; most have one.
    public func shards() async throws -> [Int16] {
        try await Array(0..<count())
    }

    /// The shard of every workflow, if there is but one.
    func onlyShard() async throws -> Int16? { try await count() == 1 ? 0 : nil }

    private func count() async throws -> Int16 {
        if let known = shardCount.value.withLock({ $0 }) { return known }
        let count = try await row("select perdure.shard_count()").decode(Int16.self, at: 0)
        shardCount.value.withLock { $0 = count }
        return count
    }
}

private final class ShardCount: Sendable {
    let value = Mutex<Int16?>(nil)
}

extension PostgresQuery.StringInterpolation {
    /// The shard of a workflow; the statement finds it if it is not known.
    mutating func appendInterpolation(shard: Int16?, of workflowID: String, in namespace: String) {
        if let shard {
            appendInterpolation(shard)
        } else {
            appendLiteral("perdure.shard_for(")
            appendInterpolation(namespace)
            appendLiteral(", ")
            appendInterpolation(workflowID)
            appendLiteral(")")
        }
    }
}

/// JSON travels as jsonb.
extension JSON: PostgresEncodable, PostgresDecodable {
    public static var postgresType: UInt32 { PostgresJSON.postgresType }
    public func encodePostgres(into buffer: inout [UInt8]) {
        var text: [UInt8] = []
        write(to: &text, sorted: false)
        PostgresJSON(bytes: text).encodePostgres(into: &buffer)
    }

    public init(postgres cell: PostgresCell) throws {
        do {
            try self.init(parsing: PostgresJSON(postgres: cell).bytes)
        } catch let error as JSONParseError {
            throw cell.error("holds JSON that cannot be read: \(error)")
        }
    }
}

/// `timestamptz`, exact.
extension Timestamp: PostgresEncodable, PostgresDecodable {
    public static var postgresType: UInt32 { Date.postgresType }
    public func encodePostgres(into buffer: inout [UInt8]) { date.encodePostgres(into: &buffer) }
    public init(postgres cell: PostgresCell) throws { self.init(try Date(postgres: cell)) }
}
