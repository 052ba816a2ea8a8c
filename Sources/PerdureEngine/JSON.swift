/// A JSON value that keeps what it was given: a number is its literal, so that no digit of an amount, a
/// 64-bit id or a decimal is lost on the way between PostgreSQL and Swift.
public enum JSON: Sendable, Hashable {
    case null
    case bool(Bool)
    /// The literal as it was written, which is a valid JSON number.
    case number(String)
    case string(String)
    case array([JSON])
    case object([String: JSON])
}

// MARK: - Reading

extension JSON {
    /// The member of an object, or nil when this is no object or has no such member.
    public subscript(key: String) -> JSON? {
        get {
            guard case .object(let members) = self else { return nil }
            return members[key]
        }
        set {
            var members = objectValue ?? [:]
            // Empties the storage first, so that the write below does not copy the dictionary.
            self = .null
            members[key] = newValue
            self = .object(members)
        }
    }

    /// The element of an array, or nil when this is no array or is shorter.
    public subscript(index: Int) -> JSON? {
        guard case .array(let elements) = self, elements.indices.contains(index) else { return nil }
        return elements[index]
    }

    public var isNull: Bool { self == .null }

    public var boolValue: Bool? {
        guard case .bool(let value) = self else { return nil }
        return value
    }

    public var stringValue: String? {
        guard case .string(let value) = self else { return nil }
        return value
    }

    /// The number as a 64-bit integer; nil when it is no number, has a fraction or does not fit.
    public var int64Value: Int64? {
        guard case .number(let literal) = self else { return nil }
        return Int64(literal)
    }

    /// The number as an integer; nil when it is no number, has a fraction or does not fit.
    public var intValue: Int? {
        guard case .number(let literal) = self else { return nil }
        return Int(literal)
    }

    /// The nearest double; nil when this is no number.
    public var doubleValue: Double? {
        guard case .number(let literal) = self else { return nil }
        return Double(literal)
    }

    public var arrayValue: [JSON]? {
        guard case .array(let elements) = self else { return nil }
        return elements
    }

    public var objectValue: [String: JSON]? {
        guard case .object(let members) = self else { return nil }
        return members
    }
}

// MARK: - Making

extension JSON {
    public static func number(_ value: some BinaryInteger & Sendable) -> JSON { .number(String(value)) }

    /// An object of the members that have a value: what a wire format with optional fields is made of.
    public static func compact(_ members: KeyValuePairs<String, JSON?>) -> JSON {
        var object: [String: JSON] = [:]
        for (key, value) in members {
            if let value { object[key] = value }
        }
        return .object(object)
    }
}

extension JSON: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByStringLiteral, ExpressibleByStringInterpolation, ExpressibleByArrayLiteral,
    ExpressibleByDictionaryLiteral
{
    public init(nilLiteral: ()) { self = .null }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(integerLiteral value: Int64) { self = .number(String(value)) }
    public init(stringLiteral value: String) { self = .string(value) }
    public init(arrayLiteral elements: JSON...) { self = .array(elements) }
    public init(dictionaryLiteral elements: (String, JSON)...) {
        self = .object(Dictionary(elements, uniquingKeysWith: { $1 }))
    }
}

extension JSON: CustomStringConvertible {
    /// Compact JSON text, members in the order of their keys.
    public var description: String { String(decoding: bytes, as: UTF8.self) }
}
