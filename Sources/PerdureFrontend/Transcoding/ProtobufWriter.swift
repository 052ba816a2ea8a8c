/// Writes the parts of a protobuf message.
///
/// Format: https://protobuf.dev/programming-guides/encoding/
struct ProtobufWriter {
    enum WireType: UInt64 {
        case varint = 0
        case fixed64 = 1
        case lengthDelimited = 2
        case fixed32 = 5
    }

    enum Number {
        case varint(Int64)
        case fixed64(UInt64)
        case fixed32(UInt32)

        var wireType: WireType {
            switch self {
            case .varint: .varint
            case .fixed64: .fixed64
            case .fixed32: .fixed32
            }
        }

        /// Whether it is the default. A negative zero is not.
        var isZero: Bool {
            switch self {
            case .varint(let value): value == 0
            case .fixed64(let bits): bits == 0
            case .fixed32(let bits): bits == 0
            }
        }
    }

    private(set) var bytes: [UInt8] = []

    mutating func reserveCapacity(_ count: Int) { bytes.reserveCapacity(count) }

    mutating func varint(_ value: UInt64) {
        var value = value
        while value > 0x7F {
            bytes.append(UInt8(truncatingIfNeeded: value) | 0x80)
            value >>= 7
        }
        bytes.append(UInt8(value))
    }

    mutating func tag(_ number: Int, _ type: WireType) { varint(UInt64(number) << 3 | type.rawValue) }

    mutating func append(_ number: Number) {
        switch number {
        case .varint(let value): varint(UInt64(bitPattern: value))
        case .fixed64(let bits): withUnsafeBytes(of: bits.littleEndian) { bytes.append(contentsOf: $0) }
        case .fixed32(let bits): withUnsafeBytes(of: bits.littleEndian) { bytes.append(contentsOf: $0) }
        }
    }

    mutating func field(_ number: Int, bytes content: some Collection<UInt8>) {
        tag(number, .lengthDelimited)
        varint(UInt64(content.count))
        bytes.append(contentsOf: content)
    }

    mutating func field(_ number: Int, varint value: Int64) {
        tag(number, .varint)
        varint(UInt64(bitPattern: value))
    }

    /// A field whose length is known when its content has been written. Most are short: their length takes one byte.
    mutating func field(
        _ number: Int, _ content: (inout ProtobufWriter) throws(TranscodingError) -> Void
    ) throws(TranscodingError) {
        tag(number, .lengthDelimited)
        let place = bytes.count
        bytes.append(0)
        try content(&self)
        var length = ProtobufWriter()
        length.varint(UInt64(bytes.count - place - 1))
        if length.bytes.count == 1 {
            bytes[place] = length.bytes[0]
        } else {
            bytes.replaceSubrange(place...place, with: length.bytes)
        }
    }

    /// Content that another function appends.
    mutating func append(
        _ content: (inout [UInt8]) throws(TranscodingError) -> Void
    ) throws(TranscodingError) { try content(&bytes) }
}
