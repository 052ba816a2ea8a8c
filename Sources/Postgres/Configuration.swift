import CLibPQ
import Foundation

/// Where the database is and how to talk to it.
///
/// Everything that libpq understands works here: URIs, `key=value` lists, several hosts, TLS by
/// `sslmode`, `~/.pgpass`, service files and the `PG*` environment.
public struct PostgresConfiguration: Sendable, CustomStringConvertible {
    package let conninfo: String

    /// Shown in `pg_stat_activity`. Overrides what the connection string says; nil leaves that alone.
    public var applicationName: String?

    /// The time that one attempt to connect may take in total: look-ups, every host in turn, TLS and
    /// authentication. It also is what replaces libpq's `connect_timeout`, which only blocking calls obey.
    public var connectTimeout: Duration

    /// Whether statements are prepared once for each connection and then run by name.
    ///
    /// Turn it off behind a pooler that gives every transaction another server connection (PgBouncer in
    /// transaction mode): there a statement would often be missing. `LISTEN` does not work behind such a pooler at all.
    public var preparedStatements: Bool

    /// The database, in place of the one that the connection string names.
    package var database: String?

    /// What each session sets, as `-c name=value`, behind the options that the connection string names.
    package var sessionOptions: String?

    /// - Parameter conninfo: a URI (`postgresql://…`) or a `key=value` list, as libpq takes it. Nothing is
    ///   checked before the first attempt to connect.
    public init(_ conninfo: String) {
        self.conninfo = conninfo
        self.applicationName = nil
        self.connectTimeout = .seconds(10)
        self.preparedStatements = true
    }

    /// Reads `DATABASE_URL` if it is set and not empty, and libpq's own variables (`PGHOST`, `PGUSER` …) otherwise.
    ///
    /// `PERDURE_PREPARED_STATEMENTS=off` turns ``preparedStatements`` off.
    public static func fromEnvironment(
        _ environment: [String: String] = ProcessInfo.processInfo.environment
    ) -> PostgresConfiguration {
        var configuration = PostgresConfiguration(connectionString(environment))
        configuration.preparedStatements = environment["PERDURE_PREPARED_STATEMENTS"] != "off"
        return configuration
    }

    private static func connectionString(_ environment: [String: String]) -> String {
        if let url = environment["DATABASE_URL"], !url.isEmpty { return url }
        // libpq itself says which variable stands for which keyword.
        let pairs = Self.options(PQconndefaults()).compactMap { option -> String? in
            guard let variable = option.environmentVariable, let value = environment[variable] else { return nil }
            let quoted = value.replacing("\\", with: "\\\\").replacing("'", with: "\\'")
            return "\(option.keyword)='\(quoted)'"
        }
        return pairs.joined(separator: " ")
    }

    /// Host, port, database and user; never a password.
    public var description: String {
        let shown = ["host", "hostaddr", "port", "dbname", "user", "sslmode", "service"]
        guard let options = parsed() else { return "an unreadable connection string" }
        return options.filter { shown.contains($0.keyword) }
            .compactMap { option in
                let value = option.keyword == "dbname" ? database ?? option.value : option.value
                return value.map { "\(option.keyword)=\($0)" }
            }.joined(separator: " ")
    }

    /// What the connection string says, or nil if libpq cannot read it.
    func parsed() -> [Option]? {
        var message: UnsafeMutablePointer<CChar>?
        let list = PQconninfoParse(conninfo, &message)
        // The message quotes the string, so it can hold a piece of the password. It is dropped.
        PQfreemem(message)
        return list.map { Self.options($0) }
    }

    struct Option {
        let keyword: String
        let value: String?
        let environmentVariable: String?
    }

    private static func options(_ list: UnsafeMutablePointer<PQconninfoOption>?) -> [Option] {
        guard let list else { return [] }
        defer { PQconninfoFree(list) }
        var options: [Option] = []
        var next = list
        while let keyword = next.pointee.keyword {
            options.append(
                Option(
                    keyword: String(cString: keyword),
                    value: next.pointee.val.map { String(cString: $0) },
                    environmentVariable: next.pointee.envvar.map { String(cString: $0) }))
            next += 1
        }
        return options
    }

    /// Begins to connect; the rest is `PQconnectPoll`. Look-ups of host names block.
    func start() throws -> OpaquePointer {
        guard let parsed = parsed() else {
            throw PostgresError(
                .configuration, "the connection string is neither a URI nor a key=value list that libpq can read",
                hint: "Write it as postgresql://user:password@host:5432/database and percent-encode special characters."
            )
        }
        // Later keywords win over what the expanded dbname says.
        var keywords = ["dbname", "client_encoding", "fallback_application_name"]
        var values = [conninfo, "UTF8", "perdure"]
        if let applicationName {
            keywords.append("application_name")
            values.append(applicationName)
        }
        if let database {
            keywords.append("dbname")
            values.append(database)
        }
        if let sessionOptions {
            keywords.append("options")
            values.append(
                [parsed.first { $0.keyword == "options" }?.value, sessionOptions].compactMap(\.self)
                    .joined(separator: " "))
        }
        let keys = keywords.map { strdup($0) }
        let texts = values.map { strdup($0) }
        defer { for text in keys + texts { free(text) } }
        let connection = PQconnectStartParams(
            keys.map { UnsafePointer($0) } + [nil], texts.map { UnsafePointer($0) } + [nil], 1)
        guard let connection else { throw PostgresError(.connection, "libpq is out of memory") }
        return connection
    }
}
