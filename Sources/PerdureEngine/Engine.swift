import Foundation
public import Postgres

/// The SQL contract as Swift functions: one method a function of schema `perdure`, and nothing else. It holds no state;
/// every call is one statement, hence one transaction, unless it is made ``on(_:)`` a connection.
///
/// All methods throw ``EngineError`` for what the engine refuses and `PostgresError` for everything else.
public struct Engine: Sendable {
    public let pool: PostgresPool
    private var connection: PostgresConnection?

    public init(pool: PostgresPool) { self.pool = pool }

    /// The same on one connection: every call is a part of the transaction that is open there.
    public func on(_ connection: PostgresConnection) -> Engine {
        var engine = self
        engine.connection = connection
        return engine
    }

    func query(_ query: PostgresQuery) async throws -> PostgresRows {
        do {
            if let connection { return try await connection.query(query) }
            return try await pool.query(query)
        } catch let error as PostgresError {
            throw EngineError(error) ?? error
        }
    }

    func row(_ query: PostgresQuery) async throws -> PostgresRow {
        guard let row = try await self.query(query).first else {
            throw PostgresError(.decoding, "a function that returns one row returned none")
        }
        return row
    }

    /// The shards of this installation; most have one.
    public func shards() async throws -> [Int16] {
        let row = try await row("select (value #>> '{}')::smallint from perdure.settings where name = 'shard_count'")
        return try Array(0..<row.decode(Int16.self, at: 0))
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
