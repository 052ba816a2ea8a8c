import ArgumentParser
import PerdureEngine

struct NamespaceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "namespace", abstract: "Create and list namespaces.",
        subcommands: [NamespaceCreate.self, NamespaceList.self])
}

struct NamespaceCreate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Create a namespace, or change how long it keeps closed runs.")
    @OptionGroup var database: DatabaseOptions
    @Option(name: [.customShort("n"), .customLong("namespace")], help: "Its name.")
    var namespace: String
    @Option(help: "How long closed runs are kept.")
    var retention = TimeSpan(argument: "30d")!
    @Option(help: "What it is for.")
    var description = ""

    func run() async throws {
        _ = try await database.withPool { pool in
            try await pool.query(
                "select perdure.create_namespace(\(namespace), \(retention.duration), \(description))")
        }
        print(
            "namespace \(namespace.withoutControls) keeps closed runs for "
                + "\(retention.duration.components.seconds / 86_400) days"
        )
    }
}

struct NamespaceList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "List the namespaces.")
    @OptionGroup var database: DatabaseOptions
    @Option(name: [.customShort("o"), .long], help: "text or json.")
    var output = OutputFormat.text

    func run() async throws {
        let namespaces = try await database.withPool { pool in
            try await pool.query(
                "select to_jsonb(n) from perdure.namespaces n where n.deleted_at is null order by namespace"
            )
            .map { try $0.decode(JSON.self, at: 0) }
        }
        guard output == .text else { return JSON.printed(namespaces) }
        var table = Table("NAMESPACE", "RETENTION", "CREATED", "DESCRIPTION")
        for namespace in namespaces {
            table.add(
                namespace["namespace"]?.shown ?? "", namespace["retention"]?.shown ?? "",
                namespace["created_at"]?.shownTime ?? "", namespace["description"]?.shown ?? "")
        }
        table.print()
    }
}
