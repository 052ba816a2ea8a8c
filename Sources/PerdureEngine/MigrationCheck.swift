extension Migrator {
    /// Whether a database is migrated, in the words of `perdure doctor` and of the health page: well or wrong, what was
    /// found, and what to do.
    public static func check(_ files: [File]) -> (status: String, message: String, hint: String?) {
        if let edited = files.first(where: { $0.state == .edited }) {
            return (
                "wrong", "\(edited.path) was edited after it had been applied",
                "Restore it, and put the change into a new migration."
            )
        }
        if let newer = files.first(where: { $0.state == .unknown && $0.kind == .migration }) {
            return (
                "wrong", "the database is newer than this program: it has \(newer.path)", "Update the program."
            )
        }
        let open = files.filter { $0.state != .applied }
        guard let first = open.first else { return ("well", "migrated: all \(files.count) files are applied", nil) }
        return ("wrong", "\(open.count) files are not applied, the first is \(first.path)", "Run perdure migrate.")
    }
}
