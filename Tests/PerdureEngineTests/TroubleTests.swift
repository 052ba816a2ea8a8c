import Foundation
import PerdureEngine
import PerdureTesting
import Postgres
import Synchronization
import TestSupport
import Testing

@testable import Perdure

@Suite("One thing's trouble stays its own")
struct TroubleTests {
    /// As it is, without parameters.
    fileprivate static func sql(_ text: String) -> PostgresQuery { PostgresQuery(text) }

    /// Nested deeper than anything that is taken today, as a database may have it from before.
    private static let deep = "(repeat('[', 600) || repeat(']', 600))::jsonb"

    @Test(
        "A run whose history cannot be read fails its workflow task with the cause; the others go on",
        .timeLimit(.minutes(5)))
    func unreadableHistory() async throws {
        try await Stage.with { stage in
            var code = WorkerCode()
            code.oneActivity(workflow: "W", activity: "quick")
            code.activity("quick") { _ in [] }
            let bad = try await stage.start("W", id: "bad")
            try await stage.database.pool.query(
                Self.sql(
                    """
                    update perdure.history set events[1] = jsonb_set(events[1], '{given,input}', \
                    jsonb_build_array(jsonb_build_object('encoding', 'json/plain', 'data', \(Self.deep)))) \
                    where first_event_id = 1
                    """))
            try await stage.startMany("W", 20)
            try await stage.withWorker(code) {
                try await eventually("the others complete") { try await stage.count("status = 'Completed'") == 20 }
                try await eventually("the task of the bad one has failed") {
                    try await stage.database.pool.query(
                        """
                        select count(*) from perdure.pending_workflow_tasks \
                        where workflow_id = 'bad' \
                        and last_failure #>> '{failure,message}' \
                        like '%history of the run cannot be read%nested deeper%'
                        """)[0].decode(Int64.self, at: 0) == 1
                }
            }
            try await bad.terminate(reason: "test")
        }
    }

    @Test("An activity or a query that cannot be read fails with the cause; the others go on", .timeLimit(.minutes(5)))
    func unreadableInputs() async throws {
        try await Stage.with { stage in
            var workflows = WorkerCode()
            workflows.oneActivity(workflow: "W", activity: "quick")
            var activities = WorkerCode()
            activities.activity("quick") { _ in [] }
            let activityCode = activities
            let pool = stage.database.pool
            let bad = try await stage.start("W", id: "bad")
            try await stage.withWorker(workflows) {
                try await stage.startMany("W", 10)
                try await eventually("activities wait") {
                    try await pool.query("select count(*) from perdure.activity_tasks")[0].decode(Int64.self, at: 0)
                        == 11
                }
                try await pool.query(
                    Self.sql(
                        """
                        update perdure.activity_tasks \
                        set input = jsonb_build_array(jsonb_build_object('encoding', 'json/plain', \
                        'data', \(Self.deep))) where workflow_id = 'bad'
                        """))
                try await stage.withWorker(activityCode) {
                    try await eventually("the others complete") { try await stage.count("status = 'Completed'") == 10 }
                    try await eventually("the run of the bad one is told") {
                        try await stage.count("status = 'Failed' and workflow_id = 'bad'") == 1
                    }
                }
                #expect(
                    try await bad.fetchHistory().contains {
                        $0.eventType == .activityTaskFailed && "\($0.attributes)".contains("UnreadableInput")
                    })
                let query = try await pool.query(
                    Self.sql(
                        """
                        insert into perdure.queries (shard, query_id, run_id, namespace, workflow_id, workflow_type, \
                        task_queue, query_type, input, created_at, deadline) \
                        select e.shard, gen_random_uuid(), e.run_id, e.namespace, e.workflow_id, e.workflow_type, \
                        e.task_queue, 'signals', \
                        jsonb_build_array(jsonb_build_object('encoding', 'json/plain', 'data', \(Self.deep))), now(), \
                        now() + interval '1 minute' \
                        from perdure.executions e where e.workflow_id = 'bad' returning query_id
                        """))[0].decode(UUID.self, at: 0)
                try await eventually("the query has failed") {
                    try await pool.query(
                        """
                        select state = 'failed' and failure ->> 'message' like '%input of the query cannot be read%' \
                        from perdure.query_answer(0::smallint, \(query))
                        """)[0].decode(Bool.self, at: 0)
                }
            }
        }
    }

    @Test("A history of more than can be sent at once is read by pages", .timeLimit(.minutes(5)))
    func longHistory() async throws {
        try await Stage.with { stage in
            var code = WorkerCode()
            code.workflow("W") { history in
                history.signals.count >= 12 ? [.complete(JSON.array([]))] : []
            }
            let handle = try await stage.start("W")
            let text = String(repeating: "0123456789abcdef", count: 60_000)
            for number in 0..<12 { try await handle.signal(signalName: "s\(number)", input: text) }
            try await stage.withWorker(code) { _ = try await handle.resultPayloads() }
            #expect(try await handle.fetchHistory().filter { $0.eventType == .workflowExecutionSignaled }.count == 12)
        }
    }

    @Test("A worker outlives an outage longer than its lease, and keeps its activity", .timeLimit(.minutes(5)))
    func outage() async throws {
        try await PrivateServer.with { server in
            let database = try await TestDatabase.create(
                server: server.url, maximumConnections: 16, logger: quiet)
            let stage = Stage(database: database, client: PerdureClient(pool: database.pool))
            let isReleased = Atomic(false)
            let runs = Atomic(0)
            var code = WorkerCode()
            code.oneActivity(workflow: "W", activity: "slow", retry: RetryPolicy(maximumAttempts: 1))
            code.activity("slow") { _ in
                runs.add(1, ordering: .relaxed)
                while !isReleased.load(ordering: .relaxed) { try await Task.sleep(for: .milliseconds(10)) }
                return []
            }
            let lease = Duration.seconds(2)
            try await stage.withWorker(code, { $0.lease = lease }) {
                let handle = try await stage.start("W")
                try await eventually("the activity runs") { runs.load(ordering: .relaxed) == 1 }
                try await server.crash()
                // This long the database is away: it is what is tested.
                try await Task.sleep(for: lease * 2)
                try await server.start()
                try await eventually("the worker has renewed its lease") {
                    try await database.pool.query(
                        "select count(*) from perdure.workers where lease_until > clock_timestamp()")[0]
                        .decode(Int64.self, at: 0) == 1
                }
                isReleased.store(true, ordering: .relaxed)
                _ = try await handle.resultPayloads()
                #expect(runs.load(ordering: .relaxed) == 1)
                let lost = try await database.pool.query("select count(*) from perdure.past_workers where lost")[0]
                #expect(try lost.decode(Int64.self, at: 0) == 0)
            }
            await database.pool.close()
        }
    }
}

extension Stage {
    fileprivate func count(_ condition: String) async throws -> Int64 {
        try await database.pool.query(TroubleTests.sql("select count(*) from perdure.workflows where \(condition)"))[0]
            .decode(at: 0)
    }
}
