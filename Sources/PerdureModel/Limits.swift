/// What the engine takes, by the numbers of `perdure.maximum`: so that code learns at its own call what the database
/// would refuse.
package enum Limits {
    /// Levels of arrays and objects, with what stands in the innermost.
    package static let depth = 256
    /// From here on a value is kept as base64 of its JSON, which has no levels. It leaves room for what payloads stand
    /// in.
    package static let plainDepth = 200
    /// Bytes of the text of all payloads of one input, result or detail; so is that of a memo.
    package static let payloads = 2_097_152
    /// Bytes of the text of all search attributes.
    package static let searchAttributes = 40_960
    /// Of a failure, the bytes of each message and stack trace.
    package static let failureText = 524_288
    package static let causes = 100
    /// Bytes of a name, an id, an identity or a reason.
    package static let name = 1000
    package static let suggestedEvents: Int64 = 4096
    package static let suggestedBytes: Int64 = 4_194_304
    package static let toldBytes: Int64 = 65536

    /// What `perdure.history_told` says at the start of a workflow task: how large the history is, and whether to
    /// continue as new, and why.
    package static func historyTold(startedEventID: Int64, bytes: Int64) -> JSON {
        var reasons: [JSON] = []
        if bytes >= suggestedBytes { reasons.append("HistorySizeTooLarge") }
        if startedEventID >= suggestedEvents { reasons.append("TooManyHistoryEvents") }
        return .compact([
            "historySizeBytes": bytes < toldBytes ? nil : .number(bytes / toldBytes * toldBytes),
            "suggestContinueAsNew": reasons.isEmpty ? nil : true,
            "suggestContinueAsNewReasons": reasons.isEmpty ? nil : .array(reasons),
        ])
    }
}

extension String {
    /// With a visible sign in the place of U+0000, which PostgreSQL's texts cannot hold: for what people read.
    package var withVisibleNul: String {
        guard utf8.contains(0) else { return self }
        return String(String.UnicodeScalarView(unicodeScalars.map { $0 == "\u{0}" ? "\u{2400}" : $0 }))
    }

    /// Its beginning, of at most so many bytes.
    package func cut(toBytes maximum: Int) -> String {
        guard utf8.count > maximum else { return self }
        var end = utf8.index(utf8.startIndex, offsetBy: maximum)
        while end > utf8.startIndex, utf8[end] & 0xC0 == 0x80 { end = utf8.index(before: end) }
        return String(decoding: utf8[..<end], as: UTF8.self)
    }
}
