/// A place in JSON text, and what can be read from there on. Nothing is copied that is not asked for.
struct JSONCursor {
    let text: UnsafeBufferPointer<UInt8>
    var offset = 0
    private var depth = 0

    /// Objects and arrays that may stand inside each other.
    static let maximumDepth = 512

    init(_ text: UnsafeBufferPointer<UInt8>) { self.text = text }

    /// The first byte of the next value, or 0 at the end.
    mutating func peek() -> UInt8 {
        skipSpace()
        return offset < text.count ? text[offset] : 0
    }

    mutating func skipSpace() {
        while offset < text.count, text[offset] == 0x20 || (0x09...0x0D).contains(text[offset]) { offset += 1 }
    }

    func malformed(_ what: String) -> TranscodingError {
        TranscodingError(reason: .malformedJSON("\(what) at byte \(offset)"))
    }

    private mutating func expect(_ byte: UInt8) throws(TranscodingError) {
        guard peek() == byte else { throw malformed("expected \(Character(Unicode.Scalar(byte)))") }
        offset += 1
    }

    private mutating func enter(_ byte: UInt8) throws(TranscodingError) {
        depth += 1
        guard depth <= Self.maximumDepth else {
            throw TranscodingError(reason: .nestedTooDeep(limit: Self.maximumDepth))
        }
        try expect(byte)
    }

    /// Calls `body` at the value of each member of an object, with the name as it is written between its quotes.
    /// `body` reads the value.
    mutating func members(
        _ body: (inout JSONCursor, _ name: Range<Int>) throws(TranscodingError) -> Void
    ) throws(TranscodingError) {
        try enter(UInt8(ascii: "{"))
        defer { depth -= 1 }
        if peek() == UInt8(ascii: "}") {
            offset += 1
            return
        }
        while true {
            let name = try quoted().range
            try expect(UInt8(ascii: ":"))
            skipSpace()
            try body(&self, name)
            guard peek() == UInt8(ascii: ",") else { return try expect(UInt8(ascii: "}")) }
            offset += 1
        }
    }

    /// Calls `body` at each element of an array. `body` reads the element.
    mutating func elements(
        _ body: (inout JSONCursor) throws(TranscodingError) -> Void
    ) throws(TranscodingError) {
        try enter(UInt8(ascii: "["))
        defer { depth -= 1 }
        if peek() == UInt8(ascii: "]") {
            offset += 1
            return
        }
        while true {
            skipSpace()
            try body(&self)
            guard peek() == UInt8(ascii: ",") else { return try expect(UInt8(ascii: "]")) }
            offset += 1
        }
    }

    /// A string as it is written between its quotes, and whether escapes are in it.
    mutating func quoted() throws(TranscodingError) -> (range: Range<Int>, isEscaped: Bool) {
        try expect(UInt8(ascii: "\""))
        let start = offset
        var isEscaped = false
        while offset < text.count, text[offset] != UInt8(ascii: "\"") {
            if text[offset] == UInt8(ascii: "\\") {
                isEscaped = true
                offset += 1
            }
            offset += 1
        }
        guard offset < text.count else { throw malformed("the text ends inside a string") }
        offset += 1
        return (start..<offset - 1, isEscaped)
    }

    func slice(_ range: Range<Int>) -> UnsafeBufferPointer<UInt8> { UnsafeBufferPointer(rebasing: text[range]) }

    /// Appends the bytes of a string, escapes undone.
    mutating func appendString(to output: inout [UInt8]) throws(TranscodingError) {
        let (range, isEscaped) = try quoted()
        guard isEscaped else { return output.append(contentsOf: slice(range)) }
        try appendUnescaped(range, to: &output)
    }

