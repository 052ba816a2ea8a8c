import Foundation

/// One argument, result or detail: data, and how it is encoded.
public struct Payload: Sendable, Hashable {
    /// `json/plain`, `binary/null`, `binary/plain`, `json/base64`, or a codec's own.
    public var encoding: String
    /// JSON as it is for `json/plain`, nothing for `binary/null`, and a base64 string for every other encoding.
    public var data: JSON?
    /// What is said of the value beside its encoding, such as `messageType`, as it stands in JSON: a text, or
    /// `{"base64": …}` for bytes that are no text.
    public var metadata: JSON.Members = [:]

    public init(encoding: String, data: JSON?) {
        self.encoding = encoding
        self.data = data
    }

    /// No value.
    public static let null = Payload(encoding: "binary/null", data: nil)

    /// A Codable value.
    ///
    /// - Throws: What encoding the value throws.
    public init(encoding value: some Encodable) throws { self.init(plain: try JSON(encoding: value)) }

    /// JSON as it is. What jsonb cannot hold, or would not give back as it was, is kept as base64: the character
    /// U+0000, a negative zero, numbers of hundreds of digits or large exponents, and what is nested deeper than 200
    /// levels.
    public init(plain json: JSON) {
        if json.isPlain {
            self.init(encoding: "json/plain", data: json)
        } else {
            self.init(encoding: "json/base64", bytes: json.bytes)
        }
    }

    /// Bytes, under `binary/plain` or a codec's encoding.
    public init(encoding: String = "binary/plain", bytes: [UInt8]) {
        self.init(encoding: encoding, data: .string(Data(bytes).base64EncodedString()))
    }

    /// The bytes of a payload that is kept as base64; nil for `json/plain` and `binary/null`.
    public var bytes: [UInt8]? {
        guard encoding != "json/plain", encoding != "binary/null" else { return nil }
        // No bytes are nothing in protobuf.
        guard let data else { return [] }
        guard let text = data.stringValue, let bytes = Data(base64Encoded: text) else { return nil }
        return Array(bytes)
    }

    /// The value that was encoded. No value decodes as JSON's null: nil for an optional type.
    ///
    /// - Throws: ``PayloadError`` for an encoding that needs a codec, `DecodingError` for a value of another type.
    public func decode<Value: Decodable>(_ type: Value.Type = Value.self) throws -> Value {
        switch encoding {
        case "json/plain", "binary/null": return try (data ?? .null).decode(type)
        case "json/base64":
            guard let bytes else { throw PayloadError(reason: "a json/base64 payload does not hold base64") }
            return try JSON(parsing: bytes).decode(type)
        case "binary/plain":
            guard let bytes else { throw PayloadError(reason: "a binary/plain payload does not hold base64") }
            if let bytes = bytes as? Value { return bytes }
            if let data = Data(bytes) as? Value { return data }
            throw PayloadError(reason: "a binary/plain payload decodes as [UInt8] or Data, not \(type)")
        default: throw PayloadError(reason: "no codec for the encoding \(encoding)")
        }
    }

    /// Reads the wire form.
    public init(json: JSON) throws(PayloadError) {
        guard let encoding = json["encoding"]?.stringValue else {
            throw PayloadError(reason: "a payload is an object with an encoding, not \(json)")
        }
        self.init(encoding: encoding, data: json["data"])
        if let metadata = json["metadata"] { self.metadata = metadata.members }
    }

    /// The wire form.
    public var json: JSON {
        .compact([
            "encoding": .string(encoding), "data": data, "metadata": metadata.isEmpty ? nil : .object(metadata),
        ])
    }
}

/// A payload that cannot be read.
public struct PayloadError: Error, Sendable, Hashable, CustomStringConvertible {
    public let reason: String
    public init(reason: String) { self.reason = reason }
    public var description: String { reason }
}

extension [Payload] {
    /// Reads the wire form, an array; nothing and null are no payloads.
    public init(json: JSON?) throws(PayloadError) {
        switch json {
        case nil, .null: self = []
        case .array(let elements):
            self = []
            for element in elements { append(try Payload(json: element)) }
        case .some(let other): throw PayloadError(reason: "payloads are an array, not \(other)")
        }
    }

    /// The wire form.
    public var json: JSON { .array(map(\.json)) }
}

extension [String: Payload] {
    /// Reads the wire form of a header or a memo, an object; nothing and null are no payloads.
    public init(json: JSON?) throws(PayloadError) {
        self = [:]
        for (name, payload) in json?.members ?? [:] { self[name] = try Payload(json: payload) }
    }

    /// The wire form.
    public var json: JSON { .object(mapValues(\.json)) }

    /// The wire form of a header that may be left out: nil for none.
    package var orLeftOut: JSON? {
        guard !isEmpty else { return nil }
        return json
    }
}
