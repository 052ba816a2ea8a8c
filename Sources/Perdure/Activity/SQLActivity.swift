import PerdureEngine
public import Postgres

/// An activity that is a function of the database, called in the transaction that records its completion.
///
/// ```swift
/// struct Reserve: SQLActivityDefinition {
///     typealias Input = Order
///     typealias Output = Int
///     static let function = "stock.reserve"  // create function stock.reserve(jsonb) returns integer
/// }
/// ```
///
/// The function takes the input as one `jsonb`, or nothing if `Input` is `Void`; what it returns, of any type that
/// `to_jsonb` knows, is the output. The worker's role must be allowed to execute it.
///
/// An error that it raises fails the attempt with the SQLSTATE as its type, which retry policies can name, and
/// PL/pgSQL's call stack as its stack trace.
public protocol SQLActivityDefinition: TransactionalActivityDefinition {
    /// The function's name, and its schema's before a dot if it is not on the worker's search path. As the catalog has
    /// it: in lower case, if it was created without quotes.
    static var function: String { get }
}

extension SQLActivityDefinition {
    public func run(connection: PostgresConnection, input: Input) async throws -> Output {
        var call: PostgresQuery = "\(unescaped: quotedFunction)()"
        if let payload = try DataConverter.default.encode(input).first {
            guard let json = payload.data, payload.encoding == "json/plain" else {
                throw ApplicationError(
                    message: "the input of \(Self.name) cannot be jsonb, which \(Self.function) takes",
                    type: "InvalidInput", isNonRetryable: true)
            }
            call = "\(unescaped: quotedFunction)(\(json))"
        }
        do {
            return try await output(of: call, connection)
        } catch let error as PostgresError where error.kind == .server {
            throw ApplicationError(sqlError: error)
        }
    }

    private func output(of call: PostgresQuery, _ connection: PostgresConnection) async throws -> Output {
        var query = call
        if let void = () as? Output {
            // A function that returns void has nothing to make JSON of.
            query.sql = "select \(call.sql)"
            try await connection.query(query)
            return void
        }
        query.sql = "select to_jsonb(\(call.sql))"
        let rows = try await connection.query(query)
        guard rows.count <= 1 else {
            throw ApplicationError(
                message:
                    "\(Self.function) returned \(rows.count) rows; let it return one value, such as their jsonb_agg",
                type: "InvalidResult", isNonRetryable: true)
        }
        let json = try rows.first?.decode(JSON?.self, at: 0)
        return try DataConverter.default.decode(from: [json.map { Payload(plain: $0) } ?? .null])
    }

    private var quotedFunction: String {
        Self.function.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
            .map { "\"" + $0.replacing("\"", with: "\"\"") + "\"" }.joined(separator: ".")
    }
}

extension ApplicationError {
    /// What a statement was refused with, its SQLSTATE as the type.
    fileprivate init(sqlError error: PostgresError) {
        let parts = [error.message, error.detail.map { "Detail: \($0)" }, error.hint.map { "Hint: \($0)" }]
        self.init(message: parts.compactMap(\.self).joined(separator: ". "), type: error.sqlState ?? "PostgresError")
        stackTrace = error.context ?? ""
    }
}
