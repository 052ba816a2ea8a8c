import Foundation

/// Writes JSON text part by part. Commas are set by whoever says that another member or element follows.
struct JSONWriter {
    private(set) var bytes: [UInt8] = []
    private var needsComma = false

    mutating func reserveCapacity(_ count: Int) { bytes.reserveCapacity(count) }

    private mutating func separate() {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
        needsComma = true
    }

    mutating func object(_ members: (inout JSONWriter) throws(TranscodingError) -> Void) throws(TranscodingError) {
        try enclosed(UInt8(ascii: "{"), UInt8(ascii: "}"), members)
    }

    mutating func array(_ elements: (inout JSONWriter) throws(TranscodingError) -> Void) throws(TranscodingError) {
        try enclosed(UInt8(ascii: "["), UInt8(ascii: "]"), elements)
    }

    private mutating func enclosed(
        _ open: UInt8, _ close: UInt8, _ content: (inout JSONWriter) throws(TranscodingError) -> Void
    ) throws(TranscodingError) {
        separate()
        bytes.append(open)
        needsComma = false
        try content(&self)
        bytes.append(close)
        needsComma = true
    }

    /// The name of the member that is written next.
    mutating func name(_ name: String) {
        separate()
        quote(name.utf8)
        bytes.append(UInt8(ascii: ":"))
        needsComma = false
    }

    mutating func string(_ utf8: some Sequence<UInt8>) {
        separate()
        quote(utf8)
    }

    /// A value as it is written.
    mutating func literal(_ text: some Sequence<UInt8>) {
        separate()
        bytes.append(contentsOf: text)
    }

    mutating func base64(_ content: UnsafeBufferPointer<UInt8>) {
        string(Data(content).base64EncodedString().utf8)
    }

    private mutating func quote(_ utf8: some Sequence<UInt8>) {
        bytes.append(UInt8(ascii: "\""))
        for byte in utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                bytes.append(UInt8(ascii: "\\"))
                bytes.append(byte)
            case 0..<0x20:
                bytes.append(contentsOf: "\\u00".utf8)
                bytes.append(Self.digit(byte >> 4))
                bytes.append(Self.digit(byte & 0xF))
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }

    private static func digit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
    }
}
