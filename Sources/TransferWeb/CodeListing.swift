import Foundation

/// The code of a mode, as lines of pieces to be coloured.
///
/// The package copies the files from `Sources/Bank/Modes`, so that the text is what this build was made of. Of Swift it knows as
/// much as people read by, line by line; anything else passes as it stands.
struct CodeListing: Sendable {
    struct Piece: Sendable, Hashable {
        enum Look: String, Sendable { case plain, comment, string, keyword, attribute }

        var look: Look
        var text: String
    }

    let file: String
    let lines: [[Piece]]

    static func file(of mode: TransferMode) -> String {
        switch mode {
        case .plain: "PlainTransfer.swift"
        case .retrying: "RetryingTransfer.swift"
        case .durable: "TransferWorkflow.swift"
        }
    }

    /// - Parameter folder: where the build put the file.
    init(of mode: TransferMode, in folder: URL) throws {
        file = Self.file(of: mode)
        let text = try String(contentsOf: folder.appendingPathComponent(file), encoding: .utf8)
        lines = text.trimmingCharacters(in: .newlines).split(separator: "\n", omittingEmptySubsequences: false)
            .map(Self.pieces)
    }

    static func pieces(_ line: Substring) -> [Piece] {
        let mark = #/(//.*)|("(?:[^"\\]|\\.)*")|([@#][A-Za-z]\w*)|([A-Za-z_]\w*)/#
        var pieces: [Piece] = []
        func add(_ look: Piece.Look, _ text: Substring) {
            guard !text.isEmpty else { return }
            if let last = pieces.last, last.look == look {
                pieces[pieces.count - 1].text += text
            } else {
                pieces.append(Piece(look: look, text: String(text)))
            }
        }
        var rest = line
        while let found = rest.firstMatch(of: mark) {
            add(.plain, rest[..<found.range.lowerBound])
            if let comment = found.1 {
                add(.comment, comment)
            } else if let string = found.2 {
                add(.string, string)
            } else if let attribute = found.3 {
                add(.attribute, attribute)
            } else if let word = found.4 {
                add(keywords.contains(String(word)) ? .keyword : .plain, word)
            }
            rest = rest[found.range.upperBound...]
        }
        add(.plain, rest)
        return pieces
    }

    private static let keywords: Set<String> = [
        "Self", "as", "async", "await", "catch", "defer", "do", "else", "extension", "false", "for", "func", "guard",
        "if", "import", "in", "init", "let", "nil", "private", "public", "return", "self", "static", "struct", "switch",
        "throw", "throws", "true", "try", "typealias", "var", "where", "while",
    ]
}
