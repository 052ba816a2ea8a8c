import Foundation
import Perdure
import PerdureEngine
import Postgres
import TestSupport
import Testing

@ActivityContainer
private struct Doubler {
    @Activity func double(_ number: Int) -> Int { number * 2 }
}

@Workflow
private struct Doubling {
    func run(context: WorkflowContext<Self>, input: Int) async throws -> Int {
        try await context.sleep(for: .milliseconds(1))
        return try await context.executeActivity(
            Doubler.Activities.Double.self, options: ActivityOptions(startToCloseTimeout: .seconds(5)), input: input)
    }
}

/// Who may do what, tried with real connections.
@Suite struct RoleTests {
    /// A database owned by a role that is no superuser, and the roles of a worker and a reader; all gone afterwards.
    private func withRoles(
        _ body: (_ database: EmptyDatabase, _ worker: String, _ reader: String, _ stranger: String) async throws -> Void
    ) async throws {
        let suffix = UUID().uuidString.prefix(8).lowercased()
        let roles = ["owner", "worker", "reader", "stranger"].map { "perdure_test_\($0)_\(suffix)" }
        // Group roles belong to the whole cluster: the suite may be the first to need them.
        for group in ["perdure_worker", "perdure_reader"] {
            try? await administer("create role \(group) nologin")
        }
        for role in roles { try await administer("create role \(role) login") }
        try await administer("grant perdure_worker to \(roles[1]); grant perdure_reader to \(roles[2])")
        func drop() async { for role in roles { try? await administer("drop role \(role)") } }
        do {
            try await EmptyDatabase.with(ownedBy: roles[0]) { database in
                try await database.migrator().migrate()
                try await body(database, roles[1], roles[2], roles[3])
            }
            await drop()
        } catch {
            await drop()
            throw error
        }
    }

    @Test func `the owner of a database installs it without being a superuser, and without an extension`() async throws
    {
        try await withRoles { database, _, _, _ in
            try await database.connected { connection in
                let row = try await connection.query(
                    """
                    select (select rolsuper or rolcreaterole from pg_roles where rolname = current_user),
                        array(select extname from pg_extension order by 1)::text[]
                    """)[0]
                #expect(try row.decode(Bool.self, at: 0) == false)
                #expect(try row.decode([String].self, at: 1) == ["plpgsql"])
                _ = try await connection.query(
                    "select * from perdure.start_workflow(workflow_type => 'W', workflow_id => 'w', task_queue => 'q')")
            }
            #expect(try await database.migrator().migrate().isEmpty)
        }
    }

    @Test func `a worker runs a workflow from end to end, and touches no table`() async throws {
        try await withRoles { database, worker, _, _ in
            let pool = PostgresPool(
                PostgresConfiguration(databaseURL(database.name, user: worker)), maximumConnections: 2,
                logger: quiet)
            let engine = Engine(pool: pool)
            let client = PerdureClient(pool: pool)
            let handle = try await client.startWorkflow(name: "W", options: WorkflowOptions(id: "w", taskQueue: "q"))
            try await handle.signal(signalName: "s")
            let id = UUID()
            try await pool.query(
                "select perdure.register_worker(\(id), 'default', 'me', '1', \(["q"]), interval '60 s', '{}')")
            let shard: Int16 = 0
            let claimed = try await engine.claim(
                shard: shard, workerID: id, taskQueue: "q", workflowTasks: 1, activityTasks: 1, queries: 1)
            let task = try #require(claimed.workflowTasks.first)
            let completion: JSON = [
                [
                    "runId": .string(task.runID.uuidString.lowercased()),
                    "scheduledEventId": .number(task.scheduledEventID), "attempt": .number(task.attempt),
                    "commands": [
                        [
                            "commandType": "CompleteWorkflowExecution",
                            "attributes": ["result": [["encoding": "json/plain", "data": 42]]],
                        ]
                    ],
                ]
            ]
            let rows = try await pool.query(
                "select outcome from perdure.complete_workflow_tasks(\(shard), \(id), \(completion))")
            #expect(try rows[0].decode(String.self, at: 0) == "completed")
            #expect(try await handle.result(as: Int.self) == 42)
            _ = try await pool.query("select * from perdure.upkeep(\(shard))")
            #expect(try await client.listWorkflows().count == 1)
            #expect(try await handle.fetchHistory().count == 6)
            await pool.close()

            // The command line needs no more rights than a worker.
            let asWorker = EmptyDatabase(name: database.name, url: databaseURL(database.name, user: worker))
            #expect(try await perdure(["workflow", "list"], database: asWorker).output.contains("Completed"))
            let doctor = try await perdure(["doctor"], database: asWorker)
            #expect(doctor.status == 0, "\(doctor.output)\(doctor.errors)")
            #expect(try await perdure(["migrate"], database: asWorker).errors.contains("42501"))
            try await expectNoTables(database, worker, except: ["namespaces", "search_attributes"])
        }
    }

