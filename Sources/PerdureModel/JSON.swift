public import OrderedCollections

/// A JSON value that keeps what it was given: a number is its literal, so that no digit of an amount, a
/// 64-bit id or a decimal is lost on the way between PostgreSQL and Swift, and the members of an object keep their
/// order.
///
/// Two objects are equal if they have equal members, whatever their order.
public enum JSON: Sendable {
    /// The members of an object by name, in the order in which they were given.
    public typealias Members = OrderedDictionary<String, JSON>

    case null
    case bool(Bool)
    /// The literal as it was written, which is a valid JSON number.
    case number(String)
    case string(String)
    case array([JSON])
    /// Boxed: the members are three references, and a value is copied more often than it is made.
    indirect case object(Members)
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
            var members = self.members
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

    public var objectValue: Members? {
        guard case .object(let members) = self else { return nil }
        return members
    }

    /// The elements of an array; none for anything else.
    public var elements: [JSON] { arrayValue ?? [] }

    /// The members of an object; none for anything else.
    public var members: Members { objectValue ?? [:] }

    /// The same without their order.
    public var dictionary: [String: JSON] { Dictionary(uniqueKeysWithValues: members.lazy.map { ($0.key, $0.value) }) }
}

// MARK: - Making

extension JSON {
    public static func number(_ value: some BinaryInteger & Sendable) -> JSON { .number(String(value)) }

    /// An object, its members in the order of their names.
    public static func object(_ members: [String: JSON]) -> JSON {
        .object(Members(uniqueKeysWithValues: members.sorted { $0.key < $1.key }))
    }

    /// An object of the members that have a value: what a wire format with optional fields is made of.
    public static func compact(_ members: KeyValuePairs<String, JSON?>) -> JSON {
        var object = Members(minimumCapacity: members.count)
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
    /// `[:]`, made once.
    private static let empty = JSON.object(Members())
    public init(dictionaryLiteral elements: (String, JSON)...) {
        guard !elements.isEmpty else {
            self = Self.empty
            return
        }
        var members = Members(minimumCapacity: elements.count)
        for (key, value) in elements { members[key] = value }
        self = .object(members)
    }
}

extension JSON: CustomStringConvertible {
    /// Compact JSON text, members in the order of their names.
    public var description: String { String(decoding: bytes, as: UTF8.self) }
}

extension JSON: Hashable {
    public static func == (left: JSON, right: JSON) -> Bool {
        switch (left, right) {
        case (.null, .null): true
        case (.bool(let left), .bool(let right)): left == right
        case (.number(let left), .number(let right)): left == right
        case (.string(let left), .string(let right)): left == right
        case (.array(let left), .array(let right)): left == right
        case (.object(let left), .object(let right)):
            left.count == right.count && left.allSatisfy { name, value in right[name] == value }
        default: false
        }
    }

    public func hash(into hasher: inout Hasher) {
        switch self {
        case .null: hasher.combine(0)
        case .bool(let value): hasher.combine(value)
        case .number(let literal): hasher.combine(literal)
        case .string(let value): hasher.combine(value)
        case .array(let elements): hasher.combine(elements)
        case .object(let members):
            // A sum does not depend on the order.
            hasher.combine(
                members.reduce(into: 0) { sum, member in
                    var hasher = Hasher()
                    hasher.combine(member.key)
                    hasher.combine(member.value)
                    sum &+= hasher.finalize()
                })
        }
    }
}
