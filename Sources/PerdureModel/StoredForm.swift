/// What jsonb makes of a JSON value: how long its text is, how deep it is nested, and whether it comes back as it was.
package struct StoredForm {
    package private(set) var bytes = 0
    /// Of its innermost value; 0 for what holds no other.
    package private(set) var depth = 0
    /// Whether jsonb takes it at all.
    package private(set) var isStorable = true
    /// Whether it comes back with the same value, and not much longer than it was.
    package private(set) var isExact = true

    package init(_ json: JSON) { add(json, at: 0) }

    /// Of `payloads.json`, which is not made for that.
    package init(_ payloads: [Payload]) {
        bytes = 2 + 2 * max(0, payloads.count - 1)
        for payload in payloads {
            bytes += 4
            add("encoding")
            add(.string(payload.encoding), at: 2)
            if let data = payload.data {
                bytes += 4
                add("data")
                add(data, at: 2)
            }
            if !payload.metadata.isEmpty {
                bytes += 4
                add("metadata")
                add(.object(payload.metadata), at: 2)
            }
        }
    }

    private mutating func add(_ json: JSON, at level: Int) {
        depth = max(depth, level)
        switch json {
        case .null: bytes += 4
        case .bool(let truth): bytes += truth ? 4 : 5
        case .number(let literal): add(number: literal)
        case .string(let string): add(string)
        case .array(let elements):
            bytes += 2 + 2 * max(0, elements.count - 1)
            for element in elements { add(element, at: level + 1) }
        case .object(let members):
            bytes += 2 + 2 * max(0, members.count - 1) + 2 * members.count
            for (key, value) in members {
                add(key)
                add(value, at: level + 1)
            }
        }
    }

    private mutating func add(_ string: String) {
        var count = 2
        for byte in string.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), 0x08, 0x09, 0x0A, 0x0C, 0x0D: count += 2
            case 0:
                count += 6
                isStorable = false
            case ..<0x20: count += 6
            default: count += 1
            }
        }
        bytes += count
    }

    private mutating func add(number literal: String) {
        guard let number = Number(literal) else {
            bytes += literal.utf8.count
            isStorable = false
            return
        }
        bytes += number.length
        if number.isNegativeZero || number.length > max(64, literal.utf8.count) || number.length > 1000 {
            isExact = false
        }
        if number.length > 16_000 { isStorable = false }
    }

    /// A JSON number, and how many characters PostgreSQL's `numeric` writes it with.
    private struct Number {
        let length: Int
        let isNegativeZero: Bool

        init?(_ literal: String) {
            var rest = literal.utf8[...]
            func digits() -> Substring.UTF8View {
                let digits = rest.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
                rest = rest[digits.endIndex...]
                return digits
            }
            func skip(_ characters: UInt8...) -> UInt8? {
                guard let first = rest.first, characters.contains(first) else { return nil }
                rest = rest.dropFirst()
                return first
            }
            let isNegative = skip(UInt8(ascii: "-")) != nil
            let whole = digits()
            guard let first = whole.first, first != UInt8(ascii: "0") || whole.count == 1 else { return nil }
            var fraction = 0
            var isZero = whole.allSatisfy { $0 == UInt8(ascii: "0") }
            if skip(UInt8(ascii: ".")) != nil {
                let digits = digits()
                guard !digits.isEmpty else { return nil }
                fraction = digits.count
                isZero = isZero && digits.allSatisfy { $0 == UInt8(ascii: "0") }
            }
            var exponent = 0
            if skip(UInt8(ascii: "e"), UInt8(ascii: "E")) != nil {
                let sign = skip(UInt8(ascii: "+"), UInt8(ascii: "-"))
                let digits = digits()
                guard !digits.isEmpty else { return nil }
                exponent = Int(String(decoding: digits.prefix(9), as: UTF8.self)) ?? 0
                if digits.count > 9 { exponent = 1_000_000_000 }
                if sign == UInt8(ascii: "-") { exponent = -exponent }
            }
            guard rest.isEmpty else { return nil }
            // Where the point comes to stand.
            let wholeDigits = max(1, whole.count + exponent)
            let fractionDigits = max(0, fraction - exponent)
            length = (isNegative ? 1 : 0) + wholeDigits + (fractionDigits > 0 ? fractionDigits + 1 : 0)
            isNegativeZero = isNegative && isZero
        }
    }
}

extension JSON {
    /// Whether a payload can hold it as it is: jsonb gives it back with the same value, and it is not nested deep.
    var isPlain: Bool {
        let form = StoredForm(self)
        return form.isStorable && form.isExact && form.depth <= Limits.plainDepth
    }
}
