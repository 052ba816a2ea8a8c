import Foundation
import Postgres

/// What the server has used so far; the difference of two tells what a measurement took.
struct ServerUsage: Sendable {
    var walBytes: Double
    var transactions: Double
    /// Seconds of all its processes, those that have ended too, without the one that asks; nil for a server on another
    /// machine.
    var processorTime: Double?
    /// Seconds that this machine's processors were busy, and that there were.
    var machineBusy: Double
    var machineTotal: Double

    static func now(_ connection: PostgresConnection) async throws -> ServerUsage {
        let row = try await connection.query(
            """
            select (pg_current_wal_insert_lsn() - '0/0')::float8 as wal, pg_backend_pid() as pid,
                (select (xact_commit + xact_rollback)::float8 from pg_stat_database
                    where datname = current_database()) as transactions
            """)[0]
        let machine = Processor.machine
        return ServerUsage(
            walBytes: try row.decode("wal"), transactions: try row.decode("transactions"),
            processorTime: Processor.serverTime(without: try row.decode(Int32.self, "pid")), machineBusy: machine.busy,
            machineTotal: machine.total)
    }

    /// The same after the server has added up what its processes did, which they tell when they are idle.
    static func settled(_ connection: PostgresConnection) async throws -> ServerUsage {
        try await Task.sleep(for: .seconds(1.2))
        return try await now(connection)
    }

    static func - (end: ServerUsage, start: ServerUsage) -> ServerUsage {
        var used = end
        used.walBytes -= start.walBytes
        used.transactions -= start.transactions
        if let later = end.processorTime, let earlier = start.processorTime { used.processorTime = later - earlier }
        used.machineBusy -= start.machineBusy
        used.machineTotal -= start.machineTotal
        return used
    }
}

/// What /proc tells of processes; nothing where there is none.
enum Processor {
    /// User and system time of a process in seconds; 0 when it is not on this machine.
    static func time(of pid: Int32) -> Double { Stat(pid)?.own ?? 0 }

    static func residentBytes(of pid: Int32) -> Double {
        guard let text = try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8),
            let line = text.split(separator: "\n").first(where: { $0.hasPrefix("VmRSS:") }),
            let kilobytes = line.split(separator: " ").dropFirst().first.flatMap({ Double($0) })
        else { return 0 }
        return kilobytes * 1024
    }

    /// Of the postmaster and all its children, of which one is given and left out.
    static func serverTime(without backend: Int32) -> Double? {
        guard let one = Stat(backend), one.name.hasPrefix("postgres"), let postmaster = Stat(one.parent) else {
            return nil
        }
        let processes = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        let children = processes.compactMap { Int32($0) }.compactMap { Stat($0) }.filter {
            $0.parent == one.parent && $0.pid != backend
        }
        return postmaster.own + postmaster.ofEndedChildren + children.reduce(0) { $0 + $1.own }
    }

    static var machine: (busy: Double, total: Double) {
        guard let text = try? String(contentsOfFile: "/proc/stat", encoding: .utf8),
            let line = text.split(separator: "\n").first
        else { return (0, 0) }
        let ticks = line.split(separator: " ").dropFirst().prefix(8).compactMap { Double($0) }
        guard ticks.count == 8 else { return (0, 0) }
        let total = ticks.reduce(0, +) / Stat.ticksPerSecond
        return (total - (ticks[3] + ticks[4]) / Stat.ticksPerSecond, total)
    }

    private struct Stat {
        static let ticksPerSecond = Double(sysconf(Int32(_SC_CLK_TCK)))

        let pid: Int32
        let name: String
        let parent: Int32
        let own: Double
        let ofEndedChildren: Double

        init?(_ pid: Int32) {
            // The name stands in parentheses and may hold any character.
            guard let text = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
                let begin = text.firstIndex(of: "("), let end = text.lastIndex(of: ")")
            else { return nil }
            let fields = text[end...].split(separator: " ")
            guard fields.count > 15, let parent = Int32(fields[2]) else { return nil }
            let times = fields[12...15].compactMap { Double($0) }
            guard times.count == 4 else { return nil }
            self.pid = pid
            name = String(text[text.index(after: begin)..<end])
            self.parent = parent
            own = (times[0] + times[1]) / Self.ticksPerSecond
            ofEndedChildren = (times[2] + times[3]) / Self.ticksPerSecond
        }
    }
}
