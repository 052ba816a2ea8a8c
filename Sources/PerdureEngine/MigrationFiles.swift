import Foundation
import PerdureSQL

/// The files of SQL that make one schema: those of a folder, or those that the program was built with.
struct MigrationFiles: Sendable {
    let schema: String
    /// In the order of applying. `sql/install.sh` and `Plugins/EmbedSQL` list the same for the engine.
    private let folders: [(path: String, kind: Migrator.File.Kind)]
    private let root: URL?

    init(engineIn root: URL?) {
        schema = "perdure"
        folders = [("migrations", .migration), ("sql/engine", .definition), ("sql/views", .definition)]
        self.root = root
    }

    init(schema: String, migrations: String, definitions: [String], root: URL) {
        self.schema = schema
        folders = [(migrations, .migration)] + definitions.map { ($0, .definition) }
        self.root = root
    }

    /// Whether a path of the ledger is of this schema, whether or not the file is there.
    func contains(_ path: String) -> Bool { folders.contains { $0.path == Self.folder(of: path) } }

    func paths() throws -> [(path: String, kind: Migrator.File.Kind)] {
        try folders.flatMap { folder, kind in
            try names(in: folder).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
                .map { ("\(folder)/\($0)", kind) }
        }
    }

    func text(_ path: String) throws -> String {
        if let root { return try String(contentsOf: root.appending(path: path), encoding: .utf8) }
        guard let file = sqlFiles.first(where: { $0.path == path }) else {
            preconditionFailure("\(path) is not a part of this program")
        }
        return file.text
    }

    private func names(in folder: String) throws -> [String] {
        guard let root else {
            return sqlFiles.filter { Self.folder(of: $0.path) == folder }
                .map { String($0.path.dropFirst(folder.count + 1)) }
        }
        let url = root.appending(path: folder)
        guard FileManager.default.fileExists(atPath: url.path) else { return [] }
        return try FileManager.default.contentsOfDirectory(atPath: url.path).filter { $0.hasSuffix(".sql") }
    }

    private static func folder(of path: String) -> String {
        path.lastIndex(of: "/").map { String(path[..<$0]) } ?? ""
    }

    /// The ledger of a database may name a file by the place that it had before. `sql/applied_files.sql` corrects the
    /// ledger; who only looks reads it through this.
    static func placeToday(of path: String) -> String {
        switch path {
        case "migrations/0010_bank.sql", "migrations/0011_bank_transfer_modes.sql",
            "migrations/0012_bank_deployments.sql":
            path.replacing("migrations/", with: "migrations/bank/")
        default: path
        }
    }
}

extension Migrator {
    /// The text of every file of the engine, in the order of applying.
    package static func files(root: URL? = nil) throws -> [String] {
        let files = MigrationFiles(engineIn: root)
        return try files.paths().map { try files.text($0.path) }
    }
}
