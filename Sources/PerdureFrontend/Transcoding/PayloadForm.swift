import Foundation

/// A payload in the engine's JSON:
///
///     {"encoding": "json/plain", "data": {"amount": 5}}
///     {"encoding": "binary/plain", "data": "AAEC", "metadata": {"messageType": "bank.Transfer"}}
///
/// The data of `json/plain` is JSON, that of every other encoding base64. JSON that jsonb would not give back as it was
/// is `json/base64`, which is `json/plain` again in protobuf. `metadata` holds what there is beside the encoding: text,
/// or `{"base64": "…"}` for bytes that are no text.
enum PayloadForm {
    private static let jsonPlain = Array("json/plain".utf8)
    private static let jsonBase64 = Array("json/base64".utf8)

    // MARK: To protobuf

    static func write(_ json: inout JSONCursor, _ output: inout ProtobufWriter) throws(TranscodingError) {
        var encoding: [UInt8] = []
        var data = 0..<0
        var metadata: [(String, [UInt8])] = []
        var sizes: [Int64] = []
        try json.members { json, name throws(TranscodingError) in
            switch String(decoding: json.slice(name), as: UTF8.self) {
            case "encoding": try json.appendString(to: &encoding)
            case "data": data = try json.skip()
            case "metadata":
                try json.members { json, name throws(TranscodingError) in
                    let name = String(decoding: try json.unescaped(name), as: UTF8.self)
                    metadata.append((name, try metadataValue(&json)))
                }
            case "externalPayloads":
                try json.elements { json throws(TranscodingError) in
                    try json.members { json, _ throws(TranscodingError) in sizes.append(try json.integer()) }
                }
            default: try json.skip()
            }
        }
        if !encoding.isEmpty, !metadata.contains(where: { $0.0 == "encoding" }) {
            metadata.insert(("encoding", encoding == jsonBase64 ? jsonPlain : encoding), at: 0)
        }
        if encoding == jsonPlain {
            write(metadata: metadata, data: json.slice(data), &output)
        } else {
            var place = json
            place.offset = data.lowerBound
            let isThere = data.isEmpty ? false : try !place.takeNull()
            write(metadata: metadata, data: isThere ? try place.base64() : [], &output)
        }
        for size in sizes {
            try output.field(3) { output throws(TranscodingError) in
                if size != 0 { output.field(1, varint: size) }
            }
        }
    }

    static func write(
        metadata: [(String, [UInt8])], data: some Collection<UInt8>, _ output: inout ProtobufWriter
    ) {
        for (name, value) in metadata {
            var entry = ProtobufWriter()
            entry.field(1, bytes: name.utf8)
            entry.field(2, bytes: value)
            output.field(1, bytes: entry.bytes)
        }
        if !data.isEmpty { output.field(2, bytes: data) }
    }

    private static func metadataValue(_ json: inout JSONCursor) throws(TranscodingError) -> [UInt8] {
        var value: [UInt8] = []
        guard json.peek() == UInt8(ascii: "{") else {
            try json.appendString(to: &value)
            return value
        }
        try json.members { json, _ throws(TranscodingError) in value = try json.base64() }
        return value
    }

    // MARK: To JSON

    static func write(_ reader: ProtobufReader, _ output: inout JSONWriter) throws(TranscodingError) {
        var reader = reader
        let bytes = reader.bytes
        var metadata: [String: Range<Int>] = [:]
        var data = 0..<0
        var external: [Range<Int>] = []
        while !reader.isAtEnd {
            switch try reader.next() {
            case (1, .bytes(let entry)):
                let (name, value) = try metadataEntry(bytes, entry)
                metadata[name] = value
            case (2, .bytes(let value)): data = value
            case (3, .bytes(let value)): external.append(value)
            default: break
            }
        }
        func slice(_ range: Range<Int>) -> UnsafeBufferPointer<UInt8> { UnsafeBufferPointer(rebasing: bytes[range]) }
        var encoding = metadata["encoding"].map { Array(slice($0)) } ?? []
        let content = slice(data)
        let isJSON = encoding == jsonPlain && JSONExactness.isHeldByJSONB(content)
        // Its name in JSON says what it is only if it is text, and not the one that stands for json/plain.
        if encoding != jsonBase64, isStorable(encoding) {
            metadata["encoding"] = nil
        } else {
            encoding = []
        }
        if encoding == jsonPlain, !isJSON { encoding = jsonBase64 }
        let rest = metadata.sorted { $0.key < $1.key }
        try output.object { output throws(TranscodingError) in
            output.name("encoding")
            output.string(encoding)
            if isJSON {
                output.name("data")
                output.literal(content)
            } else if !content.isEmpty || encoding == jsonBase64 {
                output.name("data")
                output.base64(content)
            }
            if !rest.isEmpty {
                output.name("metadata")
                try output.object { output throws(TranscodingError) in
                    for (name, range) in rest {
                        output.name(name)
                        if isStorable(slice(range)) {
                            output.string(slice(range))
                        } else {
                            try output.object { output in
                                output.name("base64")
                                output.base64(slice(range))
                            }
                        }
                    }
                }
            }
            if !external.isEmpty {
                output.name("externalPayloads")
                try output.array { output throws(TranscodingError) in
                    for range in external {
                        var reader = ProtobufReader(bytes, range)
                        var size: Int64 = 0
                        while !reader.isAtEnd {
                            if case (1, .varint(let value)) = try reader.next() { size = Int64(bitPattern: value) }
                        }
                        try output.object { output in
                            output.name("sizeBytes")
                            output.literal(String(size).utf8)
                        }
                    }
                }
            }
        }
    }

    private static func metadataEntry(
        _ bytes: UnsafeBufferPointer<UInt8>, _ range: Range<Int>
    ) throws(TranscodingError) -> (String, Range<Int>) {
        var reader = ProtobufReader(bytes, range)
        var name = ""
        var value = 0..<0
        while !reader.isAtEnd {
            switch try reader.next() {
            case (1, .bytes(let range)): name = try ProtobufToJSON.string(bytes, range)
            case (2, .bytes(let range)): value = range
            default: break
            }
        }
        return (name, value)
    }

    /// Whether PostgreSQL can hold it as text.
    private static func isStorable(_ bytes: some Collection<UInt8>) -> Bool {
        !bytes.contains(0) && String(validating: bytes, as: UTF8.self) != nil
    }
}
