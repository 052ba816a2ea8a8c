import Foundation

// A payload in the forms that Temporal's tools and the codecs of its SDKs use.

extension Payload {
    /// Temporal's JSON of a payload: `{"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "…"}`, all in base64.
    public var temporalJSON: JSON { TemporalHistory.toTemporal(payload: json) }

    /// Reads Temporal's JSON of a payload.
    ///
    /// - Throws: ``PayloadError`` for JSON that is no object.
    public init(temporalJSON json: JSON) throws(PayloadError) {
        guard case .object = json else { throw PayloadError(reason: "a payload is an object, not \(json)") }
        try self.init(json: TemporalHistory.fromTemporal(payload: json))
    }

    /// The payload as protobuf, `temporal.api.common.v1.Payload`: what codecs of Temporal's SDKs encrypt or compress.
    public func serializedBytes() -> [UInt8] {
        func bytes(_ json: JSON?) -> [UInt8] {
            json?.stringValue.flatMap { Data(base64Encoded: $0) }.map(Array.init) ?? []
        }
        func field(_ number: UInt8, _ content: [UInt8]) -> [UInt8] {
            var header = [number << 3 | 2]
            var length = content.count
            while length >= 0x80 {
                header.append(UInt8(truncatingIfNeeded: length) | 0x80)
                length >>= 7
            }
            header.append(UInt8(length))
            return header + content
        }
        let json = temporalJSON
        var result: [UInt8] = []
        for (name, value) in (json["metadata"]?.members ?? [:]).sorted(by: { $0.key < $1.key }) {
            result += field(1, field(1, Array(name.utf8)) + field(2, bytes(value)))
        }
        let data = bytes(json["data"])
        return data.isEmpty ? result : result + field(2, data)
    }

    /// Reads a payload in protobuf.
    ///
    /// - Throws: ``PayloadError`` for bytes that are no such message.
    public init(serializedBytes bytes: [UInt8]) throws(PayloadError) {
        var metadata: JSON.Members = [:]
        var data: [UInt8] = []
        for (number, content) in try Self.fields(bytes[...]) {
            if number == 1 {
                let entry = try Self.fields(content)
                let name = String(decoding: entry.last { $0.number == 1 }?.content ?? [], as: UTF8.self)
                metadata[name] = .string(Data(entry.last { $0.number == 2 }?.content ?? []).base64EncodedString())
            } else if number == 2 {
                data = Array(content)
            }
        }
        let text = Data(data).base64EncodedString()
        try self.init(
            temporalJSON: .compact([
                "metadata": .object(metadata), "data": text.isEmpty ? JSON?.none : .string(text),
            ]))
    }

    /// The fields of a message that are bytes, in their order.
    private static func fields(
        _ bytes: ArraySlice<UInt8>
    ) throws(PayloadError) -> [(number: UInt64, content: ArraySlice<UInt8>)] {
        let broken = PayloadError(reason: "the bytes are no payload in protobuf")
        var fields: [(UInt64, ArraySlice<UInt8>)] = []
        var rest = bytes
        func varint() throws(PayloadError) -> UInt64 {
            var value: UInt64 = 0
            for shift in stride(from: 0, to: 64, by: 7) {
                guard let byte = rest.popFirst() else { throw broken }
                value |= UInt64(byte & 0x7f) << UInt64(shift)
                if byte < 0x80 { return value }
            }
            throw broken
        }
        while !rest.isEmpty {
            let tag = try varint()
            switch tag & 7 {
            case 0: _ = try varint()
            case 1, 5:
                let width = tag & 7 == 1 ? 8 : 4
                guard rest.count >= width else { throw broken }
                rest = rest.dropFirst(width)
            case 2:
                guard let length = Int(exactly: try varint()), rest.count >= length else { throw broken }
                fields.append((tag >> 3, rest.prefix(length)))
                rest = rest.dropFirst(length)
            default: throw broken
            }
        }
        return fields
    }
}
