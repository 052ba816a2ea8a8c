/// A place in the bytes of a protobuf message.
///
/// Format: https://protobuf.dev/programming-guides/encoding/
struct ProtobufReader {
    enum Value {
        case varint(UInt64)
        case fixed64(UInt64)
        case fixed32(UInt32)
        /// Where the bytes stand.
        case bytes(Range<Int>)
    }

    let bytes: UnsafeBufferPointer<UInt8>
    private(set) var offset: Int
    private let end: Int

    init(_ bytes: UnsafeBufferPointer<UInt8>, _ range: Range<Int>) {
        self.bytes = bytes
        offset = range.lowerBound
        end = range.upperBound
    }

    var isAtEnd: Bool { offset == end }

    func malformed(_ what: String) -> TranscodingError {
        TranscodingError(reason: .malformedProtobuf("\(what) at byte \(offset)"))
    }

    mutating func varint() throws(TranscodingError) -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: 0, to: 70, by: 7) {
            guard offset < end else { throw malformed("it ends inside a number") }
            let byte = bytes[offset]
            offset += 1
            // Of the tenth byte one bit is left.
            guard shift < 63 || byte < 2 else { break }
            value |= UInt64(byte & 0x7F) << UInt64(shift)
            if byte < 0x80 { return value }
        }
        throw malformed("a number has more than 64 bits")
    }

    private mutating func fixed<Number: FixedWidthInteger>(_ type: Number.Type) throws(TranscodingError) -> Number {
        let size = MemoryLayout<Number>.size
        guard end - offset >= size else { throw malformed("it ends inside a number") }
        defer { offset += size }
        return (0..<size).reduce(0) { $0 | Number(bytes[offset + $1]) << Number($1 * 8) }
    }

    /// The next field.
    mutating func next() throws(TranscodingError) -> (number: Int, value: Value) {
        let tag = try varint()
        guard (1...0x1FFF_FFFF).contains(tag >> 3) else { throw malformed("a field has no valid number") }
        let number = Int(tag >> 3)
        switch tag & 7 {
        case 0: return (number, .varint(try varint()))
        case 1: return (number, .fixed64(try fixed(UInt64.self)))
        case 2:
            let length = try varint()
            guard length <= UInt64(end - offset) else { throw malformed("a field is longer than its message") }
            defer { offset += Int(length) }
            return (number, .bytes(offset..<offset + Int(length)))
        case 5: return (number, .fixed32(try fixed(UInt32.self)))
        default: throw malformed("a field has wire type \(tag & 7)")
        }
    }
}
