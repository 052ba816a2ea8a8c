import Foundation
import PackagePlugin

/// Makes the SQL of the engine a part of the programs: a Swift file with the text of each, made by `embed.sh`.
@main
struct EmbedSQL: BuildToolPlugin {
    func createBuildCommands(context: PluginContext, target: any Target) throws -> [Command] {
        let root = context.package.directoryURL
        let files = try ["migrations", "sql/engine", "sql/views"].flatMap { folder in
            try FileManager.default.contentsOfDirectory(atPath: root.appending(path: folder).path)
                .filter { $0.hasSuffix(".sql") }.sorted().map { "\(folder)/\($0)" }
        }
        let paths = ["sql/applied_files.sql", "sql/before_migration.sql"] + files
        let script = root.appending(path: "Plugins/EmbedSQL/embed.sh")
        let output = context.pluginWorkDirectoryURL.appending(path: "SQLFiles.swift")
        return [
            .buildCommand(
                displayName: "Embedding the engine's SQL", executable: URL(filePath: "/bin/sh"),
                arguments: [script.path, root.path, output.path] + paths,
                inputFiles: [script] + paths.map { root.appending(path: $0) }, outputFiles: [output])
        ]
    }
}
