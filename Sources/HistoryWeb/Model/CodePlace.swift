import PerdureModel

/// A line of code that a failure names, in its message or its stack trace.
struct CodePlace: Sendable, Hashable {
    /// As it is named there: module and file, the file alone, or a path of a machine.
    let file: String
    let line: Int

    /// The places that a text names, in its order.
    static func all(in text: String) -> [CodePlace] {
        text.matches(of: #/([\p{L}\p{N}_+.\-\/ ]*[\p{L}\p{N}_+\-]\.swift):(\d{1,7})(?!\d)/#).compactMap { match in
            Int(match.2).map { CodePlace(file: match.1.split(separator: " ").last.map(String.init) ?? "", line: $0) }
        }
    }

    /// Whether it is a place of this file. Stack traces often name only the last part of a path.
    func isIn(_ other: String) -> Bool {
        file == other
            || file.split(separator: "/").last == other.split(separator: "/").last && !file.isEmpty
                && (!file.contains("/") || file.hasPrefix("/"))
    }
}

extension Failure {
    /// The lines of a file that it names, each with the message of the link that does, innermost cause first.
    func lines(in file: String) -> [(line: Int, message: String)] {
        var found: [(line: Int, message: String)] = []
        for link in chain.prefix(20).reversed() {
            for place in CodePlace.all(in: [link.stackTrace, link.message].joined(separator: "\n"))
            where place.isIn(file) && !found.contains(where: { $0.line == place.line }) {
                found.append((place.line, link.message))
            }
        }
        return found
    }
}
