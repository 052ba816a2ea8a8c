import HTTPTypes
import Hummingbird
import HummingbirdTesting
import PerdureModel
import Postgres
import TestSupport
import Testing
import WebCommon

@testable import HistoryWeb

@Suite struct PageTests {
    private static let hostile = "stuck <script>alert(1)</script> \"'&%2F/..ü"

    @Test func listsNarrowsDownAndCounts() async throws {
        try await TestSite.with { _, client in
            #expect(try await client.get("/").headers[.location] == "/namespaces/default/attention")
            let all = try await client.get("/namespaces/default/workflows").text
            for id in ["transfer-done", "transfer-failed", "transfer-waiting", "audit-running", "waits-for-a-worker"] {
                #expect(all.contains(">\(id)</a>"))
            }
            #expect(all.contains("from_account <b>account_A</b>"))
            #expect(all.contains("Running <span class=\"number\">4</span>"))

            let failed = try await client.get("/namespaces/default/workflows?status=Failed").text
            #expect(failed.contains(">transfer-failed</a>") && !failed.contains(">transfer-done</a>"))
            let chosen = try await client.get(
                "/namespaces/default/workflows?query=WorkflowType%3D'Transfer'%20order%20by%20StartTime&status=Running"
            ).text
            #expect(chosen.contains(">transfer-waiting</a>") && !chosen.contains(">audit-running</a>"))
            // One word looks for the beginning of an id.
            let prefix = try await client.get("/namespaces/default/workflows?query=transfer-&since=1h").text
            #expect(prefix.contains(">transfer-done</a>") && !prefix.contains(">audit-running</a>"))
            #expect(try await client.get("/namespaces/default/workflows?query=%25").text.contains("Nothing matches"))
            #expect(try await client.get("/namespaces/nowhere/workflows").status == .notFound)

            let wrong = try await client.get(
                "/namespaces/default/workflows?query=WorkflowType%20%3D%20'%C3%A4'%20and%20foo%20%3D%203")
            #expect(wrong.status == .badRequest)
            #expect(wrong.text.contains("<mark>foo</mark> = 3"))
            #expect(wrong.text.contains("data-from=\"23\" data-to=\"26\""))
        }
    }

