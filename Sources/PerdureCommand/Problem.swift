import PerdureEngine
import Postgres

/// An error as one line that says what to do next.
struct Problem: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }

    /// Errors of the database, put for people; all others as they are.
    static func explaining(_ error: any Error) -> any Error {
        if case .failed(let path, let line, let cause)? = error as? MigrationError {
            return Problem("\(path)\(line.map { ":\($0)" } ?? ""): \(cause)".oneLine)
        }
        if let error = error as? EngineError { return Problem(error.description.oneLine) }
        guard let error = error as? PostgresError else { return error }
        let text = error.description.oneLine
        return switch (error.cause, error.sqlState) {
        case (.missingObject, _):
            Problem("this database is not migrated, or is older than this program: run perdure migrate (\(text))")
        case (_, "42501"): Problem("\(text). This takes the owner of the database, or a member of perdure_worker")
        default:
            switch error.kind {
            case .configuration: Problem(text)
            case .connection:
                Problem(
                    "\(text)\(text.hasSuffix("?") ? "" : ".") Set --database-url, DATABASE_URL or libpq's variables "
                        + "to a database that runs"
                )
            default: Problem(text)
            }
        }
    }
}

extension String {
    fileprivate var oneLine: String { split(whereSeparator: \.isNewline).joined(separator: " ") }
}
