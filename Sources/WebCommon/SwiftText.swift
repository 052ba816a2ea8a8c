/// Swift code as lines of coloured pieces: comments, strings, numbers, keywords and attributes. It knows just enough of
/// the language for people to read by, and passes on anything else as it stands.
public struct SwiftText: Sendable {
    public struct Piece: Sendable, Hashable {
        public enum Look: String, Sendable { case plain, comment, string, number, keyword, attribute }
        public let look: Look
        public internal(set) var text: String
    }

    public let lines: [[Piece]]

    public init(_ text: String) {
        var lines: [[Piece]] = [[]]
        func add(_ look: Piece.Look, _ text: Substring) {
            for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
                if index > 0 { lines.append([]) }
                guard !line.isEmpty else { continue }
                let place = lines.count - 1
                if let last = lines[place].last, last.look == look {
                    lines[place][lines[place].count - 1].text += line
                } else {
                    lines[place].append(Piece(look: look, text: String(line)))
                }
            }
        }
        // Carriage returns would show as lines of their own.
        let text = text.replacing("\r\n", with: "\n")
        var rest = text[...]
        while let first = rest.first {
            let (look, length) = Self.next(rest, first)
            add(look, rest.prefix(length))
            rest = rest.dropFirst(length)
        }
        self.lines = lines
    }

    private static func next(_ rest: Substring, _ first: Character) -> (Piece.Look, Int) {
        if rest.hasPrefix("//") { return (.comment, rest.prefix { $0 != "\n" }.count) }
        if rest.hasPrefix("/*") { return (.comment, commentLength(rest)) }
        if first == "\"" || first == "#", let length = stringLength(rest) { return (.string, length) }
        if first == "@" || first == "#" {
            let name = rest.dropFirst().prefix(while: isWord)
            if !name.isEmpty { return (.attribute, name.count + 1) }
        }
        if first.isNumber { return (.number, rest.prefix { isWord($0) || $0 == "." }.count) }
        if isWord(first) {
            let word = rest.prefix(while: isWord)
            return (keywords.contains(String(word)) ? .keyword : .plain, word.count)
        }
        return (.plain, 1)
    }

    private static func isWord(_ character: Character) -> Bool {
        character.isLetter || character.isNumber || character == "_"
    }

    /// Comments nest in Swift.
    private static func commentLength(_ text: Substring) -> Int {
        var depth = 0
        var length = 0
        var rest = text
        while !rest.isEmpty {
            let step = rest.hasPrefix("/*") || rest.hasPrefix("*/") ? 2 : 1
            if step == 2 { depth += rest.first == "/" ? 1 : -1 }
            length += step
            rest = rest.dropFirst(step)
            if depth == 0 { break }
        }
        return length
    }

    /// - Returns: nil if no string begins here.
    private static func stringLength(_ text: Substring) -> Int? {
        let marks = text.prefix { $0 == "#" }
        var rest = text.dropFirst(marks.count)
        guard rest.first == "\"" else { return nil }
        let quote = rest.hasPrefix("\"\"\"") ? "\"\"\"" : "\""
        let escape = "\\" + marks
        var length = marks.count + quote.count
        rest = rest.dropFirst(quote.count)
        while !rest.isEmpty {
            if rest.hasPrefix(quote + marks) { return length + quote.count + marks.count }
            if quote == "\"", rest.first == "\n" { return length }
            let step = rest.hasPrefix(escape) ? min(escape.count + 1, rest.count) : 1
            length += step
            rest = rest.dropFirst(step)
        }
        return length
    }

    private static let keywords: Set<String> = [
        "actor", "any", "as", "async", "await", "break", "case", "catch", "class", "consuming", "continue", "default",
        "defer", "do", "else", "enum", "extension", "fallthrough", "false", "fileprivate", "final", "for", "func",
        "get",
        "guard", "if", "import", "in", "init", "inout", "internal", "is", "let", "mutating", "nil", "nonisolated",
        "nonmutating", "open", "operator", "override", "package", "private", "protocol", "public", "repeat", "return",
        "self", "Self", "set", "some", "static", "struct", "subscript", "super", "switch", "throw", "throws", "true",
        "try",
        "typealias", "unowned", "var", "weak", "where", "while",
    ]
}
