import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Testing
import WebCommon

@testable import HistoryWeb

@Suite struct PageTests {
    private static let hostile = "stuck <script>alert(1)</script> \"'&%2F/..ü"

    @Test func listsNarrowsDownAndCounts() async throws {
        try await TestSite.with { _, client in
            #expect(try await client.get("/").headers[.location] == "/namespaces/default/workflows")
            let all = try await client.get("/namespaces/default/workflows").text
            for id in ["transfer-done", "transfer-failed", "transfer-waiting", "audit-running", "waits-for-a-worker"] {
                #expect(all.contains(">\(id)</a>"))
            }
            #expect(all.contains("from_account <b>account_A</b>"))
            #expect(all.contains("Running <span class=\"number\">4</span>"))

            let failed = try await client.get("/namespaces/default/workflows?status=Failed").text
            #expect(failed.contains(">transfer-failed</a>") && !failed.contains(">transfer-done</a>"))
            let prefix = try await client.get("/namespaces/default/workflows?id=transfer-&type=Transfer&status=Running")
                .text
            #expect(prefix.contains(">transfer-waiting</a>") && !prefix.contains(">audit-running</a>"))
            #expect(try await client.get("/namespaces/default/workflows?id=%25").text.contains("Nothing matches"))
            #expect(try await client.get("/namespaces/nowhere/workflows").text.contains("No workflows yet"))
        }
    }

    @Test func leafsThroughAllRunsOnce() async throws {
        try await TestSite.with { site, client in
            // Many in one moment, so that the page ends between runs of the same time.
            try await site.pool.query(
                """
                select perdure.start_workflow(workflow_type => 'Bulk', workflow_id => 'bulk-' || n, task_queue => 'bulk')
                from generate_series(1, 120) n
                """)
            var address: String? = "/namespaces/default/workflows?id=bulk-"
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

    @Test func showsARunWithItsTimelineAndHistory() async throws {
        try await TestSite.with { _, client in
            let path = try await client.run("transfer-done")
            let page = try await client.get(path).text
            #expect(page.contains("<dd>26 events</dd>"))
            #expect(page.contains("Completed after 2 failed attempts"))
            #expect(page.contains("Rent &lt;b&gt;März&lt;/b&gt;"))
            #expect(page.contains("from_account_starting_balance"))
            #expect(!page.contains("data-changes"))

            let timeline = try JSONValue(parsing: try await client.get("\(path)/timeline.json").body.readableBytesView)
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
            #expect(try await ids("") == ["1", "2", "5", "8", "11", "14", "17", "18", "19", "23", "26"])
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
            let timeline = try JSONValue(parsing: try await client.get("\(path)/timeline.json").body.readableBytesView)
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
            let history = try JSONValue(parsing: response.body.readableBytesView)
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
                    "/namespaces/default/workflows/stuck%20%3Cscript%3Ealert%281%29%3C%2Fscript%3E%20%22%27%26%252F%2F..%C3%BC/"
                ))
            for address in [
                path, "/namespaces/default/workflows", "\(path)/queries", "\(path)/actions/signal", "\(path)/events/1",
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
            #expect(try JSONValue(parsing: json.body.readableBytesView)["error"]?.string?.contains("nobody") == true)
        }
    }

    @Test func signalsCancelsAndTerminates() async throws {
        try await TestSite.with { site, client in
            let path = try await client.run("transfer-waiting")
            #expect(try await client.get("\(path)/actions/terminate").text.contains("cannot be taken back"))
            func types() async throws -> [String] {
                try await site.pool.query(
                    "select event_type from perdure.history_events where workflow_id = 'transfer-waiting' order by event_id"
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

    @Test func asksARunAndSaysWhenItIsRefused() async throws {
        try await TestSite.with { site, client in
            let path = try await client.run("transfer-done")
            #expect(try await client.post("\(path)/queries", "").status == .badRequest)
            async let asked = client.post("\(path)/queries", "type=get_state")
            let worker = try await site.pool.query("select worker_id::text from perdure.live_workers")[0].decode(
                String.self, at: 0)
            var answered = 0
            while answered == 0 {
                answered = try await site.pool.query(
                    """
                    select (select count(*) from perdure.answer_queries(0::smallint, \(worker)::text::uuid, jsonb_build_array(
                        jsonb_build_object('queryId', q.query_id, 'result', '[{"encoding": "json/plain", "data": "half <done>"}]'::jsonb))))
                    from perdure.claim_queries(0::smallint, \(worker)::text::uuid, 'bank', 1) q
                    """
                ).count
            }
            let page = try await asked.text
            #expect(page.contains("half &lt;done&gt;"))
        }
    }

    @Test func tellsOfQueuesAndWorkers() async throws {
        try await TestSite.with { _, client in
            let queues = try await client.get("/namespaces/default/queues").text
            #expect(queues.contains(">bank</th>") && queues.contains("Activity tasks"))
            let workers = try await client.get("/namespaces/default/workers").text
            #expect(workers.contains("4711@worker-1") && workers.contains("build-7f3a"))
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
