/// Text that is not JSON, or that is nested deeper than ``JSON/maximumDepth``.
public struct JSONParseError: Error, Sendable, Hashable, CustomStringConvertible {
    public let reason: String
    /// Where it went wrong, in bytes from the start of the text.
    public let offset: Int

    public var description: String { "invalid JSON at byte \(offset): \(reason)" }
}

extension JSON {
    /// Arrays and objects nested deeper than this are refused, so that no text can exhaust the stack.
    public static let maximumDepth = 512

    /// Parses UTF-8 JSON text (RFC 8259) in one pass. Of two members with one name the last wins, as in jsonb.
    ///
    /// - Parameter deeper: what becomes of values that are nested deeper than ``maximumDepth``.
    public init(parsing bytes: some Collection<UInt8>, deeper: Deeper = .refused) throws(JSONParseError) {
        func parse(_ buffer: UnsafeBufferPointer<UInt8>) -> Result<JSON, JSONParseError> {
            var parser = JSONParser(bytes: buffer, deeper: deeper)
            do throws(JSONParseError) { return .success(try parser.parseDocument()) } catch { return .failure(error) }
        }
        let result =
            bytes.withContiguousStorageIfAvailable(parse) ?? Array(bytes).withUnsafeBufferPointer(parse)
        self = try result.get()
    }

    /// What becomes of values that are nested deeper than ``maximumDepth``.
    public enum Deeper: Sendable {
        case refused
        /// A string with the text of the value, which is not checked: for what a database holds already.
        case keptAsText
    }

    public init(parsing text: String) throws(JSONParseError) {
        try self.init(parsing: text.utf8)
    }

    /// Compact UTF-8 text, members in the order of their names, so that equal values give equal bytes.
    public var bytes: [UInt8] {
        var output: [UInt8] = []
        write(to: &output, sorted: true)
        return output
    }

    /// Compact text, members in the order in which they stand.
    public var text: String {
        var output: [UInt8] = []
        write(to: &output, sorted: false, keepsNul: true)
        return String(decoding: output, as: UTF8.self)
    }

    /// Text for PostgreSQL, which does not care for the order of members. Its jsonb cannot hold U+0000, and a visible
    /// sign takes its place: in what people read, such as the message of a failure, for payloads keep it as base64 and
    /// names are refused.
    package func write(to output: inout [UInt8], sorted: Bool) { write(to: &output, sorted: sorted, keepsNul: sorted) }

    private func write(to output: inout [UInt8], sorted: Bool, keepsNul: Bool) {
        switch self {
        case .null: output.append(contentsOf: "null".utf8)
        case .bool(true): output.append(contentsOf: "true".utf8)
        case .bool(false): output.append(contentsOf: "false".utf8)
        case .number(let literal): output.append(contentsOf: literal.utf8)
        case .string(let string): Self.write(string, to: &output, keepsNul: keepsNul)
        case .array(let elements):
            output.append(UInt8(ascii: "["))
            var isFirst = true
            for element in elements {
                if !isFirst { output.append(UInt8(ascii: ",")) }
                isFirst = false
                element.write(to: &output, sorted: sorted, keepsNul: keepsNul)
            }
            output.append(UInt8(ascii: "]"))
        case .object(let members):
            output.append(UInt8(ascii: "{"))
            var isFirst = true
            func write(_ key: String, _ value: JSON) {
                if !isFirst { output.append(UInt8(ascii: ",")) }
                isFirst = false
                Self.write(key, to: &output, keepsNul: keepsNul)
                output.append(UInt8(ascii: ":"))
                value.write(to: &output, sorted: sorted, keepsNul: keepsNul)
            }
            if sorted, members.count > 1 {
                for (key, value) in members.sorted(by: { $0.key < $1.key }) { write(key, value) }
            } else {
                for (key, value) in members { write(key, value) }
            }
            output.append(UInt8(ascii: "}"))
        }
    }

