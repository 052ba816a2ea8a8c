import Foundation

extension Bool: PostgresScalar {
    public static var postgresType: UInt32 { Oid.bool }
    public static var postgresArrayType: UInt32 { Oid.boolArray }
    public func encodePostgres(into buffer: inout [UInt8]) { buffer.append(self ? 1 : 0) }
    public init(postgres cell: PostgresCell) throws {
        guard cell.type == Oid.bool else { throw cell.mismatch(Self.self) }
        self = try cell.load(UInt8.self) != 0
    }
}

// MARK: Numbers

extension Int16: PostgresScalar {
    public static var postgresType: UInt32 { Oid.int2 }
    public static var postgresArrayType: UInt32 { Oid.int2Array }
    public func encodePostgres(into buffer: inout [UInt8]) { buffer.append(bigEndian: self) }
    public init(postgres cell: PostgresCell) throws { self = try cell.integer() }
}

extension Int32: PostgresScalar {
    public static var postgresType: UInt32 { Oid.int4 }
    public static var postgresArrayType: UInt32 { Oid.int4Array }
    public func encodePostgres(into buffer: inout [UInt8]) { buffer.append(bigEndian: self) }
    public init(postgres cell: PostgresCell) throws { self = try cell.integer() }
}

extension Int64: PostgresScalar {
    public static var postgresType: UInt32 { Oid.int8 }
    public static var postgresArrayType: UInt32 { Oid.int8Array }
    public func encodePostgres(into buffer: inout [UInt8]) { buffer.append(bigEndian: self) }
    public init(postgres cell: PostgresCell) throws { self = try cell.integer() }
}

extension Int: PostgresScalar {
    public static var postgresType: UInt32 { Oid.int8 }
    public static var postgresArrayType: UInt32 { Oid.int8Array }
    public func encodePostgres(into buffer: inout [UInt8]) { buffer.append(bigEndian: Int64(self)) }
    public init(postgres cell: PostgresCell) throws { self = try cell.integer() }
}

extension Float: PostgresScalar {
    public static var postgresType: UInt32 { Oid.float4 }
    public static var postgresArrayType: UInt32 { Oid.float4Array }
    public func encodePostgres(into buffer: inout [UInt8]) { buffer.append(bigEndian: bitPattern) }
    public init(postgres cell: PostgresCell) throws {
        guard cell.type == Oid.float4 else { throw cell.mismatch(Self.self) }
        self = Float(bitPattern: try cell.load())
    }
}

extension Double: PostgresScalar {
    public static var postgresType: UInt32 { Oid.float8 }
    public static var postgresArrayType: UInt32 { Oid.float8Array }
    public func encodePostgres(into buffer: inout [UInt8]) { buffer.append(bigEndian: bitPattern) }
    /// Reads `numeric` too, rounded to the nearest Double: `extract(epoch from …)` is one.
    public init(postgres cell: PostgresCell) throws {
        switch cell.type {
        case Oid.float8: self = Double(bitPattern: try cell.load())
        case Oid.float4: self = Double(Float(bitPattern: try cell.load()))
        case Oid.numeric: self = Double(try cell.numeric()) ?? .nan
        default: throw cell.mismatch(Self.self)
        }
    }
}

extension PostgresCell {
    /// An integer column of any width, or a `numeric` without a fraction (`sum(bigint)` is one), if it fits.
    fileprivate func integer<T: FixedWidthInteger>() throws -> T {
        let value: Int64?
        switch type {
        case Oid.int8: value = try load(Int64.self)
        case Oid.int4: value = Int64(try load(Int32.self))
        case Oid.int2: value = Int64(try load(Int16.self))
        case Oid.oid: value = Int64(try load(UInt32.self))
        case Oid.numeric: value = Int64(try numeric())
        default: throw mismatch(T.self)
        }
        guard let value, let narrow = T(exactly: value) else {
            throw error("holds a number that does not fit \(T.self)")
        }
        return narrow
    }

