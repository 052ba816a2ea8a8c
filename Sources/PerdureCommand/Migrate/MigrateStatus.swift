import ArgumentParser
import PerdureEngine

struct MigrateStatus: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show each file, whether it is applied, and when.",
        discussion: "Exit code 1 if perdure migrate has something to do or to refuse."
    )

    @OptionGroup var database: DatabaseOptions
    @Option(name: [.customShort("o"), .long], help: "text or json.")
    var output = OutputFormat.text

    func run() async throws {
        let files = try await database.migrator().status()
        switch output {
        case .json:
            JSON.printed(
                files.map { file in
                    .compact([
                        "path": .string(file.path), "kind": .string(file.kind.rawValue),
                        "state": .string(file.state.rawValue), "checksum": .string(file.checksum),
                        "appliedAt": file.appliedAt.map { .string(Timestamp($0).description) },
                    ])
                })
        case .text:
            var table = Table("STATE", "APPLIED", "CHECKSUM", "FILE")
            for file in files {
                table.add(
                    file.state.rawValue, file.appliedAt.map { Timestamp($0).shown } ?? "-",
                    String(file.checksum.prefix(12)), file.path)
            }
            table.print()
        }
        if files.contains(where: { $0.state != .applied }) { throw ExitCode(1) }
    }
}
