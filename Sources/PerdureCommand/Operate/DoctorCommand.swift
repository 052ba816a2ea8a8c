import ArgumentParser
import PerdureEngine
import Postgres

/// What an operator should know of the database, each with advice.
struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Check the database and what runs in it, and say what to do.",
        discussion: "Exit code 1 if something is wrong.")
    @OptionGroup var database: DatabaseOptions
    @Option(name: [.customShort("o"), .long], help: "text or json.")
    var output = OutputFormat.text

    func run() async throws {
        let findings = try await database.withPool { pool in
            try await pool.withConnection { try await Examination(connection: $0, database: database).findings() }
        }
        switch output {
        case .json: JSON.printed(findings.map(\.json))
        case .text:
            for finding in findings {
                print("\(finding.level.mark)  \(finding.text.withoutControls)")
                if let advice = finding.advice { print("         \(advice)") }
            }
        }
        if findings.contains(where: { $0.level == .wrong }) { throw ExitCode(1) }
    }
}

struct Finding {
    enum Level: String {
        case good, notice, wrong
        var mark: String {
            switch self {
            case .good: "ok     "
            case .notice: "notice "
            case .wrong: "WRONG  "
            }
        }
    }
    let level: Level
    let text: String
    let advice: String?

    var json: JSON {
        .compact(["level": .string(level.rawValue), "finding": .string(text), "advice": advice.map { .string($0) }])
    }
}

private struct Examination {
    let connection: PostgresConnection
    let database: DatabaseOptions

    func findings() async throws -> [Finding] {
        var findings = [try await version()]
        let migration = try await migration()
        findings.append(migration)
        findings += [try await roles(), try await connections(), try await oldestTransaction()]
        let isThere = try await connection.query("select to_regclass('perdure.live_workers') is not null")[0]
        guard try isThere.decode(Bool.self, at: 0) else { return findings }
        findings += [
            try await deadTuples(), try await timers(), try await workers(), try await stuckWorkflowTasks(),
            try await unattended(),
        ]
        return findings
    }

    private func row(_ query: PostgresQuery) async throws -> PostgresRow { try await connection.query(query)[0] }

    private func version() async throws -> Finding {
        let row = try await row(
            "select current_setting('server_version'), current_setting('server_version_num')::int, current_database()::text"
        )
        let version = try row.decode(String.self, at: 0)
        let place = "PostgreSQL \(version), database \(try row.decode(String.self, at: 2))"
        return try row.decode(Int.self, at: 1) >= 150_000
            ? Finding(level: .good, text: place, advice: nil)
            : Finding(level: .wrong, text: place, advice: "Perdure needs PostgreSQL 15 or newer.")
    }

    private func migration() async throws -> Finding {
        let files: [Migrator.File]
        do {
            files = try await database.migrator().status()
        } catch let error as MigrationError {
            return Finding(level: .notice, text: "cannot tell whether the database is migrated: \(error)", advice: nil)
        } catch let error as PostgresError where error.sqlState == "42501" {
            return Finding(
                level: .notice, text: "only the owner can tell whether all migrations are applied",
                advice: "Let the owner run perdure migrate status.")
        }
        if let edited = files.first(where: { $0.state == .edited }) {
            return Finding(
                level: .wrong, text: "\(edited.path) was edited after it had been applied",
                advice: "Restore it, and put the change into a new migration.")
        }
        if let newer = files.first(where: { $0.state == .unknown && $0.kind == .migration }) {
            return Finding(
                level: .wrong, text: "the database is newer than this program: it has \(newer.path)",
                advice: "Update the program.")
        }
        let open = files.filter { $0.state != .applied }
        return open.isEmpty
            ? Finding(level: .good, text: "migrated: all \(files.count) files are applied", advice: nil)
            : Finding(
                level: .wrong, text: "\(open.count) files are not applied, the first is \(open[0].path)",
                advice: "Run perdure migrate.")
    }

    private func roles() async throws -> Finding {
        let row = try await row(
            """
            select coalesce((select rolsuper from pg_roles where rolname = current_user), false), current_user::text, \
            array(select r from unnest(array['perdure_worker', 'perdure_reader']) r \
            where not exists (select from pg_roles where rolname = r))::text[]
            """)
        let missing = try row.decode([String].self, at: 2)
        if !missing.isEmpty {
            return Finding(
                level: .notice, text: "there is no role \(missing.joined(separator: " and no role "))",
                advice:
                    "Only the owner can use the engine. To let others: create role \(missing[0]) nologin, then psql -f sql/views/90_grants.sql."
            )
        }
        if try row.decode(Bool.self, at: 0) {
            return Finding(
                level: .notice, text: "connected as the superuser \(try row.decode(String.self, at: 1))",
                advice: "Workers need no more than a role that is a member of perdure_worker.")
        }
        return Finding(level: .good, text: "the roles perdure_worker and perdure_reader are there", advice: nil)
    }

    private func connections() async throws -> Finding {
        let row = try await row(
            "select count(*), current_setting('max_connections')::int from pg_stat_activity where backend_type = 'client backend'"
        )
        let (used, all) = (try row.decode(Int.self, at: 0), try row.decode(Int.self, at: 1))
        let text = "\(used) of \(all) connections are in use"
        return used * 10 > all * 8
            ? Finding(level: .wrong, text: text, advice: "Raise max_connections, or give each worker a smaller pool.")
            : Finding(level: .good, text: text, advice: nil)
    }

