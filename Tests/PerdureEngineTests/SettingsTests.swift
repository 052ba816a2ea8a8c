import Foundation
import PerdureEngine
import PerdureTesting
import Postgres
import TestSupport
import Testing

@testable import Perdure

/// What a database, a role or a pooler sets for a session, or does to it, changes nothing that a worker does.
@Suite("Settings of sessions")
struct SettingsTests {
    /// What `alter database … set` takes. Members of one case do not contradict each other.
    private static let settings: [[String]] = [
        [],
        [
            "DateStyle = 'SQL, DMY'", "IntervalStyle = sql_standard", "TimeZone = 'America/St_Johns'",
            "bytea_output = escape", "extra_float_digits = -15", "client_encoding = LATIN1",
            "search_path = nowhere", "standard_conforming_strings = off", "quote_all_identifiers = on",
        ],
        [
            "DateStyle = 'German'", "IntervalStyle = postgres_verbose", "TimeZone = 'Asia/Kathmandu'",
            "client_encoding = WIN1252", "array_nulls = off", "transform_null_equals = on", "row_security = off",
            "xmloption = document", "plpgsql.variable_conflict = use_variable", "session_replication_role = replica",
        ],
        [
            "enable_seqscan = off", "enable_indexscan = off", "enable_indexonlyscan = off", "enable_nestloop = off",
            "enable_sort = off", "jit_above_cost = 0", "plan_cache_mode = force_custom_plan", "work_mem = '64kB'",
        ],
        [
            "enable_bitmapscan = off", "enable_hashjoin = off", "enable_mergejoin = off", "enable_hashagg = off",
            "plan_cache_mode = force_generic_plan", "synchronous_commit = off", "client_min_messages = debug2",
        ],
        [
            "idle_in_transaction_session_timeout = '1s'", "idle_session_timeout = '1s'", "lock_timeout = '1s'",
            "statement_timeout = '5s'", "default_transaction_deferrable = on",
        ],
    ]

    /// An activity that fails once, beats and succeeds, beside a timer; then a signal ends the run.
    private static func code() -> WorkerCode {
        var code = WorkerCode()
        code.workflow("W") { history in
            guard history.scheduled("a") != nil else {
                let input = try [Payload](json: history.events[0].attributes["input"])
                let retry = RetryPolicy(initialInterval: .milliseconds(100), maximumAttempts: 3)
                return [
                    .activity("a", "beats", input: input, heartbeat: .seconds(10), retry: retry),
                    .timer("t", .milliseconds(1500)),
                ]
            }
            guard let end = history.end(of: "a"), history.fired("t"), let signal = history.signals.first else {
                return []
            }
            return [.complete([(end.attributes["result"] ?? [])[0] ?? .null, signal.input[0] ?? .null])]
        }
        code.activity("beats") { attempt in
            if attempt.task.attempt == 1 { throw Failure.application("nicht möglich: \\ ' \" €", type: "Once") }
            attempt.heartbeat([try Payload(encoding: "ü € \\ '"), try Payload(encoding: 0.1)])
            return attempt.task.input
        }
        return code
    }

