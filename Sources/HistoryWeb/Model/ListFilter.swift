import Foundation
import PerdureModel
import WebCommon

/// What a list of runs is narrowed down to: a list filter that a person wrote, and what was chosen beside it.
struct ListFilter: Sendable, Hashable {
    var namespace: String
    /// In the list filter language, or one word: the beginning of a workflow id.
    var text: String
    var status: Run.Status?
    /// What is wrong with the runs, which are open then.
    var condition: Run.Condition?
    /// How far back runs may have started.
    var since: Range?
    /// In which order they come, unless the text says it; nil for newest first.
    var sort: Sort?

    /// Orders that an index serves.
    enum Sort: String, CaseIterable, Sendable {
        case oldestFirst = "start-up"
        case lastClosedFirst = "close"
        case firstClosedFirst = "close-up"

        var order: String {
            switch self {
            case .oldestFirst: " ORDER BY StartTime"
            case .lastClosedFirst: " ORDER BY CloseTime DESC"
            case .firstClosedFirst: " ORDER BY CloseTime"
            }
        }
    }

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

    /// Throws 400 for what is no part of a filter.
    init(_ fields: FormFields, namespace: String) throws(WebError) {
        self.init(
            namespace: namespace, text: (fields["query"] ?? "").trimmingCharacters(in: .whitespacesAndNewlines),
            status: try Self.option("status", fields), condition: try Self.option("condition", fields),
            since: try Self.option("since", fields), sort: try Self.option("sort", fields))
    }

    init(
        namespace: String, text: String, status: Run.Status? = nil, condition: Run.Condition? = nil,
        since: Range? = nil, sort: Sort? = nil
    ) {
        self.namespace = namespace
        self.text = text
        self.status = status
        self.condition = condition
        self.since = since
        self.sort = sort
    }

    private static func option<T: RawRepresentable<String> & CaseIterable>(
        _ name: String, _ fields: FormFields
    ) throws(WebError) -> T? {
        guard let text = fields[name] else { return nil }
        guard let option = T(rawValue: text) else {
            let known = T.allCases.map(\.rawValue).joined(separator: ", ")
            throw WebError(.badRequest, "\(name) cannot be \"\(text.prefix(100))\"; it is one of \(known)")
        }
        return option
    }

    /// Whether the text is one word, by which ids are looked for.
    var isWord: Bool { text.wholeMatch(of: #/[^\s=<>!'"`()]+/#) != nil }

    var isEmpty: Bool { text.isEmpty && status == nil && condition == nil && since == nil }

    /// The same without what the chips choose.
    var ofAnyStatus: ListFilter {
        var filter = self
        filter.status = nil
        filter.condition = nil
        filter.sort = nil
        return filter
    }

    /// All of it in the list filter language. What a person wrote begins at the character that `offset` says, counted
    /// from 0.
    ///
    /// - Parameter more: comparisons of ours.
    func expression(and more: [String] = []) -> String {
        let (written, order) = Self.split(isWord ? "WorkflowId STARTS_WITH \(text.quotedForFilter)" : text)
        var parts = written.isEmpty ? [] : ["(\(written))"]
        if let status { parts.append("ExecutionStatus = '\(status.rawValue)'") }
        // By the name that no search attribute can take.
        if let condition { parts.append("PerdureCondition = '\(condition.rawValue)'") }
        if let since {
            // Not to the second, so that the plan of one request serves the next.
            let minute = Timestamp(microseconds: Timestamp.now.microseconds / 60_000_000 * 60_000_000)
            let start = minute - since.duration
            parts.append("StartTime >= '\(start.description)'")
        }
        if sort == .lastClosedFirst || sort == .firstClosedFirst, order.isEmpty {
            parts.append("CloseTime IS NOT NULL")
        }
        return (parts + more).joined(separator: " AND ") + (order.isEmpty ? sort?.order ?? "" : order)
    }

    var expression: String { expression() }

    /// The same, narrowed down by another condition.
    func adding(_ condition: FilterCondition) -> ListFilter {
        let (written, order) = Self.split(isWord ? "WorkflowId STARTS_WITH \(text.quotedForFilter)" : text)
        let mayBeEither = written.contains(#/\b[Oo][Rr]\b/#)
        var filter = self
        filter.text =
            written.isEmpty
            ? condition.text + order
            : "\(mayBeEither ? "(\(written))" : written) AND \(condition.text)\(order)"
        return filter
    }

    static let offset = 1

    /// Whether the order is that in which runs started.
    var isNewestFirst: Bool { sort == nil && !saysOrder }

    /// Whether the text says in which order runs come.
    var saysOrder: Bool { !Self.split(text).order.isEmpty }

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

extension String {
    fileprivate var trimmingEnd: String {
        var text = self[...]
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text)
    }

    /// As a string of the list filter language.
    var quotedForFilter: String { "'\(replacing("'", with: "''"))'" }
}
