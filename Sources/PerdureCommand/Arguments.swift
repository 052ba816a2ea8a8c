import ArgumentParser
import Foundation
import PerdureEngine

/// A workflow, and perhaps one run of it.
struct WorkflowReference: ParsableArguments {
    @Option(name: [.customShort("w"), .long], help: "The workflow's id.")
    var workflowID: String
    @Option(
        name: [.customShort("r"), .long], help: "One run of it; the latest unless it is given.",
        transform: { text in
            guard let id = UUID(uuidString: text) else { throw ValidationError("\(text) is no run id") }
            return id
        })
    var runID: UUID?
}

/// Values for a workflow, a signal or a query.
struct InputOptions: ParsableArguments {
    @Option(
        name: [.customShort("i"), .long], help: ArgumentHelp("An argument, as JSON; once for each.", valueName: "json"))
    var input: [JSON] = []
    @Option(help: ArgumentHelp("A file with one argument as JSON; - is standard input.", valueName: "path"))
    var inputFile: String?

    func payloads() throws -> [Payload] {
        var values = input
        if let inputFile {
            let data: Data
            do {
                data =
                    inputFile == "-"
                    ? FileHandle.standardInput.readDataToEndOfFile() : try Data(contentsOf: URL(filePath: inputFile))
            } catch {
                throw Problem("cannot read \(inputFile): \(error.localizedDescription)")
            }
            do {
                values.append(try JSON(parsing: Array(data)))
            } catch {
                throw Problem("\(inputFile) holds no JSON: \(error)")
            }
        }
        return values.map { Payload(plain: $0) }
    }
}

/// `NAME=JSON`.
struct NamedValue: ExpressibleByArgument {
    let name: String
    let value: JSON

    init?(argument: String) {
        guard let split = argument.firstIndex(of: "="), split > argument.startIndex,
            let value = try? JSON(parsing: String(argument[argument.index(after: split)...]))
        else { return nil }
        name = String(argument[..<split])
        self.value = value
    }
}

/// `90s`, `5m`, `1h30m`, `30d`.
struct TimeSpan: ExpressibleByArgument {
    let duration: Duration

    init?(argument: String) {
        let units: [String: Double] = ["ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400]
        var seconds = 0.0
        var rest = Substring(argument)
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let number = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
            rest = rest.dropFirst(number.count)
            let unit = rest.prefix { $0.isLetter }
            rest = rest.dropFirst(unit.count)
            guard let value = Double(number), let size = units[String(unit)] else { return nil }
            seconds += value * size
        }
        guard seconds < 1e10 else { return nil }
        duration = .microseconds(Int64((seconds * 1_000_000).rounded()))
    }
}

extension JSON: ExpressibleByArgument {
    public init?(argument: String) {
        guard let value = try? JSON(parsing: argument) else { return nil }
        self = value
    }
}
