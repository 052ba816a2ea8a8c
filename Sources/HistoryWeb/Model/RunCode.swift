import PerdureModel
import WebCommon

/// A workflow or activity type that a run used, in one build: who ran it, and which code that is.
struct RunCode: Sendable {
    enum Kind: String, Sendable { case workflow, activity, file }

    let kind: Kind
    let type: String
    /// Nil if no worker that is remembered has run it: then the newest code that a worker came with is meant.
    let build: String?
    let workers: [String]
    let lastUsed: Timestamp?
    /// Nil if none was registered.
    let source: Source?

    struct Source: Sendable {
        let hash: String
        let file: String
        let firstLine: Int
        /// Where the type's own code begins.
        let line: Int
        let build: String
    }

    init?(_ row: JSON) {
        guard let kind = row.text("kind").flatMap(Kind.init(rawValue:)), let type = row.text("type") else { return nil }
        self.kind = kind
        self.type = type
        build = row.text("build")
        workers = (row["workers"]?.elements ?? []).compactMap(\.stringValue)
        lastUsed = row.time("last")
        source = row.member("source").flatMap { source in
            guard let hash = source.text("content_hash"), let file = source.text("file"),
                let firstLine = source.integer("first_line"), let line = source.integer("line")
            else { return nil }
            return Source(
                hash: hash, file: file, firstLine: firstLine, line: line, build: source.text("build_id") ?? "")
        }
    }
}
