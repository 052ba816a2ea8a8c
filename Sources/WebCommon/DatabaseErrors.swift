import Postgres

extension WebError {
    /// What a database that cannot be asked means to a caller: 503 and the advice to come back. Nil for any other error.
    public init?(database error: any Error) {
        guard let error = error as? PostgresError, error.isRetryable || error.kind == .closed else { return nil }
        self.init(
            .serviceUnavailable, "the database cannot be reached at the moment; try again",
            headers: [.retryAfter: "1"])
    }
}

extension StartupFailure {
    /// What to do about a database that a program cannot start with.
    public init(database error: PostgresError) {
        switch error.sqlState {
        case "3F000", "42P01", "42883", "42703":
            self.init("the database is not migrated (\(error.message)): run perdure migrate, or start_services.sh")
        case "28P01", "28000", "3D000", "42501":
            self.init("the database refuses: \(error.message); set DATABASE_URL or the PG* variables")
        default:
            self.init("the database cannot be used: \(error.message); set DATABASE_URL or the PG* variables")
        }
    }
}
