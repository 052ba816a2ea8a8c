import ArgumentParser
import Foundation
import PerdureEngine

struct MigrateStatus: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show each file, whether it is applied, and when."
    )

    @OptionGroup var database: DatabaseOptions

    func run() async throws {
        for file in try await database.migrator().status() {
            let when = file.appliedAt.map { Timestamp($0).description } ?? "-"
            print(file.state.rawValue, when, file.checksum.prefix(12), file.path, separator: "\t")
        }
    }
}
