import CLibPQ

/// How a value travels.
public enum PostgresFormat: Int32, Sendable {
    case text = 0
    case binary = 1
}

/// A type whose values can be parameters of a statement.
///
/// An enumeration with a raw value needs no more than the conformance.
public protocol PostgresEncodable: Sendable {
    /// The OID of the parameter's type (`pg_type.oid`); 0 lets the server infer it.
    static var postgresType: UInt32 { get }
    static var postgresFormat: PostgresFormat { get }
    var isPostgresNull: Bool { get }
    /// Appends the value in `postgresFormat`. Not called for NULL.
    func encodePostgres(into buffer: inout [UInt8])
}

extension PostgresEncodable {
    public static var postgresFormat: PostgresFormat { .binary }
    public var isPostgresNull: Bool { false }
}

/// A type that can be read from a column.
///
/// An enumeration with a raw value needs no more than the conformance.
public protocol PostgresDecodable: Sendable {
    /// Throws an error of kind `.decoding` for NULL and for a type or a value that does not fit.
    init(postgres cell: PostgresCell) throws
}

/// What can be an element of an array. (`UInt8` is one, for `[UInt8]` is `bytea`, but it is no value by itself.)
public protocol PostgresArrayElement: Sendable {
    static var postgresArrayType: UInt32 { get }
    static func encodePostgres(array: [Self], into buffer: inout [UInt8])
    static func decodePostgres(array cell: PostgresCell) throws -> [Self]
}

/// A type that can be written, read and be the element of an array.
public protocol PostgresScalar: PostgresEncodable, PostgresDecodable, PostgresArrayElement {}

/// One value of a result, as the server sent it in binary. Valid only while it is being decoded.
public struct PostgresCell {
    /// The OID of its type.
    public let type: UInt32
    /// nil is NULL.
    let value: UnsafeRawBufferPointer?
    let result: OpaquePointer
    let column: Int32

    init(result: OpaquePointer, row: Int, column: Int) {
        self.result = result
        self.column = Int32(column)
        self.type = PQftype(result, self.column)
        let row = Int32(row)
        if PQgetisnull(result, row, self.column) == 1 {
            self.value = nil
        } else {
            self.value = UnsafeRawBufferPointer(
                start: PQgetvalue(result, row, self.column), count: Int(PQgetlength(result, row, self.column)))
        }
    }

    /// An element of the array in `array`.
    init(elementOf array: PostgresCell, type: UInt32, value: UnsafeRawBufferPointer?) {
        self.type = type
        self.value = value
        self.result = array.result
        self.column = array.column
    }

    public var isNull: Bool { value == nil }

    /// The bytes of a value that is not NULL.
    public func bytes() throws -> UnsafeRawBufferPointer {
        guard let value else {
            throw error("is NULL", hint: "Read it as an optional, or use coalesce in the query.")
        }
        return value
    }

