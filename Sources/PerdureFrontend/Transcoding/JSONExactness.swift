/// Tells whether PostgreSQL's jsonb gives a document back as it was.
///
/// It does not keep white space, the order of members and the way in which a string is escaped, which no reader of JSON
/// tells apart. It refuses U+0000, halves of surrogate pairs and deep nesting, drops the first of two members with one
/// name, and writes numbers without an exponent and without a negative zero, which some readers take for another type.
enum JSONExactness {
    /// Deeper documents are kept as bytes. PostgreSQL's own limit depends on its stack.
    static let maximumDepth = 100
    /// Longer numbers are kept as bytes. PostgreSQL can hold 131,072 digits.
    static let maximumDigits = 1000

    static func isHeldByJSONB(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
        guard String(validating: text, as: UTF8.self) != nil else { return false }
        var cursor = JSONCursor(text)
        return (try? isHeld(&cursor, depth: 0)) == true && cursor.peek() == 0 && cursor.offset == text.count
    }

    private static func isHeld(_ json: inout JSONCursor, depth: Int) throws(TranscodingError) -> Bool {
        guard depth <= maximumDepth else { return false }
        var isHeld = true
        switch json.peek() {
        case UInt8(ascii: "{"):
            var names: Set<[UInt8]> = []
            try json.members { json, range throws(TranscodingError) in
                let name = try json.unescaped(range)
                isHeld = isHeld && isHeldString(json.slice(range), unescaped: name) && names.insert(name).inserted
                isHeld = try Self.isHeld(&json, depth: depth + 1) && isHeld
            }
        case UInt8(ascii: "["):
            try json.elements { json throws(TranscodingError) in
                isHeld = try Self.isHeld(&json, depth: depth + 1) && isHeld
            }
        case UInt8(ascii: "\""):
            let (range, isEscaped) = try json.quoted()
            let unescaped = isEscaped ? try json.unescaped(range) : []
            isHeld = isHeldString(json.slice(range), unescaped: unescaped)
        case UInt8(ascii: "t"), UInt8(ascii: "f"): _ = try json.bool()
        case UInt8(ascii: "n"): isHeld = try json.takeNull()
        default: isHeld = isHeldNumber(try json.number())
        }
        return isHeld
    }

    /// A control character must be escaped, and U+0000 cannot be stored at all.
    private static func isHeldString(_ raw: UnsafeBufferPointer<UInt8>, unescaped: [UInt8]) -> Bool {
        !raw.contains { $0 < 0x20 } && !unescaped.contains(0)
    }

    private static func isHeldNumber(_ literal: UnsafeBufferPointer<UInt8>) -> Bool {
        let isNegative = literal.first == UInt8(ascii: "-")
        let digits = isNegative ? literal.dropFirst() : literal[...]
        let parts = digits.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard literal.count <= maximumDigits, (1...2).contains(parts.count),
            parts.allSatisfy({ !$0.isEmpty && $0.allSatisfy { (0x30...0x39).contains($0) } }),
            parts[0].count == 1 || parts[0].first != UInt8(ascii: "0")
        else { return false }
        return !isNegative || digits.contains { (0x31...0x39).contains($0) }
    }
}
