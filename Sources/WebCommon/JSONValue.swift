/// JSON as it stands: numbers keep their digits, objects keep their order.
///
/// Money cannot go through a Double, and `JSONEncoder` writes 1000.0 as 1000, so what the pages read and write of
/// JSON goes through this. The parser takes RFC 8259 and nothing else: no NaN, no comments, no trailing comma.
public enum JSONValue: Sendable, Hashable {
    case null
    case bool(Bool)
    /// The number's text, for example `12.50` or `1e400`.
    case number(String)
    case string(String)
    case array([JSONValue])
    case object([Member])
    /// A text that is known to be JSON, from `jsonb` for example. The parser never makes one.
    case raw(String)

    public struct Member: Sendable, Hashable {
        public var name: String
        public var value: JSONValue
        public init(name: String, value: JSONValue) {
            self.name = name
            self.value = value
        }
    }

    /// The member of an object, the last one if the name comes twice; nil for anything else.
    public subscript(name: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.last { $0.name == name }?.value
    }

    public var string: String? {
        if case .string(let value) = self { value } else { nil }
    }

    /// The text of the value, without white space.
    public var text: String {
        var text = ""
        write(to: &text)
        return text
    }

    private func write(to text: inout String) {
        switch self {
        case .null: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .number(let digits): text += digits
        case .raw(let json): text += json
        case .string(let value): Self.write(value, to: &text)
        case .array(let values):
            text += "["
            for (index, value) in values.enumerated() {
                if index > 0 { text += "," }
                value.write(to: &text)
            }
            text += "]"
        case .object(let members):
            text += "{"
            for (index, member) in members.enumerated() {
                if index > 0 { text += "," }
                Self.write(member.name, to: &text)
                text += ":"
                member.value.write(to: &text)
            }
            text += "}"
        }
    }

    private static func write(_ string: String, to text: inout String) {
        text += "\""
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            // U+2028 and U+2029 end a line in some readers of event streams and scripts.
            case _ where scalar.value < 0x20 || scalar.value == 0x2028 || scalar.value == 0x2029:
                let hex = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: text.unicodeScalars.append(scalar)
            }
        }
        text += "\""
    }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
    public init(stringLiteral value: String) { self = .string(value) }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(integerLiteral value: Int) { self = .number(String(value)) }
    public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    public init(nilLiteral: ()) { self = .null }
    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        self = .object(elements.map { Member(name: $0.0, value: $0.1) })
    }
}

// MARK: Parsing

extension JSONValue {
    /// What is wrong with a text that is not JSON.
    public struct ParseError: Error, Sendable, CustomStringConvertible {
        public let problem: String
        /// In bytes from 0.
        public let offset: Int
        public var description: String { "\(problem) at byte \(offset)" }
    }

    /// Parses UTF-8 text. Nesting deeper than `maximumDepth` is refused, so a hostile text cannot exhaust the stack.
    public init(parsing bytes: some Collection<UInt8>, maximumDepth: Int = 64) throws(ParseError) {
        var parser = Parser(bytes: Array(bytes), maximumDepth: maximumDepth)
        self = try parser.document()
    }

    private struct Parser {
        let bytes: [UInt8]
        let maximumDepth: Int
        var offset = 0

        init(bytes: [UInt8], maximumDepth: Int) {
            self.bytes = bytes
            self.maximumDepth = maximumDepth
        }

        var next: UInt8? { offset < bytes.count ? bytes[offset] : nil }

        func error(_ problem: String) -> ParseError { ParseError(problem: problem, offset: offset) }

        mutating func skipSpace() {
            while let byte = next, byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D { offset += 1 }
        }

        mutating func take(_ byte: UInt8) -> Bool {
            guard next == byte else { return false }
            offset += 1
            return true
        }

        mutating func document() throws(ParseError) -> JSONValue {
            let value = try value(depth: 0)
            skipSpace()
            guard next == nil else { throw error("there is something after the value") }
            return value
        }

        mutating func value(depth: Int) throws(ParseError) -> JSONValue {
            guard depth < maximumDepth else { throw error("it is nested too deeply") }
            skipSpace()
            defer { skipSpace() }
            switch next {
            case UInt8(ascii: "{"): return try object(depth: depth)
            case UInt8(ascii: "["): return try array(depth: depth)
            case UInt8(ascii: "\""): return .string(try string())
            case UInt8(ascii: "t"): return try word("true", .bool(true))
            case UInt8(ascii: "f"): return try word("false", .bool(false))
            case UInt8(ascii: "n"): return try word("null", .null)
            case nil: throw error("it ends too early")
            default: return try number()
            }
        }