    /// The decimal digits of a `numeric`: base 10,000 on the wire, most significant first.
    fileprivate func numeric() throws -> String {
        let count = Int(try load(Int16.self))
        let weight = Int(try load(Int16.self, at: 2))
        let sign = try load(UInt16.self, at: 4)
        let scale = Int(try load(Int16.self, at: 6))
        switch sign {
        case 0xC000: return "NaN"
        case 0xD000: return "Infinity"
        case 0xF000: return "-Infinity"
        default: break
        }
        func group(_ index: Int) throws -> String {
            let digits = index >= 0 && index < count ? try load(Int16.self, at: 8 + 2 * index) : 0
            return String(String(Int(digits) + 10_000).dropFirst())
        }
        var whole = ""
        if weight >= 0 { for index in 0...weight { whole += try group(index) } }
        whole = String(whole.drop { $0 == "0" })
        var fraction = ""
        var index = weight + 1
        while fraction.count < scale {
            fraction += try group(index)
            index += 1
        }
        let digits = (whole.isEmpty ? "0" : whole) + (scale > 0 ? "." + fraction.prefix(scale) : "")
        return sign == 0x4000 ? "-" + digits : digits
    }
}

// MARK: Text and bytes

extension String: PostgresScalar {
    public static var postgresType: UInt32 { Oid.text }
    public static var postgresArrayType: UInt32 { Oid.textArray }
    public func encodePostgres(into buffer: inout [UInt8]) { buffer.append(contentsOf: utf8) }
    /// Reads every type that is text on the wire, enumerations included, and `json`, `jsonb` and `numeric`.
    public init(postgres cell: PostgresCell) throws {
        switch cell.type {
        case Oid.text, Oid.varchar, Oid.bpchar, Oid.name, Oid.unknown, Oid.json:
            self = String(decoding: try cell.bytes(), as: UTF8.self)
        case Oid.jsonb: self = String(decoding: try cell.jsonText(), as: UTF8.self)
        case Oid.numeric: self = try cell.numeric()
        default:
            // Types made by users: enumerations and citext are plain text in binary too.
            guard cell.type >= 16384, let text = String(validating: try cell.bytes(), as: UTF8.self) else {
                throw cell.mismatch(Self.self)
            }
            self = text
        }
    }
}

/// JSON text, carried as it is and not parsed. Read from `json` and `jsonb`, bound as `jsonb`.
///
/// Two values are equal if their texts are.
public struct PostgresJSON: Sendable, Hashable, CustomStringConvertible {
    /// The text in UTF-8.
    public var bytes: [UInt8]

    public init(bytes: [UInt8]) { self.bytes = bytes }
    public init(_ string: String) { self.bytes = Array(string.utf8) }

    public var string: String { String(decoding: bytes, as: UTF8.self) }
    public var description: String { string }
}

extension PostgresJSON: PostgresScalar {
    public static var postgresType: UInt32 { Oid.jsonb }
    public static var postgresArrayType: UInt32 { Oid.jsonbArray }
    public func encodePostgres(into buffer: inout [UInt8]) {
        buffer.append(1)
        buffer.append(contentsOf: bytes)
    }
    public init(postgres cell: PostgresCell) throws { self.init(bytes: Array(try cell.jsonText())) }
}

extension PostgresCell {
    /// The text of `json`, or of `jsonb` without its version byte.
    fileprivate func jsonText() throws -> Slice<UnsafeRawBufferPointer> {
        switch type {
        case Oid.json: return try bytes()[...]
        case Oid.jsonb:
            guard try load(UInt8.self) == 1 else { throw error("is jsonb of an unknown version") }
            return try bytes().dropFirst()
        default: throw mismatch(PostgresJSON.self)
        }
    }
}