    @Test(arguments: ["bulk-", "WorkflowId%20STARTS_WITH%20'bulk-'%20ORDER%20BY%20CloseTime%20DESC,%20WorkflowId"])
    func leafsThroughAllRunsOnce(order: String) async throws {
        try await TestSite.with { site, client in
            // Many in one moment, so that the page ends between runs of the same time.
            try await site.pool.query(
                """
                select perdure.start_workflow(workflow_type => 'Bulk', workflow_id => 'bulk-' || n,
                    task_queue => 'bulk')
                from generate_series(1, 120) n
                """)
            var address: String? = "/namespaces/default/workflows?query=\(order)"
            var seen: [Substring] = []
            while let next = address {
                let page = try await client.get(next).text
                seen += page.matches(of: #/<tr id="run-([^"]+)"/#).map(\.1)
                address = page.firstMatch(of: #/href="([^"]+)" rel="next"/#)
                    .map { String($0.1).replacing("&amp;", with: "&") }
            }
            #expect(seen.count == 120)
            #expect(Set(seen).count == 120)
            #expect(try await client.get("/namespaces/default/workflows?after=yesterday").status == .badRequest)
        }
    }

    @Test func leadsFromRunToRun() async throws {
        try await TestSite.with { site, client in
            try await site.pool.query(
                """
                do $$
                declare
                    v_shard smallint := perdure.shard_for('default', 'chained');
                    v_worker uuid := gen_random_uuid();
                    v_task record;
                begin
                    perform perdure.register_worker(v_worker, 'default', 'w', 'b', array['chain'], interval '1 hour');
                    perform perdure.start_workflow('Chained', 'chained', 'chain');
                    select * into strict v_task from perdure.claim_workflow_tasks(v_shard, v_worker, 'chain', 1);
                    perform perdure.complete_workflow_tasks(v_shard, v_worker, jsonb_build_array(jsonb_build_object(
                        'runId', v_task.run_id, 'scheduledEventId', v_task.scheduled_event_id, 'attempt', 1, 'commands',
                        '[{"commandType": "ContinueAsNewWorkflowExecution", "attributes": {"input": []}}]'::jsonb)));
                end
                $$
                """)
            let runs = try await site.pool.query(
                "select run_id::text from perdure.workflows where workflow_id = 'chained' order by run_number"
            ).map { try $0.decode(String.self, at: 0) }
            try #require(runs.count == 2)
            let path = "/namespaces/default/workflows/chained"
            let first = try await client.get("\(path)/\(runs[0])").text
            #expect(first.contains("<dt>Followed by run</dt><dd><a href=\"\(path)/\(runs[1])\">"))
            #expect(!first.contains("<dt>Follows run</dt>"))
            let second = try await client.get("\(path)/\(runs[1])").text
            #expect(second.contains("<dt>Follows run</dt><dd><a href=\"\(path)/\(runs[0])\">"))
            #expect(!second.contains("<dt>Followed by run</dt>"))
        }
    }

    @Test func showsTheColumnsThatWereChosenAndRemembersThem() async throws {
        try await TestSite.with { _, client in
            let list = "/namespaces/default/workflows"
            func columns(_ response: TestResponse) -> [String] {
                response.text.matches(of: #/<th scope="col" class="column[^>]*>(?:<a [^>]*>)?([^<]+)</#).map {
                    String($0.1)
                }
            }
            let chosen = try await client.get(
                "\(list)?column=id&column=events&column=.from_account&column=nonsense&column=id")
            #expect(columns(chosen) == ["Workflow id", "Events", "from_account"])
            let cookie = try #require(chosen.headers[.setCookie])
            #expect(cookie.contains("SameSite=Lax"))
            let kept = try await client.get(
                list, headers: [.accept: "text/html", .cookie: "other=1; \(cookie.prefix { $0 != ";" })"])
            #expect(columns(kept) == ["Workflow id", "Events", "from_account"])
            let broken = try await client.get(list, headers: [.accept: "text/html", .cookie: "perdure-columns=%zz"])
            #expect(columns(broken).count == 7)
        }
    }

    @Test func doesToManyRunsWhatWasConfirmed() async throws {
        try await TestSite.with { site, client in
            try await site.pool.query(
                """
                select perdure.start_workflow(workflow_type => 'Bulk', workflow_id => 'bulk-' || n,
                    task_queue => 'bulk')
                from generate_series(1, 120) n
                """)
            func count(_ sql: String) async throws -> Int {
                try await site.pool.query(PostgresQuery(sql))[0].decode(at: 0)
            }
            let batch = "/namespaces/default/batch"
            let signals =
                """
                select count(*)::int from perdure.history_events where event_type = 'WorkflowExecutionSignaled'
                    and workflow_id like 'bulk-%'
                """
            func form(_ page: String) -> String {
                page.matches(of: #/<input type="hidden" name="([^"]+)" value="([^"]*)">/#).map { match in
                    let value = match.2.replacing("&#39;", with: "'").replacing("&quot;", with: "\"")
                        .replacing("&lt;", with: "<").replacing("&amp;", with: "&")
                    return "\(match.1)=\(String(value).escapedForAddress)"
                }.joined(separator: "&")
            }

            let asked = try await client.get("\(batch)?action=signal&all=1&query=bulk-").text
            #expect(asked.contains("Send a signal: 120 runs"))
            #expect(try await count(signals) == 0)
            let fields = form(asked)
            #expect(try await client.post(batch, fields).status == .badRequest)
            #expect(
                try await client.post(batch, fields + "&name=go", origin: "https://evil.example").status == .forbidden)
            #expect(try await count(signals) == 0)

            // A slice is done twice, as after a lost answer, and the rest from the address that the first one left.
            let first = try await client.post(batch, fields + "&name=go&input=7")
            _ = try await client.post(batch, fields + "&name=go&input=7")
            #expect(try await count(signals) == 50)
            var address = try #require(first.headers[.location])
            while !address.contains("finished=1") {
                let page = try await client.get(address).text
                #expect(page.contains("Go on"))
                address = try #require(try await client.post(batch, form(page)).headers[.location])
            }
            #expect(try await client.get(address).text.contains("120 done"))
            #expect(try await count(signals) == 120)

            let runs = try await site.pool.query(
                "select run_id::text from perdure.workflows where workflow_id in ('bulk-1', 'bulk-2') order by 1"
            ).map { try $0.decode(String.self, at: 0) }
            let some = try await client.get("\(batch)?action=terminate&run=\(runs[0])&run=\(runs[1])").text
            #expect(some.contains("Terminate: 2 runs"))
            _ = try await client.post(batch, form(some) + "&reason=enough")
            #expect(try await count("select count(*)::int from perdure.workflows where status = 'Terminated'") == 2)
            #expect(try await client.get("\(batch)?action=terminate&run=nonsense").status == .badRequest)
            // All that match are never meant by itself.
            #expect(try await client.get("\(batch)?action=terminate&query=bulk-").status == .badRequest)
            #expect(try await client.get("\(batch)?action=explode").status == .badRequest)
        }
    }

    @Test func startsAWorkflowLikeAnother() async throws {
        try await TestSite.with { site, client in
            let start = "/namespaces/default/start"
            let form = try await client.get("\(start)?workflow=transfer-done").text
            #expect(form.contains("value=\"Transfer\"") && form.contains("account_A") && form.contains("from_account"))
            #expect(try await client.post(start, "id=x&type=T").status == .badRequest)
            #expect(try await client.post(start, "id=x&type=T&queue=q&input=%7B").status == .badRequest)
            #expect(try await client.post(start, "id=x&type=T&queue=q&attributes=1").status == .badRequest)
            let attributes = "%7B%22from_account%22%3A%22account_B%22%7D"
            let started = try await client.post(
                start, "id=x/1&type=T&queue=q&input=%7B%22a%22%3A1%7D&attributes=\(attributes)")
            #expect(started.status == .seeOther)
            let page = try await client.get(try #require(started.headers[.location])).text
            #expect(page.contains("account_B") && page.contains("x/1"))
            #expect(try await client.post(start, "id=x/1&type=T&queue=q").status == .conflict)
        }
    }

    @Test func showsARunWithItsTimelineAndHistory() async throws {
        try await TestSite.with { _, client in
            let path = try await client.run("transfer-done")
            let page = try await client.get(path).text
            #expect(page.contains("<dd>26 events</dd>"))
            #expect(page.contains("Completed after 2 failed attempts"))
            #expect(page.contains("Rent &lt;b&gt;März&lt;/b&gt;"))
            #expect(page.contains("from_account_starting_balance"))
            #expect(!page.contains("data-changes"))

            let timeline = try JSON(parsing: try await client.get("\(path)/timeline.json").body.readableBytesView)
            #expect(timeline["events"]?.elements.count == 26)
            #expect(timeline["attempts"]?.elements.compactMap { $0.integer("attempt") } == [1, 2])
            #expect(timeline["attempts"]?.elements.compactMap { $0.text("started") } == ["700.000", "2300.000"])
            #expect(timeline["gaps"] == .null)
            #expect(timeline["close"] == .number("8200.000"))

            let step = try await client.get("\(path)/events/12?part=1").text
            #expect(step.contains("Last failure before it succeeded"))
            #expect(step.contains("connection reset by peer"))
            #expect(!step.contains("<html"))
            #expect(try await client.get("\(path)/events/27").status == .notFound)
            #expect(try await client.get("\(path)/events/x").status == .notFound)
        }
    }

    @Test func narrowsDownTheHistory() async throws {
        try await TestSite.with { _, client in
            let path = try await client.run("transfer-done")
            func ids(_ query: String) async throws -> [String] {
                try await client.get("\(path)?\(query)").text.matches(of: #/<li id="event-(\d+)"/#).map { String($0.1) }
            }
            #expect(try await ids("") == ["1", "5", "11", "17", "18", "26"])
            #expect(try await client.get(path).text.contains("5 workflow tasks that succeeded are folded"))
            #expect(
                try await ids("tasks=1") == ["1", "2", "5", "8", "11", "14", "17", "18", "19", "23", "26"])
            #expect(try await ids("kind=workflowTask") == ["2", "8", "14", "19", "23"])
            #expect(try await ids("event=8").contains("8"))
            #expect(try await ids("order=descending").first == "26")
            #expect(try await ids("view=all").count == 26)
            #expect(try await ids("view=all&kind=activity") == ["5", "6", "7", "11", "12", "13"])
            #expect(try await ids("text=WITHDRAW") == ["11"])
            #expect(try await ids("kind=signal") == ["18"])
            #expect(try await client.get("\(path)?kind=nonsense").status == .badRequest)
            #expect(try await client.get("\(path)?view=raw").text.contains("EVENT_TYPE_TIMER_FIRED"))
        }
    }

    @Test func tellsOfLostWorkersAndOfTheTimeWithoutAny() async throws {
        try await TestSite.with { _, client in
            let path = try await client.run("transfer-crashed")
            let timeline = try JSON(parsing: try await client.get("\(path)/timeline.json").body.readableBytesView)
            #expect(timeline["attempts"]?.elements.map { $0.flag("lost") } == [true, false])
            // From the last renewal of the lease to the registration of the next worker.
            #expect(timeline["gaps"]?.elements.compactMap { $0.text("from") } == ["1050.000"])
            #expect(timeline["gaps"]?.elements.compactMap { $0.text("to") } == ["5500.000"])
            let step = try await client.get("\(path)/events/11?part=1").text
            #expect(step.contains("Attempt 1") && step.contains("Worker lost") && step.contains("4712@worker-2"))
            #expect(step.contains("Attempt 2") && step.contains("connection reset by peer"))
            #expect(!step.contains("no longer remembered"))
        }
    }

    @Test func downloadsTheHistoryAsTemporalReadsIt() async throws {
        try await TestSite.with { _, client in
            let response = try await client.get("\(try await client.run("transfer-done"))/history.json")
            #expect(response.headers[.contentDisposition]?.hasPrefix("attachment; filename=\"history-") == true)
            let history = try JSON(parsing: response.body.readableBytesView)
            let events = history["events"]?.elements ?? []
            #expect(events.compactMap { $0.text("eventId") } == (1...26).map(String.init))
            #expect(events.last?.text("eventType") == "EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED")
        }
    }

    @Test func showsWhatARunWaitsFor() async throws {
        try await TestSite.with { _, client in
            let waiting = try await client.get(try await client.run("transfer-waiting")).text
            #expect(waiting.contains("Waits for attempt 2"))
            #expect(waiting.contains("of 10"))
            #expect(waiting.contains("data-until"))
            #expect(waiting.contains("connection reset by peer"))
            #expect(waiting.contains("<b>deadline</b>"))

            let running = try await client.get(try await client.run("audit-running")).text
            #expect(running.contains("4711@worker-1"))
            #expect(running.contains("Heartbeat details"))
            #expect(running.contains(">page</span>"))
        }
    }

    @Test func escapesWhatStrangersWrote() async throws {
        try await TestSite.with { _, client in
            let path = try await client.run(Self.hostile)
            #expect(
                path.hasPrefix(
                    "/namespaces/default/workflows/"
                        + "stuck%20%3Cscript%3Ealert%281%29%3C%2Fscript%3E%20%22%27%26%252F%2F..%C3%BC/"
                ))
            for address in [
                path, "/namespaces/default/workflows", "\(path)/queries", "\(path)/actions/signal", "\(path)/events/1",
                "\(path)/source",
                "\(path)?view=raw",
            ] {
                let response = try await client.get(address)
                #expect(response.status == .ok)
                #expect(!response.text.contains("<script>alert"))
                #expect(!response.text.contains("<img"))
                #expect(!response.text.contains("<i>"))
                #expect(response.headers[.contentSecurityPolicy]?.contains("script-src 'self'") == true)
            }
            let page = try await client.get(path).text
            #expect(page.contains("run waits for a fix"))
            #expect(page.contains("Fatal &lt;b&gt;error&lt;/b&gt;"))
            #expect(page.contains("RangeError"))
        }
    }

    @Test func saysWhatIsNotThere() async throws {
        try await TestSite.with { _, client in
            let run = try await client.run("transfer-done")
            for address in [
                "/nothing", "/namespaces/default/workflows/nobody",
                "/namespaces/default/workflows/transfer-done/no-uuid",
                "/namespaces/default/workflows/transfer-done/00000000-0000-4000-8000-000000000000",
                "/namespaces/default/workflows/nobody/\(run.split(separator: "/").last ?? "")",
                "\(run)/actions/explode",
                "/public/nothing.css", "/public/..%2FTemplates%2Flayout.mustache",
            ] {
                let response = try await client.get(address)
                #expect(response.status == .notFound, "\(address)")
                #expect(response.text.contains("<h1>Not found</h1>"), "\(address)")
            }
            #expect(try await client.get("/namespaces/default/workflows/%00").status == .badRequest)
            #expect(try await client.get("/namespaces/default/workflows?status=Nonsense").status == .badRequest)
            let json = try await client.get("/namespaces/default/workflows/nobody", headers: [:])
            #expect(try JSON(parsing: json.body.readableBytesView)["error"]?.stringValue?.contains("nobody") == true)
        }
    }

    @Test func keepsWhatWasSentWhenTheDatabaseCannotTakeIt() async throws {
        try await TestSite.with { site, client in
            let run = try await client.run("transfer-waiting")
            _ = try await site.pool.query("alter table perdure.history rename to history_of_another_time")
            let forms = [
                "/namespaces/default/start": "type=Transfer&id=one%22+two&queue=bank&input=%5B1%5D",
                "\(run)/actions/signal": "name=go&input=%22%3Cb%3E%22", "\(run)/actions/terminate": "reason=",
            ]
            for (address, form) in forms {
                let refused = try await client.post(address, form)
                #expect(refused.status == .serviceUnavailable, "\(address)")
                #expect(refused.text.contains("<form method=\"post\">"), "\(address)")
                for field in try FormFields(form).fields {
                    let value = field.value.replacing("\"", with: "&quot;").replacing("<", with: "&lt;")
                        .replacing(">", with: "&gt;")
                    #expect(
                        refused.text.contains(
                            "<input type=\"hidden\" name=\"\(field.name)\" value=\"\(value)\">"), "\(address)")
                }
            }
            // Whoever asks for no page, reads or comes from elsewhere gets no form.
            #expect(!(try await client.get(run).text).contains("<form method=\"post\">"))
            let foreign = try await client.post("\(run)/actions/signal", "name=go", origin: "https://evil.example")
            #expect(foreign.status == .forbidden && !foreign.text.contains("type=\"hidden\""))
        }
    }

