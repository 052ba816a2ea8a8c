import Foundation
import WebCommon

/// The workshop's modules: the page shows the text that people read in `docs/workshop`, whose files lead here.
///
/// What these files use of Markdown is all that is understood here: a title, paragraphs, headings of steps, commands in
/// fences, and within a paragraph `code`, *emphasis*, **strong** and [links](…). Anything else shows as it is written.
struct Tour: Sendable {
    struct Module: Sendable {
        var id: String
        var title: String
        var introduction: [[Span]]
        var steps: [Step]
    }

    struct Step: Sendable {
        var title: String
        var blocks: [Block]
    }

    enum Block: Sendable, Hashable {
        case paragraph([Span])
        case command(String)
    }

    enum Span: Sendable, Hashable {
        case text(String)
        case code(String)
        case emphasis(String)
        case strong(String)
        case link(String, address: String)
    }

    let modules: [Module]

    /// - Parameter folder: its files `1-….md`, `2-….md` and so on are the modules.
    init(folder: URL) throws {
        modules = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
            .filter { $0.hasSuffix(".md") && $0.first?.isNumber == true }
            .map { name in
                let text = try String(contentsOf: folder.appendingPathComponent(name), encoding: .utf8)
                return Self.module(id: String(name.dropLast(3).drop { $0 != "-" }.dropFirst()), text)
            }
    }

    static func module(id: String, _ text: String) -> Module {
        var module = Module(id: id, title: "", introduction: [], steps: [])
        var lines: [String] = []
        func paragraph() {
            defer { lines = [] }
            guard !lines.isEmpty else { return }
            let spans = spans(lines.joined(separator: " "))
            if module.steps.isEmpty {
                module.introduction.append(spans)
            } else {
                module.steps[module.steps.count - 1].blocks.append(.paragraph(spans))
            }
        }
        var fence: [String]?
        for line in text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init) {
            if line.hasPrefix("```") {
                paragraph()
                if let command = fence {
                    if !module.steps.isEmpty {
                        module.steps[module.steps.count - 1].blocks.append(.command(command.joined(separator: "\n")))
                    }
                    fence = nil
                } else {
                    fence = []
                }
            } else if fence != nil {
                fence?.append(line)
            } else if line.hasPrefix("## ") {
                paragraph()
                module.steps.append(Step(title: String(line.dropFirst(3)), blocks: []))
            } else if line.hasPrefix("# ") {
                module.title = String(line.dropFirst(2))
            } else if line.isEmpty {
                paragraph()
            } else {
                lines.append(line)
            }
        }
        paragraph()
        return module
    }

    static func spans(_ text: String) -> [Span] {
        var spans: [Span] = []
        var rest = text[...]
        let mark = #/`([^`]+)`|\*\*([^*]+)\*\*|\*([^*]+)\*|\[([^\]]+)\]\(([^)\s]+)\)/#
        while let found = rest.firstMatch(of: mark) {
            if found.range.lowerBound > rest.startIndex { spans.append(.text(String(rest[..<found.range.lowerBound]))) }
            if let code = found.1 {
                spans.append(.code(String(code)))
            } else if let strong = found.2 {
                spans.append(.strong(String(strong)))
            } else if let emphasis = found.3 {
                spans.append(.emphasis(String(emphasis)))
            } else if let label = found.4, let address = found.5 {
                spans.append(.link(String(label), address: String(address)))
            }
            rest = rest[found.range.upperBound...]
        }
        if !rest.isEmpty { spans.append(.text(String(rest))) }
        return spans
    }
}