extension Data: PostgresScalar {
    public static var postgresType: UInt32 { Oid.bytea }
    public static var postgresArrayType: UInt32 { Oid.byteaArray }
    public func encodePostgres(into buffer: inout [UInt8]) { buffer.append(contentsOf: self) }
    public init(postgres cell: PostgresCell) throws {
        guard cell.type == Oid.bytea else { throw cell.mismatch(Self.self) }
        self.init(try cell.bytes())
    }
}

// MARK: Identity and time

extension UUID: PostgresScalar {
    public static var postgresType: UInt32 { Oid.uuid }
    public static var postgresArrayType: UInt32 { Oid.uuidArray }
    public func encodePostgres(into buffer: inout [UInt8]) {
        withUnsafeBytes(of: uuid) { buffer.append(contentsOf: $0) }
    }
    public init(postgres cell: PostgresCell) throws {
        guard cell.type == Oid.uuid else { throw cell.mismatch(Self.self) }
        let bytes = try cell.bytes()
        guard bytes.count == 16 else { throw cell.error("is not 16 bytes long") }
        self.init(uuid: bytes.loadUnaligned(as: uuid_t.self))
    }
}

/// `timestamptz`: microseconds since 2000 on the wire, exact for 285 years on either side of 2001.
///
/// A date that `timestamptz` cannot hold is bound as one that the server refuses. `infinity` is an error to read,
/// for a Date of infinity would break whoever formats it.
extension Date: PostgresScalar {
    public static var postgresType: UInt32 { Oid.timestamptz }
    public static var postgresArrayType: UInt32 { Oid.timestamptzArray }

    /// From 2000-01-01 to Foundation's reference date, 2001-01-01.
    private static let microsecondsToReference: Int64 = 366 * 86_400 * 1_000_000

    public func encodePostgres(into buffer: inout [UInt8]) {
        let microseconds = (timeIntervalSinceReferenceDate * 1_000_000).rounded()
        let sum = Int64(exactly: microseconds)?.addingReportingOverflow(Self.microsecondsToReference)
        // The largest values mean infinity; the one below is out of range and so is refused.
        buffer.append(bigEndian: sum.flatMap { $0.overflow ? nil : $0.partialValue } ?? (.max - 1))
    }

    public init(postgres cell: PostgresCell) throws {
        guard cell.type == Oid.timestamptz else { throw cell.mismatch(Self.self) }
        let microseconds = try cell.load(Int64.self)
        guard microseconds != .max, microseconds != .min else {
            throw cell.error("is infinity, which Date cannot hold", hint: "Use nullif, or read it as text.")
        }
        let sinceReference = microseconds - Self.microsecondsToReference
        self.init(timeIntervalSinceReferenceDate: Double(sinceReference) / 1_000_000)
    }
}

/// `interval`, to the microsecond. Months have no fixed length, so an interval with months is an error to read.
extension Duration: PostgresScalar {
    public static var postgresType: UInt32 { Oid.interval }
    public static var postgresArrayType: UInt32 { Oid.intervalArray }

    public func encodePostgres(into buffer: inout [UInt8]) {
        let (seconds, attoseconds) = components
        let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000)
        let (sum, carry) = whole.addingReportingOverflow(attoseconds / 1_000_000_000_000)
        buffer.append(bigEndian: overflow || carry ? (seconds < 0 ? .min : .max) : sum)
        buffer.append(bigEndian: Int64(0))
    }

    public init(postgres cell: PostgresCell) throws {
        guard cell.type == Oid.interval else { throw cell.mismatch(Self.self) }
        let microseconds = try cell.load(Int64.self)
        let days = try cell.load(Int32.self, at: 8)
        guard try cell.load(Int32.self, at: 12) == 0 else { throw cell.error("is an interval with months") }
        self = .microseconds(microseconds) + .seconds(86_400 * Int64(days))
    }
}

extension [UInt8] {
    mutating func append(bigEndian value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.bigEndian) { append(contentsOf: $0) }
    }
}
