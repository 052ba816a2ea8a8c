import PerdureModel

extension Timestamp {
    /// `2026-01-31 09:00:00.000`, in UTC, for people.
    var readable: String { description.replacing("T", with: " ").dropLast(4).description }

    /// `12 s ago`, `3 min ago`, `2 h ago`, `5 d ago`; the day where that is more than a month. `in 3 min` for what
    /// comes.
    func ago(_ now: Timestamp) -> String {
        let seconds = (now.microseconds - microseconds) / 1_000_000
        let words =
            switch abs(seconds) {
            case ..<60: "\(abs(seconds)) s"
            case ..<3600: "\(abs(seconds) / 60) min"
            case ..<86_400: "\(abs(seconds) / 3600) h"
            case ..<(31 * 86_400): "\(abs(seconds) / 86_400) d"
            default: ""
            }
        guard !words.isEmpty else { return String(description.prefix(10)) }
        return seconds < 0 ? "in \(words)" : "\(words) ago"
    }
}

extension Duration {
    /// `850 ms`, `12.3 s`, `3 min 04 s`, `2 h 05 min`, `3 d 4 h`.
    var readable: String {
        let milliseconds = max(0, components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000)
        func two(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }
        switch milliseconds {
        case ..<1000: return "\(milliseconds) ms"
        case ..<60_000: return "\(milliseconds / 1000).\(milliseconds % 1000 / 100) s"
        case ..<3_600_000: return "\(milliseconds / 60_000) min \(two(milliseconds / 1000 % 60)) s"
        case ..<86_400_000: return "\(milliseconds / 3_600_000) h \(two(milliseconds / 60_000 % 60)) min"
        default: return "\(milliseconds / 86_400_000) d \(milliseconds / 3_600_000 % 24) h"
        }
    }
}
