import Foundation

/// A point in time as PostgreSQL keeps it: whole microseconds, so that it survives the way there and back.
public struct Timestamp: Sendable, Hashable, Comparable {
    /// Microseconds since 1970-01-01T00:00:00Z.
    public var microseconds: Int64

    public init(microseconds: Int64) { self.microseconds = microseconds }

    /// The microsecond nearest to a date.
    public init(_ date: Date) {
        // Apart, because a double cannot hold today's microseconds since 1970 and their fraction.
        let seconds = date.timeIntervalSince1970.rounded(.down)
        let fraction = date.timeIntervalSince1970 - seconds
        microseconds = Int64(seconds) * 1_000_000 + Int64((fraction * 1_000_000).rounded())
    }

    public var date: Date { Date(timeIntervalSince1970: Double(microseconds) / 1_000_000) }

    public static func < (left: Timestamp, right: Timestamp) -> Bool { left.microseconds < right.microseconds }

    /// The time that passes from `start` to this.
    public func duration(since start: Timestamp) -> Duration { .microseconds(microseconds - start.microseconds) }

    public func advanced(by duration: Duration) -> Timestamp {
        Timestamp(microseconds: microseconds + duration.wholeMicroseconds)
    }

    /// This machine's clock.
    public static var now: Timestamp { Timestamp(Date.now) }

    public static func - (end: Timestamp, start: Timestamp) -> Duration { end.duration(since: start) }
    public static func - (time: Timestamp, duration: Duration) -> Timestamp { time.advanced(by: .zero - duration) }
}

extension Timestamp: LosslessStringConvertible {
    /// Reads an RFC 3339 time: any offset, up to nine decimals of a second, of which six count. PostgreSQL's forms are
    /// read too: a space in place of the T, and an offset of hours alone.
    public init?(_ text: some StringProtocol) { self.init(String(text)) }

    public init?(_ text: String) {
        // Each task holds several times, and bytes are read ten times as fast as characters.
        var text = text
        let microseconds = text.withUTF8 { bytes in
            var reader = Reader(rest: bytes[...])
            return reader.microseconds()
        }
        guard let microseconds else { return nil }
        self.microseconds = microseconds
    }

    private struct Reader {
        var rest: Slice<UnsafeBufferPointer<UInt8>>

        mutating func number(_ digits: Int) -> Int64? {
            guard rest.count >= digits else { return nil }
            var value: Int64 = 0
            for byte in rest.prefix(digits) {
                guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
                value = value * 10 + Int64(byte - UInt8(ascii: "0"))
            }
            rest = rest.dropFirst(digits)
            return value
        }

        /// Takes one of some ASCII characters.
        mutating func take(_ characters: StaticString) -> UInt8? {
            guard let first = rest.first, characters.withUTF8Buffer({ $0.contains(first) }) else { return nil }
            rest = rest.dropFirst()
            return first
        }

        mutating func microseconds() -> Int64? {
            guard let year = number(4), take("-") != nil, let month = number(2), take("-") != nil,
                let day = number(2), take("Tt ") != nil, let hour = number(2), take(":") != nil,
                let minute = number(2), take(":") != nil, let second = number(2), (1...12).contains(month),
                (1...Timestamp.daysInMonth(year, month)).contains(day), hour < 24, minute < 60, second <= 60
            else { return nil }
            var fraction: Int64 = 0
            if take(".") != nil {
                var digits = 0
                while let digit = number(1) {
                    digits += 1
                    if digits <= 6 { fraction = fraction * 10 + digit }
                }
                guard (1...9).contains(digits) else { return nil }
                for _ in digits..<max(digits, 6) { fraction *= 10 }
            }
            guard let zone = take("Zz+-") else { return nil }
            var offset: Int64 = 0
            if zone == UInt8(ascii: "+") || zone == UInt8(ascii: "-") {
                guard let hours = number(2), hours < 24 else { return nil }
                let minutes = take(":") == nil ? 0 : number(2)
                guard let minutes, minutes < 60 else { return nil }
                offset = (hours * 3600 + minutes * 60) * (zone == UInt8(ascii: "-") ? -1 : 1)
            }
            guard rest.isEmpty else { return nil }
            let days = Timestamp.daysSince1970(year, month, day)
            return (days * 86400 + hour * 3600 + minute * 60 + second - offset) * 1_000_000 + fraction
        }
    }

    /// RFC 3339 in UTC with six decimals: `2026-01-31T09:00:00.000000Z`.
    public var description: String {
        let (second, fraction) = microseconds.flooredDivision(by: 1_000_000)
        let (days, inDay) = second.flooredDivision(by: 86400)
        let (year, month, day) = Self.civil(daysSince1970: days)
        let digits = String(year)
        let rest = String(unsafeUninitializedCapacity: 23) { text in
            var place = 0
            func write(_ separator: Unicode.Scalar, _ value: Int64, _ width: Int) {
                text[place] = UInt8(ascii: separator)
                var rest = value
                for digit in (place + 1...place + width).reversed() {
                    text[digit] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
                    rest /= 10
                }
                place += 1 + width
            }
            write("-", month, 2)
            write("-", day, 2)
            write("T", inDay / 3600, 2)
            write(":", inDay / 60 % 60, 2)
            write(":", inDay % 60, 2)
            write(".", fraction, 6)
            text[place] = UInt8(ascii: "Z")
            return place + 1
        }
        return String(repeating: "0", count: max(0, 4 - digits.count)) + digits + rest
    }

    private static func daysInMonth(_ year: Int64, _ month: Int64) -> Int64 {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    // Days are counted in eras of 400 years that start in March, so that the leap day is the last of its year.
    private static func daysSince1970(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let (era, yearOfEra) = shifted.flooredDivision(by: 400)
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    private static func civil(daysSince1970 days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let (era, dayOfEra) = (days + 719_468).flooredDivision(by: 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1)
    }
}

extension Int64 {
    fileprivate func flooredDivision(by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }
}