    /// The big-endian integer at `offset`.
    func load<T: FixedWidthInteger>(_ type: T.Type = T.self, at offset: Int = 0) throws -> T {
        let bytes = try bytes()
        guard offset >= 0, bytes.count - offset >= MemoryLayout<T>.size else { throw error("is cut short") }
        return T(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
    }

    /// An error that names the column.
    public func error(_ problem: String, hint: String? = nil) -> PostgresError {
        let name = PQfname(result, column).map { String(cString: $0) } ?? "\(column)"
        return PostgresError(.decoding, "column \"\(name)\" \(problem)", hint: hint)
    }

    /// The error of a column that has another type than the caller wants.
    public func mismatch(_ wanted: Any.Type) -> PostgresError {
        let name = Oid.names[type] ?? "the type with OID \(type)"
        return error("is \(name), which cannot be read as \(wanted)", hint: "Cast it in the query.")
    }
}

extension Optional: PostgresEncodable where Wrapped: PostgresEncodable {
    public static var postgresType: UInt32 { Wrapped.postgresType }
    public static var postgresFormat: PostgresFormat { Wrapped.postgresFormat }
    public var isPostgresNull: Bool { self?.isPostgresNull ?? true }
    public func encodePostgres(into buffer: inout [UInt8]) { self?.encodePostgres(into: &buffer) }
}

extension Optional: PostgresDecodable where Wrapped: PostgresDecodable {
    public init(postgres cell: PostgresCell) throws {
        self = cell.isNull ? nil : try Wrapped(postgres: cell)
    }
}

extension PostgresEncodable where Self: RawRepresentable, RawValue: PostgresEncodable {
    public static var postgresType: UInt32 { RawValue.postgresType }
    public static var postgresFormat: PostgresFormat { RawValue.postgresFormat }
    public func encodePostgres(into buffer: inout [UInt8]) { rawValue.encodePostgres(into: &buffer) }
}

extension PostgresDecodable where Self: RawRepresentable, RawValue: PostgresDecodable {
    public init(postgres cell: PostgresCell) throws {
        let raw = try RawValue(postgres: cell)
        guard let value = Self(rawValue: raw) else { throw cell.error("holds \(raw), which is no \(Self.self)") }
        self = value
    }
}

/// The OIDs of built-in types; they are the same on every server.
enum Oid {
    static let bool: UInt32 = 16, bytea: UInt32 = 17, name: UInt32 = 19
    static let int8: UInt32 = 20, int2: UInt32 = 21, int4: UInt32 = 23, oid: UInt32 = 26
    static let text: UInt32 = 25, json: UInt32 = 114, jsonb: UInt32 = 3802
    static let float4: UInt32 = 700, float8: UInt32 = 701, numeric: UInt32 = 1700
    static let bpchar: UInt32 = 1042, varchar: UInt32 = 1043, unknown: UInt32 = 705
    static let timestamptz: UInt32 = 1184, uuid: UInt32 = 2950, interval: UInt32 = 1186

    static let boolArray: UInt32 = 1000, byteaArray: UInt32 = 1001, int2Array: UInt32 = 1005
    static let int4Array: UInt32 = 1007, textArray: UInt32 = 1009, int8Array: UInt32 = 1016
    static let float4Array: UInt32 = 1021, float8Array: UInt32 = 1022, timestamptzArray: UInt32 = 1185
    static let intervalArray: UInt32 = 1187, uuidArray: UInt32 = 2951, jsonbArray: UInt32 = 3807
    static let jsonArray: UInt32 = 199, nameArray: UInt32 = 1003, varcharArray: UInt32 = 1015
    static let oidArray: UInt32 = 1028, numericArray: UInt32 = 1231

    static let arrays: Set<UInt32> = [
        boolArray, byteaArray, int2Array, int4Array, int8Array, oidArray, textArray, nameArray, varcharArray,
        float4Array, float8Array, numericArray, timestamptzArray, intervalArray, uuidArray, jsonArray, jsonbArray,
    ]

    /// For error messages.
    static let names: [UInt32: String] = [
        bool: "boolean", bytea: "bytea", name: "name", int8: "bigint", int2: "smallint", int4: "integer", oid: "oid",
        text: "text", json: "json", jsonb: "jsonb", float4: "real", float8: "double precision", numeric: "numeric",
        bpchar: "character", varchar: "character varying", unknown: "unknown", timestamptz: "timestamptz",
        uuid: "uuid", interval: "interval", boolArray: "boolean[]", byteaArray: "bytea[]", int2Array: "smallint[]",
        int4Array: "integer[]", textArray: "text[]", int8Array: "bigint[]", float4Array: "real[]",
        float8Array: "double precision[]", timestamptzArray: "timestamptz[]", intervalArray: "interval[]",
        uuidArray: "uuid[]", jsonbArray: "jsonb[]", jsonArray: "json[]", nameArray: "name[]",
        varcharArray: "character varying[]", oidArray: "oid[]", numericArray: "numeric[]",
        1114: "timestamp without time zone", 1082: "date", 1083: "time",
        18: "\"char\"", 2278: "void", 2249: "record",
    ]
}
