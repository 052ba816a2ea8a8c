import HTTPTypes
import Hummingbird
import HummingbirdTesting
import PerdureModel
import Postgres
import TestSupport
import Testing
import WebCommon

@testable import HistoryWeb

@Suite struct AttentionPageTests {
    private static let page = "/namespaces/default/attention"

    @Test func tellsWhatIsStuckByCause() async throws {
        try await TestSite.with { site, client in
            let page = try await client.get(Self.page).text
            #expect(page.contains("Workflow code fails: RangeError at Transfer.swift:42"))
            #expect(page.contains("withdraw fails: IOError at AccountClient.swift:88"))
            #expect(page.contains("connection reset by peer"))
            #expect(page.contains("build <b>build-7f3a</b>"))
            // It leads to the runs, and to one action on all of them.
            let list = try #require(page.firstMatch(of: #/href="([^"]+)">Show 1 run</#)).1
            let runs = try await client.get(String(list).replacing("&amp;", with: "&")).text
            #expect(runs.contains("Retrying") || runs.contains("Code fails"))
            let retry = try #require(page.firstMatch(of: #/href="([^"]+action=retry[^"]+)"/#)).1
            let asked = try await client.get(String(retry).replacing("&amp;", with: "&")).text
            #expect(asked.contains("Retry now: 1 run") && asked.contains("Attempts count on"))
            #expect(!page.contains("All is well"))
            #expect(try await client.get("/attention").headers[.location] == Self.page)
            #expect(try await client.get("/namespaces/nowhere/attention").status == .notFound)
            #expect(try await client.get("\(Self.page)?span=2y").status == .badRequest)
        }
    }

    @Test func retriesAllRunsOfACause() async throws {
        try await TestSite.with { site, client in
            func state() async throws -> String {
                try await site.pool.query(
                    "select state::text from perdure.activity_tasks where failure_cause is not null")[0].decode(at: 0)
            }
            #expect(try await state() == "backoff")
            let asked = try await client.get(
                "/namespaces/default/batch?action=retry&all=1&query="
                    + "Cause = 'withdraw: IOError at AccountClient.swift:88'".escapedForAddress
            ).text
            let fields = asked.matches(of: #/<input type="hidden" name="([^"]+)" value="([^"]*)">/#).map { match in
                """
                \(match.1)=\
                \(String(match.2).replacing("&#39;", with: "'").replacing("&lt;", with: "<").escapedForAddress)
                """
            }.joined(separator: "&")
            let done = try await client.post("/namespaces/default/batch", fields)
            #expect(try await client.get(try #require(done.headers[.location])).text.contains("1 done"))
            #expect(try await state() == "scheduled")
        }
    }

    @Test func saysOneThingOnce() async throws {
        try await TestSite.with { site, client in
            try await site.pool.query(
                """
                do $$ begin
                    perform set_config('perdure.now', (clock_timestamp() - interval '5 minutes')::text, true);
                    perform perdure.start_workflow('Alone', 'alone', 'empty');
                end $$
                """)
            let page = try await client.get(Self.page).text
            #expect(page.matches(of: #/Nobody polls the queue empty/#).count == 1)
            #expect(!page.contains("no worker polls it"))
            #expect(page.contains("Start a worker for it"))
            // The health page says all that doctor says.
            #expect(try await client.get("/namespaces/default/health").text.contains("no worker polls it"))
        }
    }

    @Test func isCalmWhenAllIsWell() async throws {
        try await TestSite.with { site, client in
            try await site.pool.query("select perdure.create_namespace('calm')")
            try await site.pool.query("delete from perdure.settings where name = 'test_settings'")
            let page = try await client.get("/namespaces/calm/attention").text
            #expect(page.contains("No task has waited"))
            // Of the database doctor tells that migrations are missing in the ledger of the tests.
            #expect(!page.contains("What is stuck"))
        }
    }

    @Test func drawsTheLastHours() async throws {
        try await TestSite.with { site, client in
            try await site.pool.query(
                """
                insert into perdure.queue_samples (namespace, minute, task_queue, kind, waiting, oldest_seconds,
                    failing, finished)
                select 'default', date_bin('1 minute', clock_timestamp(), '2000-01-01Z') - n * interval '1 minute', q,
                    'activity',
                    n, 90, 3, 600 from generate_series(0, 29) n cross join unnest(array['bank', 'night <b>']) q
                """)
            let page = try await client.get("\(Self.page)?span=1h").text
            #expect(page.contains("Tasks finished a minute: 1200 now, at most 1200"))
            #expect(page.contains("Tasks that failed and are tried again: 6 now, at most 6"))
            #expect(page.contains("Age of the oldest task that waits: 1 min 30 s now"))
            #expect(page.contains("night &lt;b&gt;"))
            // An hour of minutes, of which thirty have a bar: three charts, and two for each queue.
            #expect(page.matches(of: #/<rect class="hit"/#).count == 60 * 3)
            #expect(page.matches(of: #/height="48"\/></#).count == 30 * 3)
            #expect(page.matches(of: #/M\d+ 48v-48h3V48z/#).count == 30 * 4)
            #expect(try await client.get("\(Self.page)?span=24h").text.contains("at most 1200"))
        }
    }

    @Test func leavesOutOfTheChecksWhatIsToldAlready() throws {
        let checks: [JSON] = ["Workers", "Task queues", "Workflow tasks", "Vacuum"].map {
            ["name": .string($0), "status": "wrong", "message": "0 workers are alive"]
        }
        func names(_ troubles: [JSON]) -> [String] {
            AttentionPage.untold(checks, beside: troubles.compactMap { Trouble($0, in: "default") })
                .compactMap { $0.text("name") }
        }
        let queue: JSON = ["kind": "queue", "what": "Nobody polls the queue q", "cause": "no worker on q"]
        #expect(names([]) == ["Workers", "Task queues", "Workflow tasks", "Vacuum"])
        #expect(names([queue]) == ["Workflow tasks", "Vacuum"])
        #expect(names([["kind": "code", "what": "fails", "cause": "c"]]) == ["Workers", "Task queues", "Vacuum"])
        #expect(names([["kind": "queue", "what": "falls behind"]]).count == 4)
    }
}
