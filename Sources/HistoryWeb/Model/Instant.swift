import Foundation

/// A moment in microseconds since 1970, as exact as PostgreSQL keeps it.
struct Instant: Comparable, Hashable, Sendable {
    var microseconds: Int64

    static func < (one: Instant, other: Instant) -> Bool { one.microseconds < other.microseconds }

    static func - (one: Instant, other: Instant) -> Duration { .microseconds(one.microseconds - other.microseconds) }

    static func + (one: Instant, duration: Duration) -> Instant {
        let (seconds, attoseconds) = duration.components
        return Instant(microseconds: one.microseconds + seconds * 1_000_000 + attoseconds / 1_000_000_000_000)
    }

    init(microseconds: Int64) { self.microseconds = microseconds }

    static var now: Instant { Instant(microseconds: Int64(Date.now.timeIntervalSince1970 * 1_000_000)) }

    /// Reads `2026-01-31T09:00:00.000000Z` or the same with an offset in hours and minutes; nil for anything else.
    init?(rfc3339 text: String) {
        let match = text.wholeMatch(
            of: #/(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,6})\d*)?(?:Z|([+-])(\d\d):?(\d\d)?)/#)
        guard let match else { return nil }
        func number(_ digits: Substring) -> Int64 { Int64(digits) ?? 0 }
        let days = Self.days(year: number(match.1), month: number(match.2), day: number(match.3))
        var seconds = days * 86_400 + number(match.4) * 3600 + number(match.5) * 60 + number(match.6)
        if let sign = match.8 {
            let offset = number(match.9 ?? "0") * 3600 + number((match.10 ?? nil) ?? "0") * 60
            seconds -= sign == "-" ? -offset : offset
        }
        let fraction = match.7.map { $0 + String(repeating: "0", count: 6 - $0.count) } ?? "0"
        microseconds = seconds * 1_000_000 + (Int64(fraction) ?? 0)
    }

    /// `2026-01-31T09:00:00.000000Z`, as the contract writes times.
    var rfc3339: String {
        let (date, time, fraction) = parts
        return "\(date)T\(time).\(fraction)Z"
    }

    /// `2026-01-31 09:00:00.000`, in UTC, for people.
    var readable: String {
        let (date, time, fraction) = parts
        return "\(date) \(time).\(fraction.prefix(3))"
    }

    private var parts: (date: String, time: String, fraction: String) {
        let (seconds, fraction) = microseconds.floorDivided(by: 1_000_000)
        let (days, second) = seconds.floorDivided(by: 86_400)
        let (year, month, day) = Self.civil(days: days)
        return (
            "\(year)-\(month.padded(2))-\(day.padded(2))",
            "\((second / 3600).padded(2)):\((second / 60 % 60).padded(2)):\((second % 60).padded(2))",
            fraction.padded(6)
        )
    }

    // The calendar in closed form (Howard Hinnant, "chrono-compatible low-level date algorithms"): Foundation's formatters
    // take longer for one row than the database does for the page.
    private static func days(year: Int64, month: Int64, day: Int64) -> Int64 {
        let year = month <= 2 ? year - 1 : year
        let (era, yearOfEra) = year.floorDivided(by: 400)
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    private static func civil(days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let (era, dayOfEra) = (days + 719_468).floorDivided(by: 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted + (shifted < 10 ? 3 : -9)
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1)
    }
}

extension Int64 {
    fileprivate func floorDivided(by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
        let remainder = (self % divisor + divisor) % divisor
        return ((self - remainder) / divisor, remainder)
    }

    fileprivate func padded(_ width: Int) -> String {
        let digits = String(self)
        return String(repeating: "0", count: Swift.max(0, width - digits.count)) + digits
    }
}

extension Duration {
    /// Reads seconds as the contract writes them: `10s`, `0.25s`.
    init?(contract text: String) {
        guard text.hasSuffix("s"), let seconds = Double(text.dropLast()), seconds.magnitude < 1e12 else { return nil }
        self = .seconds(seconds)
    }

    /// `850 ms`, `12.3 s`, `3 min 04 s`, `2 h 05 min`, `3 d 4 h`.
    var readable: String {
        let milliseconds = max(0, components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000)
        func two(_ value: Int64) -> String { value.padded(2) }
        switch milliseconds {
        case ..<1000: return "\(milliseconds) ms"
        case ..<60_000: return "\(milliseconds / 1000).\(milliseconds % 1000 / 100) s"
        case ..<3_600_000: return "\(milliseconds / 60_000) min \(two(milliseconds / 1000 % 60)) s"
        case ..<86_400_000: return "\(milliseconds / 3_600_000) h \(two(milliseconds / 60_000 % 60)) min"
        default: return "\(milliseconds / 86_400_000) d \(milliseconds / 3_600_000 % 24) h"
        }
    }
}
