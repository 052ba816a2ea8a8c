import CLibPQ

/// The rows that a statement returned. Values are read from libpq's own memory when they are asked for.
public struct PostgresRows: RandomAccessCollection, Sendable {
    private let result: ResultHandle

    /// The names of the columns, in order.
    public let columns: [String]

    /// The rows that the statement inserted, updated, deleted, copied or returned.
    public let affected: Int

    init(_ result: ResultHandle) {
        self.result = result
        columns = (0..<PQnfields(result.pointer)).map { String(cString: PQfname(result.pointer, $0)) }
        affected = Int(String(cString: PQcmdTuples(result.pointer))) ?? 0
        endIndex = Int(PQntuples(result.pointer))
    }

    public var startIndex: Int { 0 }
    public let endIndex: Int

    public subscript(position: Int) -> PostgresRow {
        precondition(indices.contains(position), "row \(position) of \(count)")
        return PostgresRow(result: result, columns: columns, index: position)
    }
}

/// One row. It keeps the whole result in memory for as long as it lives.
public struct PostgresRow: Sendable {
    let result: ResultHandle
    /// The names of the columns, in order.
    public let columns: [String]
    let index: Int

    /// The value of the column with that name; the first one if several have it.
    ///
    /// Throws an error of kind `.decoding` that names the column if there is none, if its type is another one, or if
    /// it is NULL and `T` is not an optional.
    public func decode<T: PostgresDecodable>(_ type: T.Type, _ column: String) throws -> T {
        guard let index = columns.firstIndex(of: column) else {
            let known = columns.joined(separator: ", ")
            throw PostgresError(.decoding, "there is no column \"\(column)\"; the columns are: \(known)")
        }
        return try decode(type, at: index)
    }

    public func decode<T: PostgresDecodable>(_ column: String) throws -> T {
        try decode(T.self, column)
    }

    /// The value of a column by its place, from 0. Throws as the one that takes a name does.
    public func decode<T: PostgresDecodable>(_ type: T.Type = T.self, at index: Int) throws -> T {
        guard columns.indices.contains(index) else {
            throw PostgresError(.decoding, "there is no column \(index); the row has \(columns.count)")
        }
        return try withExtendedLifetime(result) {
            try T(postgres: PostgresCell(result: result.pointer, row: self.index, column: index))
        }
    }
}

/// Owns a PGresult.
///
/// Unchecked because of the pointer only: libpq's documentation says that a PGresult may be read by any thread once it
/// has been made, nothing here writes to it, and it is freed when the last reader has gone.
final class ResultHandle: @unchecked Sendable {
    let pointer: OpaquePointer
    init(_ pointer: OpaquePointer) { self.pointer = pointer }
    deinit { PQclear(pointer) }
}
