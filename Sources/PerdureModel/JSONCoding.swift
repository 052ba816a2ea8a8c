import Foundation

extension JSON {
    /// A Codable value as JSON. Integers and `Decimal` stay exact, dates are RFC 3339 with microseconds, `Data` is
    /// base64.
    ///
    /// - Throws: What the value's `encode(to:)` throws; `EncodingError` for a double that is no number.
    public init(encoding value: some Encodable) throws {
        // Of what has one form only no coder needs to be asked, which would take most of the time.
        switch value {
        case let json as JSON: self = json
        case let text as String: self = .string(text)
        case let number as Int: self = .number(number)
        case let truth as Bool: self = .bool(truth)
        default: try self.init(byEncoder: value)
        }
    }

    private init(byEncoder value: some Encodable) throws {
        let encoder = JSONEncoder()
        encoder.dateEncodingStrategy = .custom { date, encoder in
            var container = encoder.singleValueContainer()
            try container.encode(Timestamp(date).description)
        }
        try self.init(parsing: Array(encoder.encode(value)))
    }

    /// The Codable value that this JSON holds; the inverse of ``init(encoding:)``.
    ///
    /// - Throws: `DecodingError` when it holds no such value.
    public func decode<Value: Decodable>(_ type: Value.Type = Value.self) throws -> Value {
        switch self {
        case .string(let text): if let value = text as? Value { return value }
        case .number(let literal): if let number = Int(literal), let value = number as? Value { return value }
        case .bool(let truth): if let value = truth as? Value { return value }
        default: break
        }
        if let json = self as? Value { return json }
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .custom { decoder in
            let container = try decoder.singleValueContainer()
            guard let time = Timestamp(try container.decode(String.self)) else {
                throw DecodingError.dataCorruptedError(in: container, debugDescription: "expected an RFC 3339 time")
            }
            return time.date
        }
        return try decoder.decode(type, from: Data(bytes))
    }
}

extension JSON: Codable {
    public init(from decoder: any Decoder) throws {
        if let container = try? decoder.container(keyedBy: AnyKey.self) {
            var members: Members = [:]
            for key in container.allKeys { members[key.stringValue] = try container.decode(JSON.self, forKey: key) }
            self = .object(members)
        } else if var container = try? decoder.unkeyedContainer() {
            var elements: [JSON] = []
            while !container.isAtEnd { elements.append(try container.decode(JSON.self)) }
            self = .array(elements)
        } else {
            let container = try decoder.singleValueContainer()
            if container.decodeNil() {
                self = .null
            } else if let value = try? container.decode(Bool.self) {
                self = .bool(value)
            } else if let value = try? container.decode(String.self) {
                self = .string(value)
            } else if let value = try? container.decode(Int64.self) {
                self = .number(value)
            } else if let value = try? container.decode(UInt64.self) {
                self = .number(value)
            } else {
                self = .number("\(try container.decode(Decimal.self))")
            }
        }
    }

    public func encode(to encoder: any Encoder) throws {
        switch self {
        case .object(let members):
            var container = encoder.container(keyedBy: AnyKey.self)
            for (key, value) in members { try container.encode(value, forKey: AnyKey(key)) }
        case .array(let elements):
            var container = encoder.unkeyedContainer()
            for element in elements { try container.encode(element) }
        case .null:
            var container = encoder.singleValueContainer()
            try container.encodeNil()
        case .bool(let value):
            var container = encoder.singleValueContainer()
            try container.encode(value)
        case .string(let value):
            var container = encoder.singleValueContainer()
            try container.encode(value)
        case .number(let literal):
            var container = encoder.singleValueContainer()
            if let value = Int64(literal) {
                try container.encode(value)
            } else if let value = UInt64(literal) {
                try container.encode(value)
            } else if let value = Decimal(string: literal, locale: Locale(identifier: "en_US_POSIX")) {
                try container.encode(value)
            } else {
                let context = EncodingError.Context(
                    codingPath: container.codingPath, debugDescription: "\(literal) does not fit a decimal")
                throw EncodingError.invalidValue(literal, context)
            }
        }
    }

    private struct AnyKey: CodingKey {
        let stringValue: String
        let intValue: Int? = nil
        init(_ string: String) { stringValue = string }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { return nil }
    }
}
