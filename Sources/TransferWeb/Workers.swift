import Foundation
import Postgres

/// The workers that run the transfers, which build is deployed, and how to break both; see
/// `sql/bank/55_deployments.sql`.
struct Workers: Sendable {
    let pool: PostgresPool
    let taskQueue: String

    /// The mistake that a build is shipped with.
    enum Bug: String, Sendable {
        case workflow, activity
    }

    struct Deployment: Sendable {
        var buildID: String
        var bug: Bug?
        var deployedAt: Date
    }

    /// A worker process, from its registration to its end.
    struct Life: Sendable {
        enum State: String, Sendable {
            case alive = "Alive"
            /// Its lease is over, and nobody has looked yet.
            case overdue = "Overdue"
            case lost = "Lost"
            case stopped = "Stopped"
        }

        var identity: String
        var buildID: String
        var state: State
        var registeredAt: Date
        var lastSeenAt: Date
        var endedAt: Date?
        var tasks: Int64
    }

    /// A transfer whose next step failed and is to be tried again.
    struct Waiting: Sendable {
        var workflowID: String
        var runID: String
        /// The step; nil for the workflow's own code.
        var activityID: String?
        var attempt: Int32
        var failure: String
        var nextAttemptAt: Date?
    }

    struct State: Sendable {
        var now: Date
        var deployments: [Deployment]
        var lives: [Life]
        var kills: [(identity: String, time: Date)]
        var movements: [Date]
        var waiting: [Waiting]
        var waitingCount: Int64
    }

    /// Throws the database's refusal (BK007) if there is no such worker.
    /// - Parameter identity: nil for the busiest.
    func crash(_ identity: String?) async throws -> String {
        try await pool.query("select crashed from bank.crash_worker(\(identity))")[0].decode(at: 0)
    }

    func deploy(_ bug: Bug?) async throws -> String {
        try await pool.query("select build_id from bank.deploy(\(bug?.rawValue))")[0].decode(at: 0)
    }

    /// - Parameter window: how far back, in seconds.
    func state(window: Int) async throws -> State {
        let since = try await pool.query(
            "select clock_timestamp() as now, clock_timestamp() - make_interval(secs => \(Double(window))) as since")[0]
        let start = try since.decode(Date.self, "since")
        let deployments = try await pool.query(
            "select build_id, bug, deployed_at from bank.deployments order by deployment_id desc limit 20"
        ).map {
            Deployment(
                buildID: try $0.decode("build_id"), bug: try $0.decode(String?.self, "bug").flatMap(Bug.init),
                deployedAt: try $0.decode("deployed_at"))
        }
        let lives = try await pool.query(
            """
            select l.identity, l.build_id, l.state, l.registered_at, l.last_seen_at, l.ended_at,
                   (select coalesce(sum(h.tasks), 0)::bigint from bank.held_tasks h
                       where h.worker_id = l.worker_id) as tasks
            from perdure.worker_lives l
            where l.namespace = 'default' and \(taskQueue)::text = any (l.task_queues)
              and (l.ended_at is null or l.ended_at > \(start))
            order by l.registered_at, l.identity limit 200
            """
        ).map {
            Life(
                identity: try $0.decode("identity"), buildID: try $0.decode("build_id"),
                state: Life.State(rawValue: try $0.decode("state")) ?? .alive,
                registeredAt: try $0.decode("registered_at"), lastSeenAt: try $0.decode("last_seen_at"),
                endedAt: try $0.decode("ended_at"), tasks: try $0.decode("tasks"))
        }
        let kills = try await pool.query(
            """
            select worker_identity, killed_at from bank.crash_requests where killed_at > \(start)
            order by request_id desc limit 50
            """
        ).map { (identity: try $0.decode(String.self, at: 0), time: try $0.decode(Date.self, at: 1)) }
        let movements = try await pool.query(
            """
            select e.created_at from (
                select created_at, workflow_id from bank.journal_entries order by entry_id desc limit 1000) e
            where e.workflow_id is not null and e.created_at > \(start)
            """
        ).map { try $0.decode(Date.self, at: 0) }
        let waiting = try await pool.query(
            """
            select w.*, count(*) over () as total from (
                select t.workflow_id, t.run_id, null as activity_id, t.attempt,
                       coalesce(t.last_failure #>> '{failure,message}', '') as failure, t.next_attempt_time
                from perdure.pending_workflow_tasks t
                where t.namespace = 'default' and t.task_queue = \(taskQueue) and t.last_failure is not null
                union all
                select a.workflow_id, a.run_id, a.activity_id, a.attempt, coalesce(a.last_failure_message, ''),
                    a.next_attempt_time
                from perdure.pending_activities a
                where a.namespace = 'default' and a.task_queue = \(taskQueue) and a.last_failure is not null) w
            order by w.activity_id is not null, w.attempt desc, w.workflow_id limit 20
            """)
        return State(
            now: try since.decode("now"), deployments: deployments, lives: lives, kills: kills, movements: movements,
            waiting: try waiting.map {
                Waiting(
                    workflowID: try $0.decode("workflow_id"),
                    runID: try $0.decode(UUID.self, "run_id").uuidString.lowercased(),
                    activityID: try $0.decode("activity_id"), attempt: try $0.decode("attempt"),
                    failure: try $0.decode("failure"), nextAttemptAt: try $0.decode("next_attempt_time"))
            }, waitingCount: try waiting.first?.decode(Int64.self, "total") ?? 0)
    }
}
