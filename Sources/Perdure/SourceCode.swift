/// The text of a workflow or of an activity as it was built. A worker registers it, so that people who look at a run can read
/// the line that failed, in the version that ran.
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
