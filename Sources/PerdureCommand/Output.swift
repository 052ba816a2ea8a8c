import ArgumentParser
import Foundation
import PerdureEngine

enum OutputFormat: String, ExpressibleByArgument, CaseIterable { case text, json }

func environment(_ name: String) -> String? {
    ProcessInfo.processInfo.environment[name].flatMap { $0.isEmpty ? nil : $0 }
}

/// Rows in columns that line up.
struct Table {
    private var rows: [[String]]

    init(_ headings: String...) { rows = [headings] }

    mutating func add(_ cells: String...) {
        // What people wrote into ids and messages must not command the terminal.
        rows.append(cells.map { String($0.map { $0.isNewline || $0 == "\t" ? " " : $0 }).withoutControls })
    }

    var isEmpty: Bool { rows.count == 1 }

    func print() {
        var widths = [Int](repeating: 0, count: rows[0].count)
        for row in rows { for (column, cell) in row.enumerated() { widths[column] = max(widths[column], cell.count) } }
        for row in rows {
            let cells = row.enumerated().map { column, cell in
                column == row.count - 1 ? cell : cell + String(repeating: " ", count: widths[column] - cell.count)
            }
            Swift.print(cells.joined(separator: "  "))
        }
    }
}

extension String {
    var withoutControls: String {
        String(String.UnicodeScalarView(unicodeScalars.filter { $0.properties.generalCategory != .control }))
    }

    func cut(to length: Int) -> String { count > length ? prefix(length - 1) + "…" : self }
}

extension JSON {
    /// A string without its quotes, nothing for null, and JSON for the rest.
    var shown: String {
        switch self {
        case .null: ""
        case .string(let text): text
        default: description
        }
    }

    /// A time of `to_jsonb`, to the second and in UTC.
    var shownTime: String {
        guard let text = stringValue, let time = Timestamp(text) else { return shown.isEmpty ? "-" : shown }
        return time.shown
    }

    static func printed(_ values: [JSON]) {
        print("[" + values.map(\.description).joined(separator: ",\n ") + "]")
    }
}

extension Timestamp {
    /// To the second.
    var shown: String { String(description.prefix(19)) + "Z" }
}

extension [Payload] {
    /// What people read: one value alone, several as an array.
    var plain: JSON {
        let values = map { $0.data ?? .null }
        return values.count == 1 ? values[0] : values.isEmpty ? .null : .array(values)
    }
}
