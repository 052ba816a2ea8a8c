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
