import ArgumentParser

@main
struct PerdureMain: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "perdure",
        abstract: "Operate durable workflows on PostgreSQL.",
        discussion: """
            The database is the one of --database-url, else of DATABASE_URL, else of libpq's variables (PGHOST, PGUSER \
            …). Exit codes: 0 done, 1 refused or failed, 64 a wrong command line.
            """,
        subcommands: [
            MigrateCommand.self, WorkflowCommand.self, WorkerCommand.self, QueueCommand.self, NamespaceCommand.self,
            SearchAttributeCommand.self, DoctorCommand.self, BenchCommand.self,
        ]
    )

    static func main() async {
        do {
            var command = try parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch {
            exit(withError: Problem.explaining(error))
        }
    }
}
