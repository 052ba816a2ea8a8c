import ArgumentParser

/// The command line, `perdure`, as a program.
public enum PerdureProgram {
    public static func run() async {
        do {
            var command = try RootCommand.parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch {
            RootCommand.exit(withError: Problem.explaining(error))
        }
    }
}

private struct RootCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "perdure",
        abstract: "Operate durable workflows on PostgreSQL.",
        discussion: """
            The database is the one of --database-url, else of DATABASE_URL, else of libpq's variables (PGHOST, PGUSER \
            …). Exit codes: 0 done, 1 refused or failed, 64 a wrong command line.
            """,
        subcommands: [
            MigrateCommand.self, WorkflowCommand.self, ActivityCommand.self, WorkerCommand.self, QueueCommand.self,
            NamespaceCommand.self, SearchAttributeCommand.self, DoctorCommand.self, BenchCommand.self,
        ]
    )
}
