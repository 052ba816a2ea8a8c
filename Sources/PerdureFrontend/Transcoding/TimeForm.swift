/// Times and durations: RFC 3339 in UTC and seconds with an `s` in JSON, seconds and nanoseconds in protobuf.
enum TimeForm {
    private static let nanosPerSecond = 1_000_000_000

    // MARK: To protobuf

    static func writeTimestamp(
        _ json: inout JSONCursor, _ output: inout ProtobufWriter
    ) throws(TranscodingError) {
        let text = try json.string()
        guard let (seconds, nanos) = seconds(inTimestamp: text) else {
            throw json.malformed("\(text.prefix(40)) is no time in RFC 3339")
        }
        write(seconds, nanos, &output)
    }

    static func writeDuration(_ json: inout JSONCursor, _ output: inout ProtobufWriter) throws(TranscodingError) {
        let text = try json.string()
        guard let (seconds, nanos) = seconds(inDuration: text) else {
            throw json.malformed("\(text.prefix(40)) is no duration in seconds")
        }
        write(seconds, nanos, &output)
    }

    private static func write(_ seconds: Int64, _ nanos: Int, _ output: inout ProtobufWriter) {
        if seconds != 0 { output.field(1, varint: seconds) }
        if nanos != 0 { output.field(2, varint: Int64(nanos)) }
    }

    private static func seconds(inDuration text: String) -> (Int64, Int)? {
        guard text.hasSuffix("s") else { return nil }
        let isNegative = text.hasPrefix("-")
        let parts = text.dropLast().drop { $0 == "-" }.split(
            separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let whole = parts.first, isDigits(whole), let seconds = Int64(whole), let nanos = nanos(parts.dropFirst())
        else { return nil }
        return isNegative ? (-seconds, -nanos) : (seconds, nanos)
    }

    private static func seconds(inTimestamp text: String) -> (Int64, Int)? {
        // 2026-01-31T09:00:00.000000Z
        guard text.utf8.count >= 20, text.hasSuffix("Z"), text.utf8.allSatisfy({ $0 < 0x80 }) else { return nil }
        let bytes = Array(text.utf8)
        func number(_ range: Range<Int>) -> Int? {
            bytes[range].allSatisfy { (0x30...0x39).contains($0) }
                ? bytes[range].reduce(0) { $0 * 10 + Int($1 - 0x30) } : nil
        }
        guard let year = number(0..<4), let month = number(5..<7), let day = number(8..<10),
            let hour = number(11..<13), let minute = number(14..<16), let second = number(17..<19),
            (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second < 61,
            bytes[19] == UInt8(ascii: ".") || bytes.count == 20,
            let nanos = nanos(bytes.count == 20 ? [] : [text.dropFirst(20).dropLast()])
        else { return nil }
        return (Int64(days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second), nanos)
    }

    private static func nanos(_ fraction: ArraySlice<Substring>) -> Int? {
        guard let digits = fraction.first else { return 0 }
        guard isDigits(digits), digits.count <= 9 else { return nil }
        return Int(digits.padding(to: 9))
    }

    private static func isDigits(_ text: Substring) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { (0x30...0x39).contains($0) }
    }

    /// Days since 1970-01-01 in the Gregorian calendar.
    ///
    /// Algorithm: https://howardhinnant.github.io/date_algorithms.html#days_from_civil
    private static func days(_ year: Int, _ month: Int, _ day: Int) -> Int {
        let year = month <= 2 ? year - 1 : year
        let era = (year >= 0 ? year : year - 399) / 400
        let yearOfEra = year - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    // MARK: To JSON

    /// Nine decimals at the most; none when the second is whole.
    static func writeTimestamp(
        _ reader: ProtobufReader, _ output: inout JSONWriter
    ) throws(TranscodingError) {
        let (seconds, nanos) = try read(reader)
        // What RFC 3339 can write: years 1 to 9999.
        guard (-62_135_596_800...253_402_300_799).contains(seconds), (0..<nanosPerSecond).contains(nanos) else {
            throw reader.malformed("a time is outside of the years 1 to 9999")
        }
        let days = Int(seconds.quotientAndFlooredRemainder(dividingBy: 86400).quotient)
        let second = Int(seconds) - days * 86400
        let (year, month, day) = date(days)
        let date = "\(year.padded(4))-\(month.padded(2))-\(day.padded(2))"
        let time = "\((second / 3600).padded(2)):\((second / 60 % 60).padded(2)):\((second % 60).padded(2))"
        output.string("\(date)T\(time)\(fraction(nanos))Z".utf8)
    }

    static func writeDuration(_ reader: ProtobufReader, _ output: inout JSONWriter) throws(TranscodingError) {
        let (seconds, nanos) = try read(reader)
        let isNegative = seconds < 0 || nanos < 0
        guard abs(nanos) < nanosPerSecond, seconds == 0 || nanos == 0 || (seconds < 0) == (nanos < 0) else {
            throw reader.malformed("a duration has nanoseconds that do not go with its seconds")
        }
        output.string("\(isNegative ? "-" : "")\(seconds.magnitude)\(fraction(abs(nanos)))s".utf8)
    }

    private static func read(_ reader: ProtobufReader) throws(TranscodingError) -> (seconds: Int64, nanos: Int) {
        var reader = reader
        var seconds: Int64 = 0
        var nanos = 0
        while !reader.isAtEnd {
            switch try reader.next() {
            case (1, .varint(let value)): seconds = Int64(bitPattern: value)
            case (2, .varint(let value)): nanos = Int(Int32(truncatingIfNeeded: value))
            default: break
            }
        }
        return (seconds, nanos)
    }

    private static func fraction(_ nanos: Int) -> String {
        guard nanos != 0 else { return "" }
        var digits = nanos.padded(9)[...]
        while digits.last == "0" { digits = digits.dropLast() }
        return ".\(digits)"
    }

    /// Algorithm: https://howardhinnant.github.io/date_algorithms.html#civil_from_days
    private static func date(_ days: Int) -> (year: Int, month: Int, day: Int) {
        let days = days + 719_468
        let era = (days >= 0 ? days : days - 146_096) / 146_097
        let dayOfEra = days - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1)
    }
}

extension Substring {
    fileprivate func padding(to length: Int) -> String { self + String(repeating: "0", count: length - count) }
}

extension Int {
    fileprivate func padded(_ length: Int) -> String {
        let digits = String(self)
        return String(repeating: "0", count: Swift.max(0, length - digits.count)) + digits
    }
}

extension Int64 {
    fileprivate func quotientAndFlooredRemainder(dividingBy divisor: Int64) -> (quotient: Int64, remainder: Int64) {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }
}
