import Foundation
import PerdureEngine
import Postgres
import TestSupport
import Testing

/// The commands as operators use them, each a process.
@Suite struct WorkflowCommandTests {
    @Test func `a workflow's life from the command line`() async throws {
        try await EmptyDatabase.with { database in
            try await database.migrator().migrate()
            func perdure(_ arguments: String...) async throws -> Outcome {
                try await PerdureCommandTests.perdure(arguments, database: database)
            }

            #expect(try await perdure("namespace", "create", "-n", "orders", "--retention", "7d").status == 0)
            #expect(try await perdure("namespace", "list").output.contains("orders"))
            #expect(
                try await perdure(
                    "search-attribute", "create", "-n", "orders", "--name", "customer", "--type", "Keyword"
                ).status == 0)
            #expect(
                try await perdure("search-attribute", "list", "-n", "orders").output.contains(/customer +Keyword\n/))

            let start = try await perdure(
                "workflow", "start", "-n", "orders", "--type", "Order", "-t", "q", "-w", "o-1", "-i", "{\"amount\": 5}",
                "--search-attribute", "customer=\"ann\"", "--memo", "note=\"hi\"", "--execution-timeout", "1h30m", "-o",
                "json")
            #expect(start.status == 0, "\(start.errors)")
            let runID = try #require(try JSON(parsing: start.output)["runId"]?.stringValue)
            let twice = try await perdure(
                "workflow", "start", "-n", "orders", "--type", "Order", "-t", "q", "-w", "o-1")
            #expect(twice.status == 1)
            #expect(twice.errors.contains("already running"))

