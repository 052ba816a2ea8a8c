import HTTPTypes
import Hummingbird
import HummingbirdTesting
import PerdureModel
import Postgres
import TestSupport
import Testing
import WebCommon

@testable import HistoryWeb

@Suite struct ConditionPageTests {
    private static let list = "/namespaces/default/workflows"
    private static let hostile = "stuck <script>alert(1)</script> \"'&%2F/..ü"

    private static func ids(_ page: String) -> [String] {
        page.matches(of: #/<th scope="row" class="column-id"><a href="[^"]+" title="([^"]+)"/#).map { String($0.1) }
    }

    @Test func listsTellWhatIsWrong() async throws {
        try await TestSite.with { site, client in
            try await site.pool.query("select perdure.start_workflow('Alone', 'alone', 'empty')")
            let all = try await client.get(Self.list).text
            for chip in ["Retrying", "Code fails", "No worker"] {
                #expect(all.contains("\(chip) <span class=\"number\">1</span>"), "\(chip)")
            }
            #expect(!all.contains("Paused"))
            #expect(
                all.contains("withdraw: HTTP 500 from the account API")
                    || all.contains("withdraw: connection reset by peer"))
            #expect(all.contains("title=\"failed attempts\">✕1</b>"))
            #expect(all.contains("audit runs"))
            #expect(Self.ids(try await client.get("\(Self.list)?condition=Retrying").text) == ["transfer-waiting"])
            #expect(Self.ids(try await client.get("\(Self.list)?condition=NoWorker").text) == ["alone"])
            #expect(Self.ids(try await client.get("\(Self.list)?condition=CodeFails").text).count == 1)
            #expect(try await client.get("\(Self.list)?condition=Broken").status == .badRequest)
            // What fails of a closed run stands there, too.
            #expect(try await client.get("\(Self.list)?status=Failed").text.contains(">insufficient funds</span>"))
        }
    }

    @Test func anAttributeNamedConditionDoesNotDisturbTheChips() async throws {
        try await TestSite.with { site, client in
            try await site.pool.query("select perdure.add_search_attribute('Condition', 'Keyword')")
            #expect(Self.ids(try await client.get("\(Self.list)?condition=Retrying").text) == ["transfer-waiting"])
            #expect(Self.ids(try await client.get("\(Self.list)?query=Condition%3D'Retrying'").text).isEmpty)
        }
    }

