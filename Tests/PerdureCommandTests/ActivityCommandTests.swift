import Foundation
import PerdureEngine
import Postgres
import TestSupport
import Testing

/// `perdure activity`, each command a process.
@Suite struct ActivityCommandTests {
    @Test func `activities that a worker has begun end from the command line`() async throws {
        try await withActivities(["paid", "refused", "tried"]) { database in
            try await Self.claim(3, in: database)
            let complete = try await Self.activity("complete", "paid", ["--result", "{\"receipt\": 7}"], database)
            #expect(complete.status == 0 && complete.output == "completed\n", "\(complete.errors)")
            let fail = try await Self.activity(
                "fail", "refused", ["--reason", "no money", "--type", "Funds", "--non-retryable"], database)
            #expect(fail.status == 0 && fail.output == "failed\n", "\(fail.errors)")
            #expect(try await Self.activity("fail", "tried", ["--reason", "not today"], database).status == 0)

            let events = try await database.connected {
                try await $0.query(
                    """
                    select event_type || ' ' || coalesce(perdure.plain(attributes -> 'result')::text,
                        attributes #>> '{failure,message}' || ' ' ||
                        (attributes #>> '{failure,applicationFailureInfo,type}')) as line
                    from perdure.history_events where event_type in ('ActivityTaskCompleted', 'ActivityTaskFailed')
                    order by event_id
                    """
                ).map { try $0.decode(String.self, "line") }
            }
            #expect(
                events == ["ActivityTaskCompleted {\"receipt\": 7}", "ActivityTaskFailed no money Funds"], "\(events)")
            // The third has attempts left.
            #expect(try await Self.pending("tried", in: database) == "Scheduled 2 not today")

            let late = try await Self.activity("complete", "paid", [], database)
            #expect(late.status == 1 && late.errors.split(separator: "\n").count == 1, "\(late.errors)")
            let nowhere = try await perdure(
                ["activity", "complete", "-w", "nobody", "-a", "paid"], database: database)
            #expect(nowhere.status == 1 && nowhere.errors.contains("nobody"), "\(nowhere.errors)")
            let wrong = try await Self.activity("complete", "tried", ["--result", "{no"], database)
            #expect(wrong.status != 0 && wrong.errors.contains("{no"), "\(wrong.errors)")
        }
    }

    @Test func `activities are paused, unpaused and reset from the command line`() async throws {
        try await withActivities(["ship"]) { database in
            try await Self.claim(1, in: database)
            #expect(try await Self.activity("fail", "ship", ["--reason", "no lorry"], database).status == 0)
            let pause = try await Self.activity("pause", "ship", ["--reason", "strike"], database)
            #expect(pause.status == 0 && pause.output == "paused\n", "\(pause.errors)")
            #expect(try await Self.pending("ship", in: database) == "Paused 2 no lorry strike")
            let twice = try await Self.activity("reset", "ship", ["--keep-paused"], database)
            #expect(twice.status == 0 && twice.output == "reset\n", "\(twice.errors)")
            #expect(try await Self.pending("ship", in: database) == "Paused 1 no lorry strike")
            let unpause = try await Self.activity("unpause", "ship", ["--reset-attempts"], database)
            #expect(unpause.status == 0 && unpause.output == "unpaused\n", "\(unpause.errors)")
            #expect(try await Self.pending("ship", in: database) == "Scheduled 1")
            let none = try await Self.activity("pause", "other", [], database)
            #expect(none.status == 1 && none.errors.contains("pending activity"), "\(none.errors)")
        }
    }

    /// Activities of these ids of the workflow "order", which wait for a worker.
    private func withActivities(_ ids: [String], _ body: (EmptyDatabase) async throws -> Void) async throws {
        try await EmptyDatabase.with { database in
            try await database.migrator().migrate()
            let commands = ids.map {
                """
                {"commandType": "ScheduleActivityTask", "attributes": {"activityId": "\($0)", "activityType":
                    {"name": "Step"}, "startToCloseTimeout": "60s", "retryPolicy": {"initialInterval": "3600s"}}}
                """
            }
            try await database.connected { connection in
                try await connection.simpleQuery(
                    """
                    do $$
                    declare
                        v_worker uuid := gen_random_uuid();
                        v_task record;
                    begin
                        perform perdure.start_workflow('Order', 'order', 'q');
                        perform perdure.register_worker(v_worker, 'default', 'w', '', array['q'], '1 hour');
                        select * into v_task from perdure.claim_workflow_tasks(0::smallint, v_worker, 'q', 1);
                        perform perdure.complete_workflow_tasks(0::smallint, v_worker, jsonb_build_array(
                            jsonb_build_object('runId', v_task.run_id, 'scheduledEventId', v_task.scheduled_event_id,
                                'attempt', 1, 'commands', '[\(commands.joined(separator: ","))]'::jsonb)));
                    end
                    $$
                    """)
            }
            try await body(database)
        }
    }

    private static func claim(_ count: Int, in database: EmptyDatabase) async throws {
        let claimed = try await database.connected {
            try await $0.query(
                """
                select from perdure.workers w
                cross join lateral perdure.claim_activity_tasks(0::smallint, w.worker_id, 'q', \(count)::int)
                """
            ).count
        }
        #expect(claimed == count)
    }

    private static func activity(
        _ command: String, _ id: String, _ arguments: [String], _ database: EmptyDatabase
    ) async throws -> Outcome {
        try await perdure(["activity", command, "-w", "order", "-a", id] + arguments, database: database)
    }

    /// State, attempt, last failure and why it is paused.
    private static func pending(_ id: String, in database: EmptyDatabase) async throws -> String {
        try await database.connected {
            try await $0.query(
                """
                select concat_ws(' ', state, attempt, last_failure_message, pause_reason) as line
                from perdure.pending_activities where activity_id = \(id)
                """
            )[0].decode(String.self, "line")
        }
    }
}