    @Test func signalsCancelsAndTerminates() async throws {
        try await TestSite.with { site, client in
            let path = try await client.run("transfer-waiting")
            #expect(try await client.get("\(path)/actions/terminate").text.contains("cannot be taken back"))
            func types() async throws -> [String] {
                try await site.pool.query(
                    """
                    select event_type from perdure.history_events where workflow_id = 'transfer-waiting'
                        order by event_id
                    """
                ).map { try $0.decode(at: 0) }
            }
            let before = try await types()

            #expect(
                try await client.post("\(path)/actions/signal", "name=go", origin: "https://evil.example").status
                    == .forbidden)
            #expect(try await client.post("\(path)/actions/signal", "input=1").status == .badRequest)
            #expect(try await client.post("\(path)/actions/signal", "name=go&input=%7Bno").status == .badRequest)
            #expect(try await client.post("\(path)/actions/signal", "name=%00").status == .badRequest)
            #expect(try await types() == before)

            let signal = try await client.post("\(path)/actions/signal", "name=go&input=%7B%22a%22%3A1%7D")
            #expect(signal.status == .seeOther)
            #expect(signal.headers[.location] == "\(path)?done=signal")
            #expect(try await client.get("\(path)?done=signal").text.contains("The signal was sent."))
            #expect(try await types().contains("WorkflowExecutionSignaled"))
            #expect(try await client.post("\(path)/actions/cancel", "reason=enough").status == .seeOther)
            #expect(try await types().contains("WorkflowExecutionCancelRequested"))
            #expect(try await client.post("\(path)/actions/terminate", "reason=%3Cb%3Eenough").status == .seeOther)
            let page = try await client.get(path).text
            #expect(page.contains("Terminated"))
            #expect(page.contains("&lt;b&gt;enough"))
            #expect(try await client.post("\(path)/actions/terminate", "").status.kind == .clientError)
        }
    }

    @Test func sendsAnUpdateAndSaysWhenItIsRejected() async throws {
        try await TestSite.with { site, client in
            let path = try await client.run("transfer-waiting")
            #expect(try await client.get("\(path)/actions/update").text.contains("may reject the update"))
            #expect(try await client.post("\(path)/actions/update", "input=1").status == .badRequest)
            #expect(try await client.post("\(path)/actions/update", "name=go&input=%7Bno").status == .badRequest)
            #expect(
                try await client.post("\(path)/actions/update", "name=go", origin: "https://evil.example").status
                    == .forbidden)
            let worker = try await site.pool.query(
                "select worker_id::text from perdure.live_workers where identity = '4711@worker-1'")[0].decode(
                    String.self, at: 0)
            // Answers as a worker of Perdure would: it rejects what is called bad, and accepts and completes all else.
            let answering = Task {
                while !Task.isCancelled {
                    try await site.pool.query(
                        """
                        select (select count(*)
                            from perdure.complete_workflow_tasks(0::smallint, \(worker)::text::uuid, jsonb_build_array(
                            jsonb_build_object('runId', c.run_id, 'scheduledEventId', c.scheduled_event_id,
                                'attempt', c.attempt,
                                'commands', case when m.is_bad then '[]'::jsonb else jsonb_build_array(
                                    jsonb_build_object('commandType', 'ProtocolMessage',
                                        'attributes', '{"messageId": "a"}'::jsonb),
                                    jsonb_build_object('commandType', 'ProtocolMessage',
                                        'attributes', '{"messageId": "c"}'::jsonb)) end,
                                'messages', case when m.is_bad then jsonb_build_array(
                                    jsonb_build_object('id', 'r', 'protocolInstanceId', m.id,
                                        'body', '{"@type": "temporal.api.update.v1.Rejection", '
                                            '"failure": {"message": "not <now>"}}'::jsonb))
                                    else jsonb_build_array(jsonb_build_object('id', 'a', 'protocolInstanceId', m.id,
                                            'body', '{"@type": "temporal.api.update.v1.Acceptance"}'::jsonb),
                                        jsonb_build_object('id', 'c', 'protocolInstanceId', m.id, 'body', '{"@type":
                                            "temporal.api.update.v1.Response",
                                            "outcome": {"success": []}}'::jsonb)) end))))
                        from perdure.claim_workflow_tasks(0::smallint, \(worker)::text::uuid, 'bank', 10) c
                        cross join lateral (select c.updates #>> '{0,meta,updateId}' as id,
                            c.updates #>> '{0,input,name}' = 'bad' as is_bad) m
                        where c.updates is not null
                        """)
                    try await Task.sleep(for: .milliseconds(20))
                }
            }
            defer { answering.cancel() }
            let rejected = try await client.post("\(path)/actions/update", "name=bad&input=1")
            #expect(rejected.status == .conflict)
            #expect(rejected.text.contains("rejected the update: not &lt;now&gt;"))
            let sent = try await client.post("\(path)/actions/update", "name=raise&input=1")
            #expect(sent.headers[.location] == "\(path)?done=update")
            let page = try await client.get(path).text
            #expect(page.contains("raise"))
            let types = try await site.pool.query(
                """
                select event_type from perdure.history_events where workflow_id = 'transfer-waiting'
                    and event_type like '%Update%' order by event_id
                """
            ).map { try $0.decode(String.self, at: 0) }
            #expect(types == ["WorkflowExecutionUpdateAccepted", "WorkflowExecutionUpdateCompleted"])
        }
    }

    @Test func asksARunAndShowsWhatItCanBeAsked() async throws {
        try await TestSite.with { site, client in
            let path = try await client.run("transfer-done")
            #expect(try await client.post("\(path)/queries", "").status == .badRequest)
            let worker = try await site.pool.query(
                "select worker_id::text from perdure.live_workers where identity = '4711@worker-1'")[0].decode(
                    String.self, at: 0)
            // Answers as a worker of Perdure would.
            let answering = Task {
                while !Task.isCancelled {
                    try await site.pool.query(
                        """
                        select (select count(*)
                            from perdure.answer_queries(0::smallint, \(worker)::text::uuid, jsonb_build_array(
                            jsonb_build_object('queryId', q.query_id,
                                'result', jsonb_build_array(jsonb_build_object('encoding', 'json/plain', 'data',
                                case q.query_type when '__stack_trace' then
                                    '"Bank/TransferWorkflow.swift:16: waits for activity '
                                    'withdraw, id 2"'
                                when '__temporal_workflow_metadata' then '{"definition":
                                    {"type": "Transfer", "queryDefinitions": [
                                    {"name": "get_state", "description": "Where it <stands>."},
                                    {"name": "__stack_trace"}],
                                    "signalDefinitions": [{"name": "approve", "description": ""}]},
                                    "currentDetails": "halfway <there>"}'
                                else '"half <done>"' end::jsonb))))))
                        from perdure.claim_queries(0::smallint, \(worker)::text::uuid, 'bank', 10) q
                        """)
                    try await Task.sleep(for: .milliseconds(20))
                }
            }
            let page = try await client.post("\(path)/queries", "type=get_state").text
            #expect(page.contains("half &lt;done&gt;"))
            #expect(page.contains("Where it &lt;stands&gt;.") && page.contains("<b>approve</b>"))
            #expect(!page.contains("<b>__stack_trace</b>"))
            #expect(
                page.contains("source?kind=workflow&amp;type=Transfer#L16")
                    && page.contains("waits for activity withdraw"))
            let before = try await client.get("\(path)/queries").text
            #expect(before.contains("get_state") && before.contains("value=\"get_state\""))
            // It is asked once in a while for all who look at an open run.
            let open = try await client.run("transfer-waiting")
            try await eventually("the run says where it stands") {
                let standing = try await client.get(open).text
                return standing.contains("Current details") && standing.contains("halfway &lt;there&gt;")
            }
            answering.cancel()
            _ = await answering.result

            // Nobody polls the queue.
            try await site.pool.query("select perdure.stop_worker(\(worker)::text::uuid)")
            let alone = try await client.get("\(path)/queries").text
            #expect(alone.contains("nobody can answer"))
            #expect(try await client.get("\(path)/actions/signal?name=a%22b").text.contains("value=\"a&quot;b\""))
        }
    }

    @Test func tellsOfQueuesAndWorkers() async throws {
        try await TestSite.with { _, client in
            let queues = try await client.get("/namespaces/default/queues").text
            #expect(queues.contains("<h2>bank</h2>") && queues.contains("Activity tasks"))
            #expect(queues.contains("<td class=\"right\">2 of 64</td>") && queues.contains("37 of 100"))
            // Eight tens of seconds, and some of them are within the last minute.
            #expect(queues.matches(of: #/<rect x="\d+" y="\d+" width="5"/#).count == 16)
            #expect(queues.contains("at most 18 a second"))
            let workers = try await client.get("/namespaces/default/workers").text
            #expect(workers.contains("4711@worker-1") && workers.contains("build-7f3a"))
        }
    }

    @Test func showsTheCodeThatFailedInTheBuildThatRanIt() async throws {
        try await TestSite.with { site, client in
            let path = try await client.run("transfer-crashed")
            let step = try await client.get("\(path)/events/11?part=1").text
            #expect(step.contains("href=\"\(path)/source?event=11&amp;attempt=2#failed-line\""))
            let first = try await client.get("\(path)/source?event=11&attempt=1").text
            #expect(first.contains("movement.amount &gt; <span class=\"number\">0.01</span>"))
            #expect(first.contains("on 4712@worker-2") && first.contains("The failure names no line"))
            let second = try await client.get("\(path)/source?event=11&attempt=2").text
            #expect(second.contains("<span class=\"number\">0.05</span> <span class=\"comment\">/* fixed */"))
            #expect(
                second.contains("<li id=\"L41\" class=\"hit\">") && second.contains("HTTP 500 from the account API"))
            #expect(second.matches(of: #/class="hit"/#).count == 1)
            let other = try await client.get("\(path)/source?kind=activity&type=withdraw&build=build-7f3a").text
            #expect(other.contains("0.01</span>") && !other.contains("class=\"hit\""))

            let done = try await client.get(try await client.run("transfer-done") + "/source").text
            #expect(done.contains("lines 10 to 23") && done.contains("4711@worker-1"))
            let stuck = try await client.run(Self.hostile)
            let banner = try await client.get(stuck).text
            #expect(banner.contains("/source?failure=task#failed-line"))
            let bug = try await client.get("\(stuck)/source?failure=task").text
            #expect(bug.contains("<li id=\"L42\" class=\"hit\">") && bug.contains("Index out of range"))
            #expect(bug.contains("Audit&quot;&lt;i&gt;") && !bug.contains("<i>"))
            let failed = try await client.get("\(stuck)/events/4?part=event").text
            #expect(failed.contains("WorkflowTaskFailed") && failed.contains("source?event=4#failed-line"))
            #expect(failed.contains("Index out of range") && !failed.contains("<html"))
            // Nobody has run it: the newest code there is.
            let waits = try await client.get(try await client.run("waits-for-a-worker") + "/source").text
            #expect(waits.contains("No worker has run it yet"))

            #expect(try await client.get("\(path)/source?event=99").status == .notFound)
            #expect(try await client.get("\(path)/source?event=11&attempt=7").status == .notFound)
            #expect(try await client.get("\(path)/source?event=x").status == .notFound)
        }
    }

    @Test func showsTheLineThatFailedInAFileAroundTheCode() async throws {
        try await TestSite.with { site, client in
            try await site.pool.query(
                """
                do $$
                declare
                    v_worker uuid := gen_random_uuid();
                    v_task record;
                begin
                    perform perdure.start_workflow(0::smallint, 'default', 'helped', 'Order', 'shop');
                    perform perdure.register_worker(v_worker, 'default', 'w', 'h1', array['shop'], '1 hour');
                    perform perdure.register_sources(v_worker, jsonb_build_array(
                        jsonb_build_object('kind', 'workflow', 'type', 'Order', 'file', 'Shop/Order.swift',
                            'firstLine', 10, 'line', 10, 'text', E'struct Order {\n}'),
                        jsonb_build_object('kind', 'file', 'type', 'Shop/Prices.swift', 'file', 'Shop/Prices.swift',
                            'firstLine', 1, 'line', 1, 'text', E'import Shop\n\nthrow Rounding("<b>")\n'),
                        jsonb_build_object('kind', 'file', 'type', 'Shop/Order.swift', 'file', 'Shop/Order.swift',
                            'firstLine', 1, 'line', 1, 'text', 'import Perdure')));
                    select * into v_task from perdure.claim_workflow_tasks(0::smallint, v_worker, 'shop', 1);
                    perform perdure.fail_workflow_tasks(0::smallint, v_worker, jsonb_build_array(jsonb_build_object(
                        'runId', v_task.run_id, 'scheduledEventId', v_task.scheduled_event_id, 'attempt', 1,
                        'cause', 'WorkflowWorkerUnhandledFailure', 'failure', jsonb_build_object(
                            'message', 'cannot round', 'stackTrace', 'Shop/Prices.swift:3'))));
                end
                $$
                """)
            let path = try await client.run("helped")
            let failed = try await client.get("\(path)/source?failure=task").text
            #expect(failed.contains("<li id=\"L3\" class=\"hit\">") && failed.contains("cannot round"))
            #expect(failed.contains("&lt;b&gt;") && failed.contains("<code>Shop/Prices.swift</code>"))
            // The workflow's own code leads there.
            let own = try await client.get("\(path)/source?failure=task&kind=workflow&type=Order").text
            #expect(own.contains("The failure names no line of this code.") && own.contains("struct"))
            let address =
                "\(path)/source?failure=task&amp;kind=file&amp;type=Shop%2FPrices.swift&amp;build=h1#failed-line"
            #expect(own.contains("It names a line of <a href=\"\(address)\">Shop/Prices.swift</a>."))
            let file = try await client.get("\(path)/source?failure=task&kind=file&type=Shop%2FPrices.swift&build=h1")
            #expect(file.text.contains("<li id=\"L3\" class=\"hit\">"))
            // A file without a failure.
            let plain = try await client.get("\(path)/source?kind=file&type=Shop%2FOrder.swift&build=h1").text
            #expect(plain.contains("Perdure") && !plain.contains("class=\"hit\""))
        }
    }

    @Test func tellsWhichMigrationsAreAppliedPendingAndChanged() async throws {
        try await TestSite.with { site, client in
            let nothing = try await client.get("/namespaces/default/health").text
            #expect(nothing.contains("files are not applied, the first is migrations/0001_engine.sql"))
            #expect(nothing.contains("Run perdure migrate."))
            try await site.pool.query(
                """
                insert into perdure.applied_files (path, kind, checksum, duration_ms) values
                    ('migrations/0001_engine.sql', 'migration', '0bad', 1),
                    ('migrations/0099_<later>.sql', 'migration', '0f0f', 1)
                """)
            let health = try await client.get("/namespaces/default/health").text
            #expect(health.contains("migrations/0001_engine.sql was edited after it had been applied"))
            #expect(health.contains("<th scope=\"row\">migrations/0001_engine.sql</th>"))
            #expect(
                health.contains("Edited after it was applied") && health.contains("migrations/0099_&lt;later&gt;.sql"))
        }
    }

    @Test func servesFilesThatBrowsersMayKeep() async throws {
        try await TestSite.with { _, client in
            let page = try await client.get("/namespaces/default/workflows").text
            let style = try #require(page.firstMatch(of: #/href="([^"]+perdure\.css\?v=[^"]+)"/#)).1
            let first = try await client.get(String(style))
            #expect(first.headers[.cacheControl] == "public, max-age=31536000, immutable")
            let tag = try #require(first.headers[.eTag])
            #expect(try await client.get(String(style), headers: [.ifNoneMatch: tag]).status == .notModified)
            #expect(try await client.get("/public/live.js").headers[.cacheControl] == "no-cache")
        }
    }
}
