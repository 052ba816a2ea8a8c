import ArgumentParser
import PerdureEngine

struct MigrateUp: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up",
        abstract:
            "Apply what is new: migrations, each once and in order, then all functions and views if one has changed.",
        discussion: "Runs at the same time wait for each other. What failed leaves nothing behind."
    )

    @OptionGroup var database: DatabaseOptions
    @Flag(help: "Only say what would be applied.")
    var dryRun = false
    @Option(help: ArgumentHelp("How many seconds to wait for a lock that others hold.", valueName: "seconds"))
    var lockTimeout = 60

    func validate() throws {
        guard lockTimeout > 0 else { throw ValidationError("--lock-timeout takes a number of seconds above zero") }
    }

    func run() async throws {
        let migrator = try database.migrator()
        let paths = try await migrator.migrate(dryRun: dryRun, lockTimeout: .seconds(lockTimeout)) { path in
            print("applied \(path)")
        }
        if paths.isEmpty {
            print("the database is up to date")
        } else if dryRun {
            for path in paths { print("would apply \(path)") }
        }
    }
}
