import Foundation
import PerdureModel

/// One comparison of the list filter language, made of a field, an operator and what was written as its value.
struct FilterCondition: Sendable {
    /// As the language writes them, and in words.
    static let operators = [
        ("=", "is"), ("!=", "is not"), ("STARTS_WITH", "begins with"), ("IN", "is one of (commas between)"),
        (">", "is greater or later than"), (">=", "is at least"), ("<", "is less or earlier than"),
        ("<=", "is at most"), ("BETWEEN", "is between (a comma between)"), ("IS NULL", "is not there"),
        ("IS NOT NULL", "is there"),
    ]

    let text: String

    /// - Parameter field: a row of `perdure.list_filter_fields`.
    /// - Returns: nil for an unknown operator.
    init?(_ field: JSON, operator sign: String, value: String) {
        guard let name = field.text("name"), Self.operators.contains(where: { $0.0 == sign }) else { return nil }
        let isWord = name.wholeMatch(of: #/[A-Za-z_][A-Za-z0-9_.]*/#) != nil
        let quoted = isWord ? name : "`\(name)`"
        // What is no number is quoted, so that the language says so.
        let isPlain = ["Int", "Double", "Bool"].contains(field.text("type") ?? "")
        func written(_ value: some StringProtocol) -> String {
            let value = value.trimmingCharacters(in: .whitespaces)
            return isPlain && value.wholeMatch(of: #/-?[0-9][0-9.eE+\-]*|true|false/#) != nil
                ? value : value.quotedForFilter
        }
        func parts() -> [String] { value.split(separator: ",").map(written) }
        switch sign {
        case "IS NULL", "IS NOT NULL": text = "\(quoted) \(sign)"
        case "IN": text = "\(quoted) IN (\(parts().joined(separator: ", ")))"
        case "BETWEEN": text = "\(quoted) BETWEEN \(parts().joined(separator: " AND "))"
        default: text = "\(quoted) \(sign) \(written(value))"
        }
    }
}
