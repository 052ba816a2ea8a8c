import Foundation
import PackagePlugin

/// Makes the texts of a module's Swift files a part of the module: `moduleSources`, by module and file. A worker that
/// is given them (`options.sourceFiles = moduleSources`) registers them, so that people can read the line that failed
/// wherever it stands.
@main
struct EmbedSources: BuildToolPlugin {
    func createBuildCommands(context: PluginContext, target: any Target) throws -> [Command] {
        guard let module = target.sourceModule else { return [] }
        let files = module.sourceFiles(withSuffix: ".swift").map(\.url).sorted { $0.path < $1.path }
        let output = context.pluginWorkDirectoryURL.appending(path: "ModuleSources.swift")
        return [
            .buildCommand(
                displayName: "Embedding the source code of \(module.moduleName)", executable: URL(filePath: "/bin/sh"),
                arguments: ["-c", Self.script, "embed", output.path, module.moduleName] + files.map(\.path),
                inputFiles: files, outputFiles: [output])
        ]
    }

    /// Writes the Swift file: OUTPUT MODULE FILE… No Swift code holds a quotation mark with ten number signs.
    private static let script = #"""
        set -eu
        output=$1 module=$2 signs='##########'
        shift 2
        {
            echo '/// The texts of this module, by module and file.'
            echo 'package let moduleSources: [String: String] = ['
            for file in "$@"; do
                printf '    "%s/%s": %s"""\n' "$module" "${file##*/}" "$signs"
                cat "$file"
                if [ -n "$(tail -c 1 "$file")" ]; then echo; fi
                printf '"""%s,\n' "$signs"
            done
            echo ']'
        } > "$output.new"
        mv "$output.new" "$output"
        """#
}
