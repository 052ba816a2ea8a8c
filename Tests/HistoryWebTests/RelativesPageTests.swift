import HummingbirdTesting
import Postgres
import Testing

@testable import HistoryWeb

@Suite struct RelativesPageTests {
    @Test func aParentAndItsChildrenLinkToEachOther() async throws {
        try await TestSite.with { site, client in
            try await site.pool.query(
                """
                do $$
                declare
                    v_worker uuid := gen_random_uuid();
                    v_task record;
                begin
                    perform perdure.start_workflow('Order', 'family <&>', 'families');
                    perform perdure.register_worker(v_worker, 'default', 'w', '', array['families'], '1 hour');
                    select * into v_task
                    from perdure.claim_workflow_tasks(0::smallint, v_worker, 'families', 1);
                    perform perdure.complete_workflow_tasks(0::smallint, v_worker, jsonb_build_array(jsonb_build_object(
                        'runId', v_task.run_id, 'scheduledEventId', v_task.scheduled_event_id, 'attempt', 1,
                        'commands', jsonb_build_array(jsonb_build_object('commandType', 'StartChildWorkflowExecution',
                            'attributes', jsonb_build_object('workflowId', 'child "1"',
                                'workflowType', jsonb_build_object('name', 'Shipment'),
                                'taskQueue', jsonb_build_object('name', 'nobody')))))));
                end
                $$
                """)
            func run(_ id: String) async throws -> String {
                try await site.pool.query("select run_id::text from perdure.workflows where workflow_id = \(id)")[0]
                    .decode(at: 0)
            }
            let parent = try await run("family <&>")
            let waiting = try await client.get("/namespaces/default/workflows/family%20%3C%26%3E/\(parent)").text
            #expect(!waiting.contains("Child workflows"))
            try await site.pool.query("call perdure.drain_transfers(0::smallint, array[\(parent)::text::uuid])")
            let child = try await run("child \"1\"")

            let above = try await client.get("/namespaces/default/workflows/family%20%3C%26%3E/\(parent)").text
            #expect(above.contains("Child workflows"))
            #expect(above.contains("/workflows/child%20%221%22/\(child)\">child &quot;1&quot;</a>"))
            #expect(above.contains("Shipment"))
            #expect(!above.contains("<dt>Parent</dt>"))

            let below = try await client.get("/namespaces/default/workflows/child%20%221%22/\(child)").text
            #expect(below.contains("<dt>Parent</dt><dd><a href=\""))
            #expect(below.contains("/\(parent)\">family &lt;&amp;&gt;</a>"))
            // The parent is the root.
            #expect(!below.contains("<dt>Root</dt>"))
            let list = try await client.get(
                "/namespaces/default/workflows?query=ParentRunId%20%3D%20'\(parent)'"
            ).text
            #expect(list.contains("child &quot;1&quot;") && !list.contains(">transfer-done</a>"))
        }
    }
}
