// An array on the wire: dimensions, a flag for nulls, the element's OID, then for each dimension its length and lower
// bound, then every element as a length (-1 is NULL) and its bytes.

extension Array: PostgresEncodable where Element: PostgresArrayElement {
    public static var postgresType: UInt32 { Element.postgresArrayType }
    public func encodePostgres(into buffer: inout [UInt8]) { Element.encodePostgres(array: self, into: &buffer) }
}

extension Array: PostgresDecodable where Element: PostgresArrayElement {
    public init(postgres cell: PostgresCell) throws { self = try Element.decodePostgres(array: cell) }
}

extension PostgresArrayElement where Self: PostgresEncodable {
    public static func encodePostgres(array: [Self], into buffer: inout [UInt8]) {
        writeArray(array, type: Self.postgresType, into: &buffer)
    }
}

extension PostgresArrayElement where Self: PostgresDecodable {
    public static func decodePostgres(array cell: PostgresCell) throws -> [Self] {
        try readArray(cell)
    }
}

/// Arrays with nulls.
extension Optional: PostgresArrayElement where Wrapped: PostgresScalar {
    public static var postgresArrayType: UInt32 { Wrapped.postgresArrayType }
}

/// `[UInt8]` is `bytea`, not an array.
extension UInt8: PostgresArrayElement {
    public static var postgresArrayType: UInt32 { Oid.bytea }

    public static func encodePostgres(array: [UInt8], into buffer: inout [UInt8]) {
        buffer.append(contentsOf: array)
    }

    public static func decodePostgres(array cell: PostgresCell) throws -> [UInt8] {
        guard cell.type == Oid.bytea else { throw cell.mismatch([UInt8].self) }
        return Array(try cell.bytes())
    }
}

/// `[[UInt8]]` is `bytea[]`.
extension Array: PostgresArrayElement where Element == UInt8 {
    public static var postgresArrayType: UInt32 { Oid.byteaArray }
}
extension Array: PostgresScalar where Element == UInt8 {}

private func writeArray<Element: PostgresEncodable>(_ array: [Element], type: UInt32, into buffer: inout [UInt8]) {
    buffer.append(bigEndian: Int32(array.isEmpty ? 0 : 1))
    buffer.append(bigEndian: Int32(array.contains { $0.isPostgresNull } ? 1 : 0))
    buffer.append(bigEndian: type)
    guard !array.isEmpty else { return }
    buffer.append(bigEndian: Int32(array.count))
    buffer.append(bigEndian: Int32(1))
    for element in array {
        if element.isPostgresNull {
            buffer.append(bigEndian: Int32(-1))
            continue
        }
        // The length goes in front, and is known only afterwards.
        let start = buffer.count
        buffer.append(bigEndian: Int32(0))
        element.encodePostgres(into: &buffer)
        let length = Int32(buffer.count - start - 4).bigEndian
        buffer.withUnsafeMutableBytes { $0.storeBytes(of: length, toByteOffset: start, as: Int32.self) }
    }
}

private func readArray<Element: PostgresDecodable>(_ cell: PostgresCell) throws -> [Element] {
    guard Oid.arrays.contains(cell.type) || cell.type >= 16384 else {
        // Says that the value is NULL if it is; the wrong type matters less then.
        _ = try cell.bytes()
        throw cell.mismatch([Element].self)
    }
    let bytes = try cell.bytes()
    let dimensions = try cell.load(Int32.self)
    let type = try cell.load(UInt32.self, at: 8)
    guard dimensions > 0 else { return [] }
    guard dimensions == 1 else { throw cell.error("is an array of \(dimensions) dimensions; only one is supported") }
    let count = Int(try cell.load(Int32.self, at: 12))
    var array: [Element] = []
    array.reserveCapacity(count)
    var offset = 20
    for _ in 0..<count {
        let length = Int(try cell.load(Int32.self, at: offset))
        offset += 4
        var value: UnsafeRawBufferPointer?
        if length >= 0 {
            guard bytes.count - offset >= length else { throw cell.error("is cut short") }
            value = UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + length])
            offset += length
        }
        array.append(try Element(postgres: PostgresCell(elementOf: cell, type: type, value: value)))
    }
    return array
}