    @Test func `a worker process needs no more than a worker's rights`() async throws {
        try await withRoles { database, worker, _, _ in
            let pool = PostgresPool(
                PostgresConfiguration(databaseURL(database.name, user: worker)), maximumConnections: 4,
                logger: quiet)
            let client = PerdureClient(pool: pool)
            let process = Worker(
                pool: pool, options: WorkerOptions(taskQueue: "doubling"), workflows: [Doubling.self],
                activityContainers: [Doubler()], logger: quiet)
            let run = Task { try await process.run() }
            let result = try await client.executeWorkflow(
                type: Doubling.self, options: WorkflowOptions(id: "d", taskQueue: "doubling"), input: 21)
            run.cancel()
            try await run.value
            await pool.close()
            #expect(result == 42)
        }
    }

    @Test func `a reader reads every view, and changes nothing`() async throws {
        try await withRoles { database, _, reader, _ in
            try await database.connected(as: reader) { connection in
                let views = try await connection.query(
                    """
                    select c.relname::text from pg_class c where relnamespace = 'perdure'::regnamespace
                        and relkind = 'v'
                    """
                ).map { try $0.decode(String.self, at: 0) }
                #expect(views.count >= 6)
                for view in views { try await connection.query("select * from perdure.\(unescaped: view) limit 1") }
                try await connection.query("select * from perdure.list_workflows('')")
                for statement in [
                    "select * from perdure.start_workflow(workflow_type => 'W', workflow_id => 'w', task_queue => 'q')",
                    "select perdure.terminate_workflow('w')", "select perdure.create_namespace('n')",
                    "select * from perdure.upkeep(0::smallint)", "create table perdure.mine ()",
                    "create table public.mine ()", "delete from perdure.workflows",
                ] {
                    await #expect(throws: PostgresError.self, "\(statement)") {
                        try await connection.query(PostgresQuery(statement))
                    }
                }
            }
            try await expectNoTables(database, reader, except: ["namespaces", "search_attributes"])
        }
    }

    @Test func `nobody else can do anything`() async throws {
        try await withRoles { database, _, _, stranger in
            try await database.connected(as: stranger) { connection in
                let row = try await connection.query(
                    "select has_schema_privilege('perdure', 'usage'), has_schema_privilege('perdure', 'create')")[0]
                #expect(try row.decode(Bool.self, at: 0) == false)
                #expect(try row.decode(Bool.self, at: 1) == false)
                let functions = try await connection.query(
                    """
                    select p.oid::regprocedure::text from pg_proc p
                    where pronamespace::regnamespace::text in ('perdure', 'bank')
                        and has_function_privilege(p.oid, 'execute')
                    """
                ).map { try $0.decode(String.self, at: 0) }
                #expect(functions.isEmpty, "\(functions)")
                let relations = try await connection.query(
                    """
                    select c.oid::regclass::text from pg_class c
                        where relnamespace::regnamespace::text in ('perdure', 'bank')
                    and relkind in ('r', 'v', 'p', 'm')
                    and has_table_privilege(c.oid, 'select, insert, update, delete, truncate, references, trigger')
                    """)
                #expect(relations.isEmpty)
            }
        }
    }

    @Test func `functions that act with their owner's rights look names up in pg_catalog only`() async throws {
        try await withRoles { database, _, _, _ in
            let unsafe = try await database.connected { connection in
                try await connection.query(
                    """
                    select p.oid::regprocedure::text from pg_proc p
                        where pronamespace::regnamespace::text in ('perdure', 'bank')
                    and prosecdef and not coalesce(proconfig @> array['search_path=pg_catalog, pg_temp'], false)
                    and not coalesce(proconfig @> array['search_path=""'], false)
                    """
                ).map { try $0.decode(String.self, at: 0) }
            }
            #expect(unsafe.isEmpty, "\(unsafe)")
        }
    }

    private func expectNoTables(_ database: EmptyDatabase, _ role: String, except: [String]) async throws {
        try await database.connected(as: role) { connection in
            let readable = try await connection.query(
                """
                select c.relname::text from pg_class c where relnamespace::regnamespace::text in ('perdure', 'bank')
                and relkind in ('r', 'p') and (has_table_privilege(c.oid, 'insert, update, delete, truncate')
                or (has_table_privilege(c.oid, 'select') and c.relname <> all (\(except))))
                """
            ).map { try $0.decode(String.self, at: 0) }
            #expect(readable.isEmpty, "\(readable)")
            let error = await #expect(throws: PostgresError.self) {
                try await connection.query("update perdure.executions set status = 'Completed'")
            }
            #expect(error?.sqlState == "42501")
        }
    }
}
