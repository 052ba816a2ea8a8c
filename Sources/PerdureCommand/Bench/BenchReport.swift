import Foundation
import PerdureEngine

/// What a measurement has found, for people or as one line of JSON.
struct BenchReport: Sendable {
    struct Table: Sendable {
        let name: String
        let headings: [String]
        var rows: [[JSON]] = []
    }

    private(set) var figures: [(name: String, value: Double)] = []
    private(set) var tables: [Table] = []
    private(set) var texts: [(name: String, value: String)] = []

    init(_ figures: KeyValuePairs<String, Double> = [:]) { add(figures) }

    mutating func add(_ figures: KeyValuePairs<String, Double>) {
        self.figures += figures.map { ($0.key, $0.value) }
    }

    mutating func add(_ table: Table) { tables.append(table) }

    /// A text of several lines, as a plan.
    mutating func add(_ name: String, _ text: String) { texts.append((name, text)) }

    func print(_ output: OutputFormat, _ server: BenchServer) {
        switch output {
        case .json: Swift.print(json(server).description)
        case .text: printText(server)
        }
    }

    private func json(_ server: BenchServer) -> JSON {
        var members: [String: JSON] = [:]
        for (name, value) in figures { members[name] = .rounded(value) }
        for table in tables {
            members[table.name] = .array(
                table.rows.map { row in .object(Dictionary(uniqueKeysWithValues: zip(table.headings, row))) })
        }
        for (name, text) in texts { members[name] = .string(text) }
        members["durable_commits"] = .bool(server.isDurable)
        members["server"] = .object(server.settings.mapValues(JSON.string))
        return .object(members)
    }

    private func printText(_ server: BenchServer) {
        Swift.print(server.summary)
        for (name, value) in figures {
            let label = name.replacing("_", with: " ").padding(toLength: 34, withPad: " ", startingAt: 0)
            Swift.print(label, Self.shown(value))
        }
        for table in tables {
            Swift.print("")
            let rows = [table.headings.map { $0.replacing("_", with: " ") }] + table.rows.map { $0.map(Self.shown) }
            let widths = table.headings.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
            for row in rows {
                let cells = zip(row, widths).map { cell, width in
                    // Numbers end, and words begin, at the same place.
                    let space = String(repeating: " ", count: width - cell.count)
                    return Double(cell.replacing(",", with: "")) == nil ? cell + space : space + cell
                }
                Swift.print(cells.joined(separator: "  ").trimmingSuffix(" "))
            }
        }
        for (name, text) in texts {
            Swift.print("\n\(name.replacing("_", with: " ")):\n\(text)")
        }
    }

    private static func shown(_ cell: JSON) -> String {
        guard case .number(let literal) = cell, let value = Double(literal) else { return cell.shown }
        return shown(value)
    }

    private static func shown(_ value: Double) -> String {
        String(format: value == value.rounded() || abs(value) >= 100 ? "%.0f" : "%.2f", value)
    }
}

extension JSON {
    static func rounded(_ value: Double) -> JSON {
        guard value.isFinite else { return .null }
        let thousandths = (value * 1000).rounded()
        return .number(value == value.rounded() ? String(format: "%.0f", value) : "\(thousandths / 1000)")
    }
}

extension String {
    fileprivate func trimmingSuffix(_ character: Character) -> String {
        String(reversed().drop { $0 == character }.reversed())
    }
}