    @Test("A worker does the same under any setting", .timeLimit(.minutes(10)), arguments: settings)
    func anySetting(_ settings: [String]) async throws {
        try await Stage.with { stage in
            for setting in settings { try await administer("alter database \(stage.database.name) set \(setting)") }
            // Its connections know the settings.
            let pool = PostgresPool(stage.database.configuration, maximumConnections: 8, logger: quiet)
            let client = PerdureClient(pool: pool)
            let worker = Worker(
                pool: pool, options: WorkerOptions(taskQueue: Stage.queue), code: Self.code(), logger: quiet)
            let input = try Payload(encoding: "漢字 ü € \\ ' \" 0.1")
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await worker.run() }
                var handles: [UntypedWorkflowHandle] = []
                for number in 1...10 {
                    let options = WorkflowOptions(id: "\(number)", taskQueue: Stage.queue)
                    handles.append(try await client.startWorkflow(name: "W", options: options, payloads: [input]))
                }
                for handle in handles { try await handle.signal(signalName: "end", input: "\\ é 1.50") }
                for handle in handles {
                    #expect(
                        try await handle.resultPayloads() == [input, try Payload(encoding: "\\ é 1.50")],
                        "\(settings)")
                    let types = try await stage.types(handle).filter { !$0.hasPrefix("WorkflowTask") }.sorted()
                    #expect(
                        types == [
                            "ActivityTaskCompleted", "ActivityTaskScheduled", "ActivityTaskStarted", "TimerFired",
                            "TimerStarted", "WorkflowExecutionCompleted", "WorkflowExecutionSignaled",
                            "WorkflowExecutionStarted",
                        ], "\(settings)")
                }
                group.cancelAll()
                try await group.waitForAll()
            }
            await pool.close()
        }
    }

    @Test(
        "A session in which workers cannot share work is refused, with what to do",
        arguments: [
            "default_transaction_isolation = 'serializable'", "default_transaction_isolation = 'repeatable read'",
            "default_transaction_read_only = on",
        ])
    func refused(_ setting: String) async throws {
        try await Stage.with { stage in
            try await administer("alter database \(stage.database.name) set \(setting)")
            let pool = PostgresPool(stage.database.configuration, maximumConnections: 4, logger: quiet)
            let worker = Worker(
                pool: pool, options: WorkerOptions(taskQueue: Stage.queue), code: Self.code(), logger: quiet)
            let error = await #expect(throws: PostgresError.self) { try await worker.run() }
            #expect(
                error?.sqlState == "PD011" && error?.hint?.contains("alter role") == true,
                "\(String(describing: error))")
            await pool.close()
        }
    }

    @Test(
        "A pooler that is killed while reports are on their way loses none, and each is written once",
        .enabled(if: PgBouncer.isInstalled, "apt-get install pgbouncer"), .timeLimit(.minutes(5)))
    func poolerKilled() async throws {
        try await Stage.with { stage in
            let runs = 60
            let effects = Box(0)
            var code = WorkerCode()
            code.workflow("W") { history in
                guard history.scheduled("a") != nil else { return [.activity("a", "a", startToClose: .seconds(10))] }
                return history.end(of: "a") == nil ? [] : [.complete()]
            }
            code.activity("a") { attempt in
                effects.add(1)
                return attempt.task.input
            }
            try await PgBouncer.withPooler(database: stage.database.name) { pooler in
                var configuration = PostgresConfiguration(pooler.url)
                configuration.preparedStatements = false
                let pool = PostgresPool(configuration, maximumConnections: 8, logger: quiet)
                let options = WorkerOptions(taskQueue: Stage.queue)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { [code] in
                        try await Worker(pool: pool, options: options, code: code, logger: quiet).run()
                    }
                    for round in 0..<3 {
                        try await stage.database.pool.query(
                            """
                            select perdure.start_workflow(workflow_type => 'W', workflow_id => \(round) || '-' || n,
                                task_queue => \(Stage.queue)) from generate_series(1, \(Int64(runs))) n
                            """)
                        try await eventually("some have ended") { effects.value > round * runs + runs / 4 }
                        try await pooler.kill()
                        try await pooler.start()
                        try await stage.waitForAll()
                    }
                    group.cancelAll()
                    try await group.waitForAll()
                }
                await pool.close()
            }
            let types = try await stage.database.pool.query(
                """
                select count(*) filter (where event_type = 'ActivityTaskCompleted'),
                    count(*) filter (where event_type in ('ActivityTaskFailed', 'WorkflowExecutionFailed'))
                from perdure.history_events
                """)[0]
            // A task whose claim was lost runs after its time-out. A report that was lost is sent again.
            #expect(try types.decode(Int.self, at: 0) == 3 * runs)
            #expect(try types.decode(Int.self, at: 1) == 0)
            // On a busy machine an attempt may time out before its report gets through, and another one begins.
            #expect(effects.value >= 3 * runs)
        }
    }
}