        mutating func word(_ word: StaticString, _ value: JSONValue) throws(ParseError) -> JSONValue {
            let length = word.utf8CodeUnitCount
            guard word.withUTF8Buffer({ bytes[offset...].starts(with: $0) }) else {
                throw error("a value was expected")
            }
            offset += length
            return value
        }

        mutating func object(depth: Int) throws(ParseError) -> JSONValue {
            offset += 1
            var members: [Member] = []
            skipSpace()
            if take(UInt8(ascii: "}")) { return .object(members) }
            repeat {
                skipSpace()
                guard next == UInt8(ascii: "\"") else { throw error("a name in quotes was expected") }
                let name = try string()
                skipSpace()
                guard take(UInt8(ascii: ":")) else { throw error("a colon was expected") }
                members.append(Member(name: name, value: try value(depth: depth + 1)))
            } while take(UInt8(ascii: ","))
            guard take(UInt8(ascii: "}")) else { throw error("a comma or a closing brace was expected") }
            return .object(members)
        }

        mutating func array(depth: Int) throws(ParseError) -> JSONValue {
            offset += 1
            var values: [JSONValue] = []
            skipSpace()
            if take(UInt8(ascii: "]")) { return .array(values) }
            repeat { values.append(try value(depth: depth + 1)) } while take(UInt8(ascii: ","))
            guard take(UInt8(ascii: "]")) else { throw error("a comma or a closing bracket was expected") }
            return .array(values)
        }

        mutating func digits() throws(ParseError) {
            let start = offset
            while let byte = next, (0x30...0x39).contains(byte) { offset += 1 }
            guard offset > start else { throw error("a value was expected") }
        }

        mutating func number() throws(ParseError) -> JSONValue {
            let start = offset
            _ = take(UInt8(ascii: "-"))
            if !take(UInt8(ascii: "0")) { try digits() }
            if take(UInt8(ascii: ".")) { try digits() }
            if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
                if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
                try digits()
            }
            return .number(String(decoding: bytes[start..<offset], as: UTF8.self))
        }

        mutating func string() throws(ParseError) -> String {
            offset += 1
            var utf8: [UInt8] = []
            while let byte = next {
                offset += 1
                switch byte {
                case UInt8(ascii: "\""):
                    guard let string = String(validating: utf8, as: UTF8.self) else {
                        throw error("it is not UTF-8")
                    }
                    return string
                case UInt8(ascii: "\\"): try escape(into: &utf8)
                case 0..<0x20: throw error("a control character must be escaped")
                default: utf8.append(byte)
                }
            }
            throw error("it ends too early")
        }

        mutating func escape(into utf8: inout [UInt8]) throws(ParseError) {
            guard let byte = next else { throw error("it ends too early") }
            offset += 1
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): utf8.append(byte)
            case UInt8(ascii: "b"): utf8.append(0x08)
            case UInt8(ascii: "f"): utf8.append(0x0C)
            case UInt8(ascii: "n"): utf8.append(0x0A)
            case UInt8(ascii: "r"): utf8.append(0x0D)
            case UInt8(ascii: "t"): utf8.append(0x09)
            case UInt8(ascii: "u"):
                var code = try hex()
                if (0xD800..<0xDC00).contains(code) {
                    guard take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) else {
                        throw error("half a surrogate pair")
                    }
                    let low = try hex()
                    guard (0xDC00..<0xE000).contains(low) else { throw error("half a surrogate pair") }
                    code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
                }
                guard let scalar = Unicode.Scalar(code) else { throw error("half a surrogate pair") }
                utf8.append(contentsOf: Character(scalar).utf8)
            default: throw error("an unknown escape")
            }
        }

        mutating func hex() throws(ParseError) -> UInt32 {
            guard offset + 4 <= bytes.count,
                bytes[offset..<offset + 4].allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
                let code = UInt32(String(decoding: bytes[offset..<offset + 4], as: UTF8.self), radix: 16)
            else { throw error("four hexadecimal digits were expected") }
            offset += 4
            return code
        }
    }
}