            #expect(
                try await perdure("workflow", "signal", "-n", "orders", "-w", "o-1", "--name", "pay", "-i", "1").status
                    == 0)
            // Nobody takes it before the run is over.
            let late = Task {
                try await perdure(
                    "workflow", "update", "-n", "orders", "-w", "o-1", "--name", "raise", "--update-id", "u-1", "-i",
                    "1")
            }
            try await eventually("the update waits for a worker") {
                try await database.connected {
                    try await $0.query("select from perdure.workflow_updates where update_id = 'u-1'").count == 1
                }
            }
            let nothing = try await perdure(
                "workflow", "update", "result", "-n", "orders", "-w", "o-1", "--update-id", "u-2")
            #expect(nothing.status == 1 && nothing.errors.contains("knows no update u-2"), "\(nothing.errors)")
            let list = try await perdure(
                "workflow", "list", "-n", "orders", "-q", "customer = 'ann' AND ExecutionStatus = 'Running'")
            #expect(list.output.contains("o-1"), "\(list.errors)")
            #expect(
                try await !perdure("workflow", "list", "-n", "orders", "-q", "customer = 'bob'").output.contains("o-1"))
            #expect(try await perdure("workflow", "count", "-n", "orders").output.hasPrefix("Total: 1\n"))
            let wrong = try await perdure("workflow", "list", "-n", "orders", "-q", "nonsense = 1")
            #expect(wrong.status == 1)
            #expect(wrong.errors.split(separator: "\n").count == 1)

            #expect(
                try await perdure(
                    "workflow", "start", "-n", "orders", "--type", "Report", "-t", "q", "-w", "report", "--cron",
                    "@every 1h", "--retry-maximum-attempts", "3", "--retry-initial-interval", "5s"
                ).status == 0)
            let report = try await perdure("workflow", "describe", "-n", "orders", "-w", "report")
            #expect(report.output.contains(/Cron schedule +@every 1h\n/), "\(report.output)")
            let nonsense = try await perdure(
                "workflow", "start", "-n", "orders", "--type", "Report", "-t", "q", "--cron", "nonsense")
            #expect(nonsense.status == 1 && nonsense.errors.contains("invalid CronSchedule"))
            #expect(try await perdure("workflow", "terminate", "-n", "orders", "-w", "report").status == 0)

            let describe = try await perdure("workflow", "describe", "-n", "orders", "-w", "o-1")
            #expect(
                describe.output.contains("{\"amount\":5}") || describe.output.contains("{\"amount\": 5}"),
                "\(describe.output)")
            #expect(describe.output.contains("ann"))
            #expect(try await perdure("queue", "list", "-n", "orders").output.contains("q"))
            let queue = try await perdure("queue", "describe", "-n", "orders", "-t", "q")
            #expect(queue.output.contains("no worker polls q"))
            #expect(try await perdure("worker", "list", "-n", "orders").output.hasPrefix("IDENTITY"))

            #expect(try await perdure("workflow", "cancel", "-n", "orders", "-w", "o-1", "--reason", "x").status == 0)
            #expect(
                try await perdure("workflow", "delete", "-n", "orders", "-w", "o-1").errors.contains(
                    "Terminate it first"))
            let query = try await perdure(
                "workflow", "query", "-n", "orders", "-w", "o-1", "--type", "state", "--timeout", "100ms")
            #expect(query.status == 1)
            #expect(
                try await perdure("workflow", "terminate", "-n", "orders", "-w", "o-1", "--reason", "test").status == 0)
            let closed = try await late.value
            #expect(closed.status == 1 && closed.errors.contains("has ended"), "\(closed.errors)")
            let result = try await perdure("workflow", "result", "-n", "orders", "-w", "o-1")
            #expect(result.status == 1)
            #expect(result.errors.contains("Terminated"))

            let show = try await perdure("workflow", "show", "-n", "orders", "-w", "o-1")
            #expect(show.output.contains("WorkflowExecutionSignaled"))
            #expect(show.output.contains("pay"))
            let json = try JSON(
                parsing: try await perdure("workflow", "show", "-n", "orders", "-w", "o-1", "--json").output)
            let events = try #require(json["events"]?.arrayValue)
            #expect(events.first?["eventType"] == "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED")
            #expect(events.first?["eventId"] == "1")
            let payload = events.first?["workflowExecutionStartedEventAttributes"]?["input"]?["payloads"]?[0]
            #expect(payload?["metadata"]?["encoding"]?.stringValue == Data("json/plain".utf8).base64EncodedString())
            #expect(events.last?["eventType"] == "EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED")

            #expect(try await perdure("workflow", "delete", "-n", "orders", "-w", "o-1").output.contains(runID))
            let gone = try await perdure("workflow", "describe", "-n", "orders", "-w", "o-1")
            #expect(gone.status == 1)
            #expect(gone.errors.split(separator: "\n").count == 1)
            let doctor = try await perdure("doctor", "-o", "json")
            #expect(try JSON(parsing: doctor.output).arrayValue?.count ?? 0 >= 9)
        }
    }

    @Test func `workflows go back, one and all that a filter chooses`() async throws {
        try await EmptyDatabase.with { database in
            try await database.migrator().migrate()
            func perdure(_ arguments: String...) async throws -> Outcome {
                try await PerdureCommandTests.perdure(arguments, database: database)
            }
            for id in ["r-1", "r-2", "r-3"] {
                #expect(
                    try await perdure("workflow", "start", "--type", "Order", "-t", "q", "-w", id).status == 0)
            }
            let nowhere = try await perdure("workflow", "reset", "-w", "r-1")
            #expect(nowhere.status != 0 && nowhere.errors.contains("--event-id"), "\(nowhere.errors)")
            let early = try await perdure("workflow", "reset", "-w", "r-1", "-e", "2")
            #expect(early.status == 1 && early.errors.contains("Can only reset"), "\(early.errors)")
            // Two of them have done a workflow task.
            try await database.connected { connection in
                try await connection.simpleQuery(
                    """
                    do $$
                    declare
                        v_worker uuid := gen_random_uuid();
                        v_task record;
                    begin
                        perform perdure.register_worker(v_worker, 'default', 'worker', 'bad', array['q'], '1 hour');
                        for v_task in select * from perdure.claim_workflow_tasks(0::smallint, v_worker, 'q', 2) loop
                            perform perdure.complete_workflow_tasks(0::smallint, v_worker, jsonb_build_array(
                                jsonb_build_object('runId', v_task.run_id, 'attempt', 1, 'commands', '[]'::jsonb,
                                    'scheduledEventId', v_task.scheduled_event_id, 'sticky', false)));
                        end loop;
                    end
                    $$
                    """)
            }
            let one = try await perdure(
                "workflow", "reset", "-w", "r-1", "--type", "LastWorkflowTask", "--reason", "a mistake")
            #expect(one.status == 0 && one.output.hasPrefix("reset to run "), "\(one.errors)")
            let describe = try await perdure("workflow", "describe", "-w", "r-1")
            #expect(describe.output.contains(/Reset from run +[0-9a-f-]+, at event 4/), "\(describe.output)")

            let many = try await perdure(
                "workflow", "reset", "-q", "WorkflowType = 'Order'", "--build-id", "bad", "-o", "json")
            // The new run of r-1 has the event of that build no more, and r-3 never had one.
            #expect(many.status == 1)
            let report = try JSON(parsing: many.output)
            #expect(report["reset"] == 1 && report["failed"] == 2 && report["waiting"] == 0, "\(many.output)")
            #expect(report["failures"]?.arrayValue?.count == 2)
            let job = try #require(report["job_id"]?.stringValue)
            let again = try await perdure("workflow", "reset", "--job", job)
            #expect(again.output.contains("1 reset, 2 failed, 0 left"), "\(again.output)")
            try await database.connected { connection in
                try await connection.simpleQuery(
                    """
                    select perdure.start_batch_job('reset', 'WorkflowType = "Order"', '{"buildId": "bad"}',
                        name => 'other')
                    """)
            }
            let other = try await database.connected { connection in
                try await connection.query("select job_id::text from perdure.batch_jobs where name = 'other'")
                    .first?.decode(String.self, at: 0)
            }
            let stopped = try await perdure("workflow", "reset", "--job", try #require(other), "--stop")
            #expect(stopped.output.contains("0 reset, 0 failed, 0 left: stopped"), "\(stopped.output)")
        }
    }

    @Test func `describe names the parent of a run, and its children`() async throws {
        try await EmptyDatabase.with { database in
            try await database.migrator().migrate()
            try await database.connected { connection in
                try await connection.simpleQuery(
                    """
                    do $$
                    declare
                        v_worker uuid := gen_random_uuid();
                        v_task record;
                    begin
                        perform perdure.start_workflow('Order', 'o-1', 'q');
                        perform perdure.register_worker(v_worker, 'default', 'w', '', array['q'], '1 hour');
                        select * into v_task from perdure.claim_workflow_tasks(0::smallint, v_worker, 'q', 1);
                        perform perdure.complete_workflow_tasks(0::smallint, v_worker, jsonb_build_array(
                            jsonb_build_object('runId', v_task.run_id, 'scheduledEventId', v_task.scheduled_event_id,
                                'attempt', 1, 'commands', '[{"commandType": "StartChildWorkflowExecution", "attributes":
                                    {"workflowId": "s-1", "workflowType": {"name": "Shipment"}}}]'::jsonb)));
                    end
                    $$
                    """)
            }
            let waiting = try await perdure(["workflow", "describe", "-w", "o-1"], database: database).output
            #expect(waiting.contains(/s-1 +Shipment +not started +Terminate/), "\(waiting)")
            try await database.connected { connection in
                let runID = try await connection.query("select run_id from perdure.workflows")[0].decode(
                    UUID.self, at: 0)
                _ = try await connection.query("call perdure.drain_transfers(0::smallint, \([runID]))")
            }
            let parent = try await perdure(["workflow", "describe", "-w", "o-1"], database: database).output
            #expect(parent.contains(/s-1 +Shipment +[0-9a-f-]{36} +Terminate/), "\(parent)")
            #expect(!parent.contains("Parent"))
            let child = try await perdure(["workflow", "describe", "-w", "s-1"], database: database).output
            #expect(child.contains(/Parent +o-1, run [0-9a-f-]{36}/), "\(child)")
            // To end the parent ends the child.
            let end = try await perdure(["workflow", "terminate", "-w", "o-1"], database: database)
            #expect(end.status == 0, "\(end.errors)")
            #expect(
                try await perdure(["workflow", "result", "-w", "s-1"], database: database).errors.contains("Terminated")
            )
        }
    }

    @Test func `doctor says what the database says of itself, and what breaks a rule of the engine`() async throws {
        try await EmptyDatabase.with { database in
            try await database.migrator().migrate()
            let well = try await perdure(["doctor", "-o", "json"], database: database)
            #expect(well.status == 0, "\(well.output)\(well.errors)")
            let names = try await database.connected {
                try await $0.query("select name from perdure.health_checks()").map {
                    try $0.decode(String.self, "name")
                }
            }
            #expect(
                try JSON(parsing: well.output).arrayValue?.map { $0["name"]?.stringValue ?? "" } == ["Migrations"]
                    + names)

            try await database.connected {
                _ = try await $0.query(
                    """
                    insert into perdure.timers (shard, run_id, kind, fire_at) \
                    values (0, gen_random_uuid(), 'run_timeout', now() + interval '1 day')
                    """)
            }
            let wrong = try await perdure(["doctor"], database: database)
            #expect(wrong.status == 1)
            #expect(
                wrong.output.contains("WRONG    1 row breaks a rule of the engine (timer without run)"),
                "\(wrong.output)")
            #expect(wrong.output.contains("select * from perdure.violations()"))
        }
    }

    @Test func `the inspection scripts run on an installed database`() async throws {
        let folder = checkout.appending(path: "sql/inspect")
        let scripts = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".sql") }
        #expect(scripts.count >= 5)
        try await EmptyDatabase.with { database in
            try await database.migrator().migrate()
            try await database.connected {
                _ = try await $0.query(
                    """
                    select * from perdure.start_workflow(workflow_type => 'W', workflow_id => 'order-7',
                        task_queue => 'q', input => '1')
                    """
                )
            }
            for script in scripts.sorted() {
                let end = try await outcome(
                    of: "/usr/bin/psql",
                    [
                        "-X", "-v", "ON_ERROR_STOP=1", "-v", "workflow_id=order-7", database.url, "-f",
                        "sql/inspect/\(script)",
                    ])
                #expect(end.status == 0, "\(script): \(end.errors)")
                #expect(end.errors.isEmpty, "\(script): \(end.errors)")
                #expect(try String(contentsOf: folder.appending(path: script), encoding: .utf8).hasPrefix("-- "))
            }
        }
    }
}
