import ArgumentParser
import Perdure
import PerdureEngine

struct WorkflowCount: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "count", abstract: "Count workflows, by status.")
    @OptionGroup var options: ClientOptions
    @Option(name: [.customShort("q"), .long], help: ArgumentHelp("Which of them.", valueName: "filter"))
    var query = ""

    func run() async throws {
        let counts = try await options.withClient { client, _ in try await client.countWorkflows(query) }
        let total = counts.values.reduce(0, +)
        switch options.output {
        case .json:
            let groups = counts.map { ($0.key.rawValue, JSON.number($0.value)) }
            print(JSON.object(["count": .number(total), "statuses": .object(Dictionary(groups) { $1 })]))
        case .text:
            print("Total: \(total)")
            for status in WorkflowStatus.allCases {
                if let count = counts[status] { print("\(status.rawValue): \(count)") }
            }
        }
    }
}