    private static func write(_ string: String, to output: inout [UInt8], keepsNul: Bool) {
        output.append(UInt8(ascii: "\""))
        // Most strings hold nothing to escape and are copied whole.
        if !string.utf8.contains(where: { $0 < 0x20 || $0 == UInt8(ascii: "\"") || $0 == UInt8(ascii: "\\") }) {
            output.append(contentsOf: string.utf8)
            output.append(UInt8(ascii: "\""))
            return
        }
        for byte in string.utf8 {
            switch byte {
            case UInt8(ascii: "\""): output.append(contentsOf: #"\""#.utf8)
            case UInt8(ascii: "\\"): output.append(contentsOf: #"\\"#.utf8)
            case 0x0A: output.append(contentsOf: #"\n"#.utf8)
            case 0x0D: output.append(contentsOf: #"\r"#.utf8)
            case 0x09: output.append(contentsOf: #"\t"#.utf8)
            case 0 where !keepsNul: output.append(contentsOf: "\u{2400}".utf8)
            case 0..<0x20:
                output.append(contentsOf: #"\u00"#.utf8)
                output.append(hexDigit(byte >> 4))
                output.append(hexDigit(byte & 0xF))
            default: output.append(byte)
            }
        }
        output.append(UInt8(ascii: "\""))
    }

    private static func hexDigit(_ nibble: UInt8) -> UInt8 {
        nibble < 10 ? UInt8(ascii: "0") + nibble : UInt8(ascii: "a") + nibble - 10
    }
}

private struct JSONParser {
    let bytes: UnsafeBufferPointer<UInt8>
    let deeper: JSON.Deeper
    var offset = 0
    var depth = 0

    init(bytes: UnsafeBufferPointer<UInt8>, deeper: JSON.Deeper) {
        self.bytes = bytes
        self.deeper = deeper
    }

    mutating func parseDocument() throws(JSONParseError) -> JSON {
        skipWhitespace()
        let value = try parseValue()
        skipWhitespace()
        guard offset == bytes.count else { throw error("text after the value") }
        return value
    }

    func error(_ reason: String) -> JSONParseError { JSONParseError(reason: reason, offset: offset) }

    var current: UInt8? { offset < bytes.count ? bytes[offset] : nil }

    mutating func skipWhitespace() {
        while let byte = current, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { offset += 1 }
    }

    mutating func parseValue() throws(JSONParseError) -> JSON {
        guard let first = current else { throw error("the text ends where a value should be") }
        switch first {
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            if depth == JSON.maximumDepth, deeper == .keptAsText { return .string(try skipNested()) }
            return first == UInt8(ascii: "{") ? try parseObject() : try parseArray()
        case UInt8(ascii: "\""): return .string(try parseString())
        case UInt8(ascii: "t"): return try parseWord("true", .bool(true))
        case UInt8(ascii: "f"): return try parseWord("false", .bool(false))
        case UInt8(ascii: "n"): return try parseWord("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try parseNumber()
        default: throw error("a value cannot start here")
        }
    }

    mutating func parseWord(_ word: StaticString, _ value: JSON) throws(JSONParseError) -> JSON {
        let length = word.utf8CodeUnitCount
        guard offset + length <= bytes.count else { throw error("expected \(word)") }
        for index in 0..<length where bytes[offset + index] != word.utf8Start[index] {
            throw error("expected \(word)")
        }
        offset += length
        return value
    }

    mutating func enter() throws(JSONParseError) {
        depth += 1
        guard depth <= JSON.maximumDepth else { throw error("nested deeper than \(JSON.maximumDepth) levels") }
        offset += 1
        skipWhitespace()
    }

    /// The text of an array or an object, which is passed over.
    mutating func skipNested() throws(JSONParseError) -> String {
        let start = offset
        var open = 0
        repeat {
            switch current {
            case UInt8(ascii: "{"), UInt8(ascii: "["): open += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"): open -= 1
            case UInt8(ascii: "\""):
                _ = try parseString()
                continue
            case nil: throw error("the text ends inside a value")
            default: break
            }
            offset += 1
        } while open > 0
        return try makeString(UnsafeBufferPointer(rebasing: bytes[start..<offset]))
    }

    mutating func parseArray() throws(JSONParseError) -> JSON {
        try enter()
        defer { depth -= 1 }
        var elements: [JSON] = []
        if current == UInt8(ascii: "]") {
            offset += 1
            return .array(elements)
        }
        while true {
            elements.append(try parseValue())
            skipWhitespace()
            switch current {
            case UInt8(ascii: ","):
                offset += 1
                skipWhitespace()
            case UInt8(ascii: "]"):
                offset += 1
                return .array(elements)
            default: throw error("expected , or ] in an array")
            }
        }
    }

    mutating func parseObject() throws(JSONParseError) -> JSON {
        try enter()
        defer { depth -= 1 }
        if current == UInt8(ascii: "}") {
            offset += 1
            return [:]
        }
        // Most have a few, whose place is not to be made one by one.
        var members = JSON.Members(minimumCapacity: 4)
        while true {
            guard current == UInt8(ascii: "\"") else { throw error("expected the name of a member") }
            let key = try parseString()
            skipWhitespace()
            guard current == UInt8(ascii: ":") else { throw error("expected : after the name of a member") }
            offset += 1
            skipWhitespace()
            members[key] = try parseValue()
            skipWhitespace()
            switch current {
            case UInt8(ascii: ","):
                offset += 1
                skipWhitespace()
            case UInt8(ascii: "}"):
                offset += 1
                return .object(members)
            default: throw error("expected , or } in an object")
            }
        }
    }

    mutating func skipDigits() throws(JSONParseError) {
        let start = offset
        while let byte = current, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { offset += 1 }
        guard offset > start else { throw error("expected a digit") }
    }

    mutating func parseNumber() throws(JSONParseError) -> JSON {
        let start = offset
        if current == UInt8(ascii: "-") { offset += 1 }
        if current == UInt8(ascii: "0") { offset += 1 } else { try skipDigits() }
        if current == UInt8(ascii: ".") {
            offset += 1
            try skipDigits()
        }
        if current == UInt8(ascii: "e") || current == UInt8(ascii: "E") {
            offset += 1
            if current == UInt8(ascii: "+") || current == UInt8(ascii: "-") { offset += 1 }
            try skipDigits()
        }
        return .number(String(decoding: UnsafeBufferPointer(rebasing: bytes[start..<offset]), as: UTF8.self))
    }

    mutating func parseString() throws(JSONParseError) -> String {
        offset += 1
        let start = offset
        // Most strings hold no escape and are taken whole.
        while let byte = current {
            if byte == UInt8(ascii: "\"") {
                let string = try makeString(UnsafeBufferPointer(rebasing: bytes[start..<offset]))
                offset += 1
                return string
            }
            if byte == UInt8(ascii: "\\") { return try parseEscapedString(from: start) }
            guard byte >= 0x20 else { throw error("a control character in a string must be escaped") }
            offset += 1
        }
        throw error("the text ends inside a string")
    }

    func makeString(_ utf8: some Sequence<UInt8>) throws(JSONParseError) -> String {
        guard let string = String(validating: utf8, as: UTF8.self) else { throw error("a string is not valid UTF-8") }
        return string
    }

    mutating func parseEscapedString(from start: Int) throws(JSONParseError) -> String {
        var utf8 = Array(bytes[start..<offset])
        while let byte = current {
            offset += 1
            switch byte {
            case UInt8(ascii: "\""): return try makeString(utf8)
            case UInt8(ascii: "\\"):
                guard let escape = current else { throw error("the text ends inside a string") }
                offset += 1
                switch escape {
                case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): utf8.append(escape)
                case UInt8(ascii: "b"): utf8.append(0x08)
                case UInt8(ascii: "f"): utf8.append(0x0C)
                case UInt8(ascii: "n"): utf8.append(0x0A)
                case UInt8(ascii: "r"): utf8.append(0x0D)
                case UInt8(ascii: "t"): utf8.append(0x09)
                case UInt8(ascii: "u"): utf8.append(contentsOf: String(Character(try parseUnicodeEscape())).utf8)
                default:
                    offset -= 1
                    throw error("no such escape")
                }
            case 0..<0x20:
                offset -= 1
                throw error("a control character in a string must be escaped")
            default: utf8.append(byte)
            }
        }
        throw error("the text ends inside a string")
    }

    mutating func parseUnicodeEscape() throws(JSONParseError) -> Unicode.Scalar {
        let first = try parseFourHexDigits()
        if let scalar = Unicode.Scalar(first) { return scalar }
        guard (0xD800..<0xDC00).contains(first), current == UInt8(ascii: "\\"), offset + 1 < bytes.count,
            bytes[offset + 1] == UInt8(ascii: "u")
        else { throw error("half of a surrogate pair") }
        offset += 2
        let second = try parseFourHexDigits()
        guard (0xDC00..<0xE000).contains(second),
            let scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
        else { throw error("half of a surrogate pair") }
        return scalar
    }

    mutating func parseFourHexDigits() throws(JSONParseError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = current, let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80 else {
                throw error("expected four hexadecimal digits")
            }
            value = value << 4 | UInt32(digit)
            offset += 1
        }
        return value
    }
}