    mutating func string() throws(TranscodingError) -> String {
        var bytes: [UInt8] = []
        try appendString(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    func unescaped(_ range: Range<Int>) throws(TranscodingError) -> [UInt8] {
        var bytes: [UInt8] = []
        try appendUnescaped(range, to: &bytes)
        return bytes
    }

    private func appendUnescaped(_ range: Range<Int>, to output: inout [UInt8]) throws(TranscodingError) {
        var index = range.lowerBound
        func codeUnit() -> UInt16? {
            guard index + 4 <= range.upperBound else { return nil }
            var value: UInt16 = 0
            for byte in text[index..<index + 4] {
                guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80 else { return nil }
                value = value << 4 | UInt16(digit)
            }
            index += 4
            return value
        }
        while index < range.upperBound {
            let byte = text[index]
            index += 1
            guard byte == UInt8(ascii: "\\"), index < range.upperBound else {
                output.append(byte)
                continue
            }
            let escape = text[index]
            index += 1
            switch escape {
            case UInt8(ascii: "b"): output.append(0x08)
            case UInt8(ascii: "f"): output.append(0x0C)
            case UInt8(ascii: "n"): output.append(0x0A)
            case UInt8(ascii: "r"): output.append(0x0D)
            case UInt8(ascii: "t"): output.append(0x09)
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): output.append(escape)
            case UInt8(ascii: "u"):
                guard let first = codeUnit() else { throw malformed("an escape is not four hexadecimal digits") }
                var scalar = Unicode.Scalar(UInt32(first))
                if scalar == nil, UTF16.isLeadSurrogate(first), index + 1 < range.upperBound,
                    text[index] == UInt8(ascii: "\\"), text[index + 1] == UInt8(ascii: "u")
                {
                    index += 2
                    if let second = codeUnit(), UTF16.isTrailSurrogate(second) {
                        scalar = Unicode.Scalar(0x10000 + (UInt32(first) - 0xD800) << 10 + (UInt32(second) - 0xDC00))
                    }
                }
                guard let scalar else { throw malformed("half of a surrogate pair") }
                output.append(contentsOf: UTF8.encode(scalar)!)
            default: throw malformed("there is no escape \\\(Character(Unicode.Scalar(escape)))")
            }
        }
    }

    /// A number, as it is written. A number in quotes counts too, as in protobuf's own JSON.
    mutating func number() throws(TranscodingError) -> UnsafeBufferPointer<UInt8> {
        if peek() == UInt8(ascii: "\"") { return slice(try quoted().range) }
        let start = offset
        while offset < text.count, Self.isPartOfNumber(text[offset]) { offset += 1 }
        guard offset > start else { throw malformed("expected a number") }
        return slice(start..<offset)
    }

    private static func isPartOfNumber(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."),
            UInt8(ascii: "e"), UInt8(ascii: "E"):
            true
        default: false
        }
    }

    mutating func integer<Value: FixedWidthInteger>(_ type: Value.Type = Value.self) throws(TranscodingError) -> Value {
        let literal = String(decoding: try number(), as: UTF8.self)
        guard let value = Value(literal) else { throw malformed("\(literal.prefix(40)) is no \(type)") }
        return value
    }

    mutating func double() throws(TranscodingError) -> Double {
        let literal = String(decoding: try number(), as: UTF8.self)
        switch literal {
        case "NaN": return .nan
        case "Infinity": return .infinity
        case "-Infinity": return -.infinity
        default: break
        }
        guard let value = Double(literal) else { throw malformed("\(literal.prefix(40)) is no number") }
        return value
    }

    mutating func bool() throws(TranscodingError) -> Bool {
        if try take("true") { return true }
        if try take("false") { return false }
        throw malformed("expected true or false")
    }

    /// Takes null, if it stands here.
    mutating func takeNull() throws(TranscodingError) -> Bool { try take("null") }

    private mutating func take(_ word: StaticString) throws(TranscodingError) -> Bool {
        let length = word.utf8CodeUnitCount
        guard peek() == word.utf8Start[0] else { return false }
        guard offset + length <= text.count,
            slice(offset..<offset + length).elementsEqual(
                UnsafeBufferPointer(start: word.utf8Start, count: length))
        else { throw malformed("expected \(word)") }
        offset += length
        return true
    }

    /// Goes past a value.
    ///
    /// - Returns: Where it stands.
    @discardableResult
    mutating func skip() throws(TranscodingError) -> Range<Int> {
        let first = peek()
        let start = offset
        switch first {
        case UInt8(ascii: "{"): try members { cursor, _ throws(TranscodingError) in try cursor.skip() }
        case UInt8(ascii: "["): try elements { cursor throws(TranscodingError) in try cursor.skip() }
        case UInt8(ascii: "\""): _ = try quoted()
        case UInt8(ascii: "t"), UInt8(ascii: "f"): _ = try bool()
        case UInt8(ascii: "n"): _ = try takeNull()
        default: _ = try number()
        }
        return start..<offset
    }
}