    private func oldestTransaction() async throws -> Finding {
        let rows = try await connection.query(
            """
            select pid, coalesce(usename::text, ''), coalesce(state, ''), \
            extract(epoch from clock_timestamp() - xact_start)::float8 from pg_stat_activity \
            where xact_start is not null and backend_type = 'client backend' and pid <> pg_backend_pid() \
            and datname = current_database() order by xact_start limit 1
            """)
        guard let row = rows.first else { return Finding(level: .good, text: "no transaction is open", advice: nil) }
        let seconds = Int(try row.decode(Double.self, at: 3))
        let text =
            "the oldest transaction is \(seconds) s old: process \(try row.decode(Int.self, at: 0)) of \(try row.decode(String.self, at: 1)), \(try row.decode(String.self, at: 2))"
        return seconds > 300
            ? Finding(
                level: .wrong, text: text,
                advice:
                    "While it is open nothing can be vacuumed, and claims slow down. End it, or set idle_in_transaction_session_timeout."
            )
            : Finding(level: .good, text: text, advice: nil)
    }

    private func deadTuples() async throws -> Finding {
        let rows = try await connection.query(
            """
            select relname::text, n_dead_tup, n_live_tup from pg_stat_user_tables where schemaname = 'perdure' \
            and n_dead_tup > 50000 and n_dead_tup > n_live_tup order by n_dead_tup desc limit 1
            """)
        guard let row = rows.first else { return Finding(level: .good, text: "vacuum keeps up", advice: nil) }
        return Finding(
            level: .wrong,
            text:
                "perdure.\(try row.decode(String.self, at: 0)) has \(try row.decode(Int.self, at: 1)) dead rows beside \(try row.decode(Int.self, at: 2)) live ones",
            advice: "See that autovacuum runs and that no old transaction holds it back; vacuum the table.")
    }

    private func timers() async throws -> Finding {
        let row = try await row(
            """
            select count(*), coalesce(extract(epoch from clock_timestamp() - min(fire_time)), 0)::float8 \
            from perdure.pending_timers where fire_time < clock_timestamp()
            """)
        let (count, seconds) = (try row.decode(Int.self, at: 0), Int(try row.decode(Double.self, at: 1)))
        if count == 0 || seconds < 10 { return Finding(level: .good, text: "timers fire in time", advice: nil) }
        return Finding(
            level: .wrong, text: "\(count) timers are due and have not fired, the oldest for \(seconds) s",
            advice: "Workers fire timers: start one, or more of them.")
    }

    private func workers() async throws -> Finding {
        let row = try await row(
            "select count(*) filter (where alive), count(*) filter (where not alive) from perdure.live_workers")
        let (alive, lost) = (try row.decode(Int.self, at: 0), try row.decode(Int.self, at: 1))
        if lost > 0 {
            return Finding(
                level: .notice, text: "\(lost) workers have let their lease run out, \(alive) are alive",
                advice: alive > 0
                    ? "The others take over what they held." : "Start a worker: nobody takes over what they held.")
        }
        return Finding(
            level: alive > 0 ? .good : .notice, text: "\(alive) workers are alive",
            advice: alive > 0 ? nil : "Start one.")
    }

    private func stuckWorkflowTasks() async throws -> Finding {
        let rows = try await connection.query(
            """
            select workflow_id, attempt, coalesce(last_failure ->> 'message', ''), count(*) over () \
            from perdure.pending_workflow_tasks where attempt >= 3 and last_failure is not null order by attempt desc limit 1
            """)
        guard let row = rows.first else {
            return Finding(level: .good, text: "no workflow task fails again and again", advice: nil)
        }
        return Finding(
            level: .wrong,
            text:
                "\(try row.decode(Int.self, at: 3)) workflow tasks fail again and again, \(try row.decode(String.self, at: 0)) for the \(try row.decode(Int.self, at: 1))th time: \(try row.decode(String.self, at: 2).cut(to: 200))",
            advice: "It is a bug in workflow code: deploy fixed code, and they go on. sql/inspect/stuck.sql lists them."
        )
    }

    private func unattended() async throws -> Finding {
        let rows = try await connection.query(
            """
            select b.namespace, b.task_queue, sum(b.waiting)::bigint from perdure.task_queue_backlog b \
            where b.waiting > 0 and b.oldest > interval '10 s' and not exists (select from perdure.live_workers w \
            where w.alive and w.namespace = b.namespace and b.task_queue = any (w.task_queues)) group by 1, 2 limit 1
            """)
        guard let row = rows.first else {
            return Finding(level: .good, text: "every queue with work has a worker", advice: nil)
        }
        return Finding(
            level: .wrong,
            text:
                "\(try row.decode(Int.self, at: 2)) tasks wait in queue \(try row.decode(String.self, at: 1)) of namespace \(try row.decode(String.self, at: 0)), and no worker polls it",
            advice: "Start a worker for it, or correct its name where the workflows are started.")
    }
}
