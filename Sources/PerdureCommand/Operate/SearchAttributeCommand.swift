import ArgumentParser
import PerdureEngine

struct SearchAttributeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "search-attribute", abstract: "Create and list search attributes.",
        subcommands: [SearchAttributeCreate.self, SearchAttributeList.self])
}

struct SearchAttributeCreate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Let the runs of a namespace carry a search attribute.")
    @OptionGroup var options: ClientOptions
    @Option(help: "Its name.")
    var name: String
    @Option(help: "Keyword, Text, Int, Double, Bool, Datetime or KeywordList.")
    var type: String

    func run() async throws {
        _ = try await options.database.withPool { pool in
            try await pool.query("select perdure.add_search_attribute(\(name), \(type), \(options.namespaceName))")
        }
        if options.output == .text { print("search attribute \(name.withoutControls) is \(type)") }
    }
}

struct SearchAttributeList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the search attributes of a namespace.")
    @OptionGroup var options: ClientOptions

    func run() async throws {
        let attributes = try await options.database.withPool { pool in
            try await pool.query(
                """
                select to_jsonb(a) from perdure.search_attributes a where namespace = \(options.namespaceName) \
                order by name
                """
            ).map { try $0.decode(JSON.self, at: 0) }
        }
        guard options.output == .text else { return JSON.printed(attributes) }
        var table = Table("NAME", "TYPE")
        for attribute in attributes { table.add(attribute["name"]?.shown ?? "", attribute["type"]?.shown ?? "") }
        table.print()
    }
}
