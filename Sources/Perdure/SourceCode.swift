/// The text of a workflow or of an activity as it was built. A worker registers it, so that people who look at a run
/// can read the line that failed, in the version that ran.
public struct SourceCode: Sendable, Hashable {
    /// Module and file, as `#fileID` has it: never a path of the machine that built it.
    public let file: String
    /// The line of the file at which ``text`` begins, from 1.
    public let firstLine: Int
    /// The line of the file at which the type's own code begins.
    public let line: Int
    public let text: String

    public init(file: String, firstLine: Int, line: Int, text: String) {
        self.file = file
        self.firstLine = firstLine
        self.line = line
        self.text = text
    }

    /// The same text, of which the part that begins at a line is meant.
    public func beginning(atLine line: Int) -> SourceCode {
        SourceCode(file: file, firstLine: firstLine, line: line, text: text)
    }
}

extension SourceCode {
    /// Whole files, in batches of about so many bytes. What is too large to be kept is left out.
    static func files(_ texts: [String: String], batchBytes: Int) -> [[SourceCode]] {
        var batches: [[SourceCode]] = []
        var room = 0
        for (file, text) in texts.sorted(by: { $0.key < $1.key }) where text.utf8.count <= 1 << 20 {
            if batches.isEmpty || text.utf8.count > room {
                batches.append([])
                room = batchBytes
            }
            room -= text.utf8.count
            batches[batches.count - 1].append(SourceCode(file: file, firstLine: 1, line: 1, text: text))
        }
        return batches
    }
}
