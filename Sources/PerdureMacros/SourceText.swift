import SwiftSyntax
import SwiftSyntaxMacros

/// The text of a declaration with the comment above it, and where in its file it stands.
struct SourceText {
    let text: String
    /// The file, as `#fileID`, as an expression.
    let file: String
    /// The line at which the text begins.
    let firstLine: Int
    /// The line at which the declaration begins, behind its comment.
    let line: Int

    /// - Returns: nil where the compiler does not know the place.
    init?(_ declaration: some SyntaxProtocol, in context: some MacroExpansionContext) {
        guard let place = context.location(of: declaration, at: .afterLeadingTrivia, filePathMode: .fileID),
            let line = Int(place.line.trimmedDescription)
        else { return nil }
        let above = declaration.leadingTrivia.commentAbove
        text = above + declaration.trimmedDescription
        file = place.file.trimmedDescription
        firstLine = line - above.count(where: \.isNewline)
        self.line = line
    }

    /// A `SourceCode` that begins here.
    var expression: String {
        "Perdure.SourceCode(file: \(file), firstLine: \(firstLine), line: \(line), text: \(text.swiftLiteral))"
    }
}

extension Trivia {
    /// The comments that touch the declaration, with the lines' indentation, from the first one's beginning.
    fileprivate var commentAbove: String {
        // A blank line ends what belongs to the declaration.
        var kept = description
        while let blank = kept.firstRange(of: #/\n[ \t]*\r?\n/#) { kept = String(kept[blank.upperBound...]) }
        guard let start = kept.firstIndex(where: { !$0.isWhitespace }) else { return "" }
        return String(kept[start...])
    }

    /// What the documentation comment says, without its marks and its parameters: paragraphs as lines.
    var documentation: String? {
        var lines: [String] = []
        for piece in self {
            switch piece {
            case .docLineComment(let text): lines.append(String(text.dropFirst(3)))
            case .docBlockComment(let text):
                lines += text.dropFirst(3).dropLast(2).split(separator: "\n", omittingEmptySubsequences: false)
                    .map { $0.trimmingPrefix(#/\s*\*?/#) }.map(String.init)
            default: break
            }
        }
        var paragraphs: [String] = [""]
        for line in lines.map({ $0.trimmed }) {
            if line.starts(with: #/-\s+(Parameters?|Returns|Throws)\b/#) { break }
            if line.isEmpty {
                paragraphs.append("")
            } else {
                paragraphs[paragraphs.count - 1] += (paragraphs[paragraphs.count - 1].isEmpty ? "" : " ") + line
            }
        }
        let text = paragraphs.filter { !$0.isEmpty }.joined(separator: "\n")
        return text.isEmpty ? nil : text
    }
}

extension String {
    fileprivate var trimmed: String {
        var text = self[...]
        while text.first?.isWhitespace == true { text.removeFirst() }
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text)
    }

    /// The text as a literal on one line, so that nothing can indent it.
    var swiftLiteral: String {
        var literal = "\""
        for scalar in unicodeScalars {
            switch scalar {
            case "\\": literal += "\\\\"
            case "\"": literal += "\\\""
            case "\n": literal += "\\n"
            case "\r": literal += "\\r"
            case "\t": literal += "\\t"
            case _ where scalar.value < 32 || (0x7f...0x9f).contains(scalar.value):
                literal += "\\u{\(String(scalar.value, radix: 16))}"
            default: literal.unicodeScalars.append(scalar)
            }
        }
        return literal + "\""
    }
}
