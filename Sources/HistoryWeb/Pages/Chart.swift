import PerdureModel

/// A small picture of one number over time, drawn as SVG by the server: a bar for each slot, each of which says its
/// time and number to a pointer.
enum Chart {
    private static let step = 4
    private static let height = 48

    /// - Parameters:
    ///   - values: one a slot, oldest first.
    ///   - text: a value for people.
    static func values(
        _ title: String, look: String, starts: [Timestamp], values: [Double], text: (Double) -> String
    ) -> [String: Any] {
        let most = values.max() ?? 0
        let last = values.last ?? 0
        let bars = zip(starts, values).enumerated().map { index, slot -> [String: Any] in
            let (start, value) = slot
            let tall = tall(value, of: most)
            return [
                "x": index * step, "y": height - tall, "height": tall,
                "title": "\(start.readable.dropFirst(11).prefix(5)) UTC: \(text(value))",
            ]
        }
        return [
            "label": title, "look": look, "bars": bars, "width": max(1, values.count * step), "height": height,
            "step": step, "bar": step - 1, "now": text(last), "most": text(most), "isFlat": most == 0,
            "summary": "\(title): \(text(last)) now, at most \(text(most))",
        ]
    }

    /// The same as one shape, for tables of many: its bars tell nothing to a pointer.
    static func spark(_ title: String, look: String, values: [Double], text: (Double) -> String) -> [String: Any] {
        let most = values.max() ?? 0
        let last = values.last ?? 0
        let shape = values.enumerated().filter { $1 > 0 }.map { index, value in
            "M\(index * step) \(height)v-\(tall(value, of: most))h\(step - 1)V\(height)z"
        }.joined()
        return [
            "look": look, "shape": shape, "width": max(1, values.count * step), "height": height, "now": text(last),
            "summary": "\(title): \(text(last)) now, at most \(text(most))",
        ]
    }

    private static func tall(_ value: Double, of most: Double) -> Int {
        // What is not nothing can be seen.
        value > 0 && most > 0 ? max(1, Int((value / most * Double(height)).rounded())) : 0
    }

    /// `0`, `3.4`, `120`.
    static func number(_ value: Double) -> String {
        switch value {
        case _ where value == value.rounded(): String(Int(value))
        case ..<10: String(Double(Int(value * 10 + 0.5)) / 10)
        default: String(Int(value + 0.5))
        }
    }

    static func duration(_ seconds: Double) -> String {
        seconds == 0 ? "0 s" : Duration.seconds(seconds).readable
    }
}