    @Test func isSortedByWhatAnIndexServes() async throws {
        try await TestSite.with { _, client in
            let newest = Self.ids(try await client.get("\(Self.list)?query=transfer-").text)
            #expect(newest == ["transfer-waiting", "transfer-crashed", "transfer-failed", "transfer-done"])
            let page = try await client.get("\(Self.list)?query=transfer-&sort=start-up&column=close&column=start").text
            #expect(Self.ids(page) == newest.reversed())
            #expect(page.contains("aria-sort=\"ascending\"") && page.contains("sort=close"))
            #expect(
                Self.ids(try await client.get("\(Self.list)?query=transfer-&sort=close").text)
                    == ["transfer-crashed", "transfer-failed", "transfer-done"])
            #expect(
                Self.ids(try await client.get("\(Self.list)?query=transfer-&sort=close-up").text)
                    == ["transfer-done", "transfer-failed", "transfer-crashed"])
            // What the text says goes first.
            let said = try await client.get(
                "\(Self.list)?sort=close&query=" + "WorkflowType = 'Transfer' ORDER BY StartTime".escapedForAddress
            ).text
            #expect(Self.ids(said).first == "transfer-done" || Self.ids(said).first == "transfer-failed")
            #expect(!said.contains("aria-sort"))
            #expect(try await client.get("\(Self.list)?sort=type").status == .badRequest)
        }
    }

    @Test func sortedPagesFollowEachOther() async throws {
        try await TestSite.with { site, client in
            try await site.pool.query(
                "select perdure.start_workflow('Many', 'many-' || n, 'empty') from generate_series(1, 120) n")
            var seen: [String] = []
            var address: String? = "\(Self.list)?query=many-&sort=start-up"
            while let next = address {
                let page = try await client.get(next).text
                seen += Self.ids(page)
                address = page.firstMatch(of: #/href="([^"]+)" rel="next"/#).map {
                    String($0.1).replacing("&amp;", with: "&")
                }
                try #require(seen.count <= 120)
            }
            #expect(Set(seen).count == 120)
        }
    }

    @Test func keepsViewsForAll() async throws {
        try await TestSite.with { site, client in
            let views = "/namespaces/default/views"
            #expect(try await client.get(Self.list).text.contains("Anything that fails"))
            let saved = try await client.post(
                views, "name=Fails+%3Cb%3E&address=" + "status=Failed&after={}&evil=1&column=id".escapedForAddress)
            #expect(saved.headers[.location] == "\(Self.list)?status=Failed&column=id")
            let page = try await client.get(Self.list).text
            #expect(
                page.contains(
                    "href=\"\(Self.list)?status=Failed&amp;column=id\" "
                        + "title=\"Saved by perdure_test_pages\">Fails &lt;b&gt;</a>"
                ))
            #expect(
                try await client.post(views, "name=x&address=", origin: "https://evil.example").status == .forbidden)
            #expect(try await client.post(views, "address=").status == .badRequest)
            #expect(try await client.post("/namespaces/nowhere/views", "name=x").status == .notFound)
            _ = try await client.post(views, "name=Fails+%3Cb%3E&action=remove")
            #expect(try await !client.get(Self.list).text.contains("Fails &lt;b&gt;"))
        }
    }

    @Test func aRunBeginsWithItsVerdict() async throws {
        try await TestSite.with { site, client in
            let path = try await client.run("transfer-waiting")
            let waiting = try await client.get(path).text
            #expect(waiting.contains("Waits for attempt 2 of withdraw in <span data-until="))
            #expect(waiting.contains("All runs with this cause"))
            #expect(waiting.contains("<form action=\"\(path)/actions/retry\" method=\"post\">"))
            // First the verdict, then the timeline, then what went in and came out.
            let places = ["id=\"verdict\"", "id=\"timeline\"", "id=\"ends\"", "id=\"history\""].map {
                waiting.range(of: $0)?.lowerBound
            }
            #expect(
                places.compactMap(\.self).count == 4 && places.compactMap(\.self) == places.compactMap(\.self).sorted())

            #expect(
                try await client.post("\(path)/actions/retry", "", origin: "https://evil.example").status == .forbidden)
            let retried = try await client.post("\(path)/actions/retry", "")
            #expect(retried.headers[.location] == "\(path)?done=retry")
            let now = try await client.get("\(path)?done=retry").text
            #expect(now.contains("is tried now") && now.contains("Attempt 2 of withdraw waits for a worker"))
            #expect(!now.contains("actions/retry\" method"))
            #expect(try await client.post("\(path)/actions/retry", "").status == .conflict)

            #expect(try await client.get(try await client.run("transfer-done")).text.contains("Completed after 8 s"))
            #expect(
                try await client.get(try await client.run("transfer-failed")).text.contains(
                    "Failed after 200 ms: insufficient funds"))
            let stuck = try await client.get(try await client.run(Self.hostile)).text
            #expect(stuck.contains("Its code fails since build-7f3a: RangeError at Transfer.swift:42"))
            try await site.pool.query("select perdure.start_workflow('Alone', 'alone', 'empty')")
            #expect(try await client.get(try await client.run("alone")).text.contains("Nobody polls the queue empty"))
        }
    }

    @Test func repeatedFailuresAreOneLine() throws {
        func attempt(_ number: Int, _ failure: JSON, lost: Bool = false) -> FailedAttempt? {
            let time = "2026-01-31T09:00:0\(number % 10)Z"
            return FailedAttempt([
                "attempt": .number("\(number)"), "scheduled_event_id": 5, "scheduled_time": .string(time),
                "started_time": .string(time), "ended_time": .string(time), "worker_lost": .bool(lost),
                "failure": failure,
            ])
        }
        let server: (Int) -> JSON = { ["message": "HTTP 500 of request \(4711 + $0)", "applicationFailureInfo": [:]] }
        let timeout: JSON = ["message": "late", "timeoutFailureInfo": ["timeoutType": "StartToClose"]]
        let attempts =
            (1...10).compactMap { attempt($0, server($0)) }
            + [attempt(11, timeout), attempt(12, timeout), attempt(13, [:], lost: true)].compactMap(\.self)
        let repeats = try #require(Repeats(attempts))
        #expect(repeats.text == "HTTP 500 of request … × 10, time-out × 2, worker lost")
        #expect(Repeats([]) == nil)
    }

    @Test func pagesSayTheSameInPsqlAndAsCommand() async throws {
        try await TestSite.with { site, client in
            func ways(_ address: String) async throws -> [String] {
                try await client.get(address).text.matches(
                    of: #/class="copy" data-copy="([^"]+)" aria-label="Copy the (?:statement|command)"/#
                ).map {
                    String($0.1).replacing("&#39;", with: "'").replacing("&quot;", with: "\"").replacing(
                        "&lt;", with: "<"
                    )
                    .replacing("&gt;", with: ">").replacing("&amp;", with: "&")
                }
            }
            let run = try await client.run(Self.hostile)
            for address in [
                "/namespaces/default/attention", "\(Self.list)?query=transfer-&status=Failed", run,
                "/namespaces/default/queues", "/namespaces/default/workers", "\(run)/actions/retry",
                "\(run)/actions/signal",
            ] {
                let found = try await ways(address)
                #expect(!found.isEmpty, "\(address)")
                // What is copied can be run.
                for statement in found.prefix(1).flatMap({ $0.split(separator: ";") })
                where !statement.allSatisfy(\.isWhitespace) {
                    try await site.pool.query(PostgresQuery(String(statement)))
                }
            }
            let command = try #require(try await ways(run).last)
            #expect(
                command.hasPrefix("perdure workflow describe '--workflow-id=stuck <script>")
                    && command.contains("'\\''"))
        }
    }
}
