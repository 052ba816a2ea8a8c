import Foundation
import WebCommon

/// What a list of runs is narrowed down to: a list filter that a person wrote, and what was chosen beside it.
struct ListFilter: Sendable, Hashable {
    var namespace: String
    /// In the list filter language, or one word: the beginning of a workflow id.
    var text: String
    var status: Run.Status?
    /// How far back runs may have started.
    var since: Range?

    enum Range: String, CaseIterable, Sendable {
        case hour = "1h"
        case day = "24h"
        case week = "7d"

        var label: String {
            switch self {
            case .hour: "Last hour"
            case .day: "Last 24 hours"
            case .week: "Last 7 days"
            }
        }

        var duration: Duration {
            switch self {
            case .hour: .seconds(3600)
            case .day: .seconds(86_400)
            case .week: .seconds(7 * 86_400)
            }
        }
    }

    /// Whether the text is one word, by which ids are looked for.
    var isWord: Bool { text.wholeMatch(of: #/[^\s=<>!'"`()]+/#) != nil }

    var isEmpty: Bool { text.isEmpty && status == nil && since == nil }

    /// All of it in the list filter language. What a person wrote begins at the character that `offset` says, counted from 0.
    ///
    /// - Parameter more: comparisons of ours.
    func expression(status: Run.Status?, and more: [String] = []) -> String {
        let (condition, order) = Self.split(isWord ? "WorkflowId STARTS_WITH \(text.quotedForFilter)" : text)
        var parts = condition.isEmpty ? [] : ["(\(condition))"]
        if let status { parts.append("ExecutionStatus = '\(status.rawValue)'") }
        if let since {
            // Not to the second, so that the plan of one request serves the next.
            let start =
                Instant(microseconds: (Instant.now.microseconds / 60_000_000) * 60_000_000) + .zero - since.duration
            parts.append("StartTime >= '\(start.rfc3339)'")
        }
        return (parts + more).joined(separator: " AND ") + order
    }

    var expression: String { expression(status: status) }

    static let offset = 1

    /// Whether the order is that in which runs started.
    var isNewestFirst: Bool { Self.split(text).order.isEmpty }

    /// The condition and, with its `ORDER BY`, the order. Words within quotes are no keywords.
    private static func split(_ text: String) -> (condition: String, order: String) {
        let pattern = #/'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\b[Oo][Rr][Dd][Ee][Rr]\s+[Bb][Yy]\b|./#
            .dotMatchesNewlines()
        for match in text.matches(of: pattern) where match.0.count > 1 && match.0.first?.lowercased() == "o" {
            return (String(text[..<match.range.lowerBound]).trimmingEnd, " " + text[match.range.lowerBound...])
        }
        return (text.trimmingEnd, "")
    }
}

extension Instant {
    fileprivate static func - (one: Instant, duration: Duration) -> Instant { one + (.zero - duration) }
}

extension String {
    fileprivate var trimmingEnd: String {
        var text = self[...]
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text)
    }

    /// As a string of the list filter language.
    var quotedForFilter: String { "'\(replacing("'", with: "''"))'" }
}
