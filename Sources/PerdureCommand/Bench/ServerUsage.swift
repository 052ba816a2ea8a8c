import Foundation
import Postgres

/// What the server has used so far; the difference of two tells what a measurement took.
struct ServerUsage {
    var walBytes: Double
    var transactions: Double
    /// Seconds of all its processes; nil for a server on another machine.
    var processorTime: Double?
    private var byProcess: [Int32: Double] = [:]

    static func now(_ connection: PostgresConnection) async throws -> ServerUsage {
        // A backend's statistics arrive when it is idle for a while: the counters of this database are asked for twice.
        let row = try await connection.query(
            """
            select (pg_current_wal_insert_lsn() - '0/0')::float8 as wal, \
            (select (xact_commit + xact_rollback)::float8 from pg_stat_database where datname = current_database()) \
            as transactions
            """)[0]
        var usage = ServerUsage(
            walBytes: try row.decode("wal"), transactions: try row.decode("transactions"), processorTime: nil)
        for row in try await connection.query("select pid from pg_stat_activity where pid <> pg_backend_pid()") {
            let pid = try row.decode(Int32.self, at: 0)
            if Processor.isPostgres(pid) { usage.byProcess[pid] = Processor.time(of: pid) }
        }
        usage.processorTime = usage.byProcess.isEmpty ? nil : usage.byProcess.values.reduce(0, +)
        return usage
    }

    static func - (end: ServerUsage, start: ServerUsage) -> ServerUsage {
        var used = end
        used.walBytes -= start.walBytes
        used.transactions -= start.transactions
        used.processorTime = end.processorTime.map { _ in
            end.byProcess.reduce(0) { $0 + $1.value - (start.byProcess[$1.key] ?? 0) }
        }
        return used
    }
}

enum Processor {
    /// User and system time of a process in seconds; 0 when it is not on this machine.
    static func time(of pid: Int32) -> Double {
        guard let text = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
            let end = text.lastIndex(of: ")")
        else { return 0 }
        let fields = text[end...].split(separator: " ")
        guard fields.count > 13, let user = Double(fields[12]), let system = Double(fields[13]) else { return 0 }
        return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    static func isPostgres(_ pid: Int32) -> Bool {
        (try? String(contentsOfFile: "/proc/\(pid)/comm", encoding: .utf8))?.hasPrefix("postgres") == true
    }
}
