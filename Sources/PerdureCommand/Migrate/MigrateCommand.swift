import ArgumentParser
import Foundation
import PerdureEngine

struct MigrateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "migrate",
        abstract: "Bring the engine in the database to the state of this program.",
        subcommands: [MigrateUp.self, MigrateStatus.self],
        defaultSubcommand: MigrateUp.self
    )
}

extension DatabaseOptions {
    func migrator() throws -> Migrator {
        Migrator(root: try Migrator.findRoot(), configuration: configuration, logger: logger)
    }
}
