import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import PerdureModel
import Postgres
import TestSupport
import Testing
import WebCommon

@testable import HistoryWeb

/// What people and programs write that no page was made for.
@Suite struct OddRunTests {
    /// Whatever stands in a history, by whatever way it came there, the pages show what they can.
    @Test func showsRunsWithOddPayloads() async throws {
        try await TestSite.with { site, client in
            let deep = "(repeat('[', 600) || repeat(']', 600))::jsonb"
            let odd = [
                ("encrypted", #"'[{"encoding": "binary/encrypted", "data": "c2VjcmV0", "key": "1"}]'"#),
                ("binary", #"'[{"encoding": "binary/plain", "data": "AAEC/w=="}]'"#),
                ("undecodable", #"'[{"encoding": "binary/plain", "data": "not base64 at all!"}]'"#),
                ("structured", #"'[{"encoding": "binary/protobuf", "data": {"a": [1, 2]}}]'"#),
                ("no-encoding", #"'[5, null, "x", {"data": 1}, []]'"#),
                ("no-list", #"'{"encoding": 7}'"#), ("null", "'null'"), ("text", #"'"text"'"#),
                ("huge-number", "'[{\"encoding\": \"json/plain\", \"data\": 1e1000}]'"),
                (
                    "long",
                    "jsonb_build_array(jsonb_build_object('encoding', 'json/plain', 'data', repeat('x', 1900000)))"
                ),
                ("deep", "jsonb_build_array(jsonb_build_object('encoding', 'json/plain', 'data', \(deep)))"),
            ]
            for (name, input) in odd {
                _ = try await site.pool.query(
                    """
                    select perdure.start_workflow(workflow_type => 'Odd', workflow_id => \(name), task_queue => 'odd')
                    """)
                // Past every check, as a row of an old version, or of a hand that should not have written.
                _ = try await site.pool.query(
                    """
                    update perdure.history h set events[1] = h.events[1] || jsonb_build_object('given',
                        coalesce(h.events[1] -> 'given', '{}')
                            || jsonb_build_object('input', \(unescaped: input)::jsonb))
                    from perdure.executions e
                    where e.shard = h.shard and e.run_id = h.run_id and e.workflow_id = \(name)
                    """)
            }
            let broken = [
                ("no-object", "to_jsonb(5)"), ("no-attributes", "h.events[1] - 'given'"),
                ("odd-attributes", #"h.events[1] || '{"attributes": [1, "x", null]}'"#),
                ("no-time", #"h.events[1] || '{"eventTime": "yesterday"}'"#),
                ("no-type", "h.events[1] - 'eventType'"),
                ("odd-failure", #"h.events[1] || '{"attributes": {"failure": [{"message": 5}]}}'"#),
                ("odd-ids", #"h.events[1] || '{"attributes": {"scheduledEventId": "x"}}'"#),
            ]
            for (name, event) in broken {
                _ = try await site.pool.query(
                    """
                    select perdure.start_workflow(workflow_type => 'Odd', workflow_id => \(name), task_queue => 'odd')
                    """)
                _ = try await site.pool.query(
                    """
                    update perdure.history h set events[1] = \(unescaped: event)
                    from perdure.executions e
                    where e.shard = h.shard and e.run_id = h.run_id and e.workflow_id = \(name)
                    """)
            }
            let list = try await client.get("/namespaces/default/workflows?query=WorkflowType%3D'Odd'")
            #expect(list.status == .ok)
            for (name, _) in odd + broken {
                #expect(list.text.contains(">\(name)</a>"))
                let path = try await client.run(name)
                for part in [
                    "", "?view=all", "?view=raw", "?text=x", "/events/1", "/events/1?part=event",
                    "/events/1?part=events",
                    "/history.json", "/timeline.json", "/source", "/source?event=1", "/queries", "/actions/signal",
                ] {
                    let response = try await client.get(path + part)
                    let isMissing = response.status == .notFound && part.contains("event")
                    #expect(response.status == .ok || isMissing, "\(name)\(part): \(response.text.suffix(300))")
                }
                let compared = try await client.get("/namespaces/default/compare?run=\(name)&run=transfer-done")
                #expect(compared.status == .ok, "\(name)")
            }
            #expect(try await client.get("\(client.run("deep"))/events/1").text.contains("[[[["))
            #expect(try await client.get("\(client.run("undecodable"))?view=raw").text.contains("not base64 at all!"))
            #expect(try await client.get("\(client.run("long"))?view=all").text.utf8.count < 300_000)
            #expect(try await client.get("\(client.run("long"))/history.json").text.utf8.count > 1_900_000)
            // The others of the history are there.
            #expect(try await client.get("\(client.run("odd-ids"))").text.contains("cannot read this history"))
        }
    }

    /// What a person typed comes back in the form, with what is wrong with it.
    @Test func tellsWhatIsWrongWithWhatWasTyped() async throws {
        try await TestSite.with { _, client in
            let start = "/namespaces/default/start"
            for (input, reason) in [
                (#""\u0000""#, "no text for the character"), (#"{"a\u0000": 1}"#, "no text for the character"),
                ("1e400000", "larger than the database can hold"), ("[1,", "not JSON"), ("{", "not JSON"),
                (String(repeating: "[", count: 300) + String(repeating: "]", count: 300), "nested deeper"),
                (String(repeating: "[", count: 600) + String(repeating: "]", count: 600), "nested deeper"),
                ("\"" + String(repeating: "x", count: 800_000) + "\"", ""), ("NaN", "not JSON"),
            ] {
                let form = "id=my-id&type=MyType&queue=my-queue&input=\(input.escapedForAddress)"
                let response = try await client.post(start, form)
                if reason.isEmpty {
                    #expect([.seeOther, .badRequest, .contentTooLarge].contains(response.status))
                    continue
                }
                #expect([.badRequest, .contentTooLarge].contains(response.status), "\(input.prefix(20))")
                #expect(
                    response.text.contains("role=\"alert\"") && response.text.contains(reason), "\(input.prefix(20))")
                for typed in ["my-id", "MyType", "my-queue"] { #expect(response.text.contains("value=\"\(typed)\"")) }
            }
            let long = String(repeating: "x", count: 5000)
            for form in [
                "id=\(long)&type=T&queue=q", "id=x&type=\(long)&queue=q", "id=x&type=T&queue=\(long)",
                "id=x&type=T&queue=q&attributes=%7B%22unknown%22%3A1%7D",
                "id=x&type=T&queue=q&attributes=%7B%22from_account%22%3A1e400000%7D",
                "id=x&type=T&queue=q&attributes=%5B%5D",
                "type=T&queue=q",
            ] {
                let response = try await client.post(start, form)
                #expect(response.status == .badRequest || response.status == .contentTooLarge, "\(form.prefix(60))")
                #expect(response.text.contains("role=\"alert\""), "\(form.prefix(60))")
            }
            let path = try await client.run("transfer-waiting")
            for (input, status) in [("%22%5Cu0000%22", 400), ("1e400000", 400), ("%7B", 400)] {
                for (address, field) in [("actions/signal", "name"), ("queries", "type")] {
                    let response = try await client.post("\(path)/\(address)", "\(field)=approve&input=\(input)")
                    #expect(response.status.code == status, "\(address) \(input)")
                    #expect(response.text.contains("role=\"alert\"") && response.text.contains("value=\"approve\""))
                }
            }
            let batch = try await client.post(
                "/namespaces/default/batch",
                "action=signal&name=approve&input=%22%5Cu0000%22&filter=WorkflowId%20%3D%20'transfer-waiting'")
            #expect(batch.status == .badRequest && batch.text.contains("value=\"approve\""))
            #expect(batch.text.contains("no text for the character"))

            let list = try await client.get(
                "/namespaces/default/workflows?query=HistoryLength%20%3E%2099999999999999999999")
            #expect(list.status == .badRequest)
            #expect(list.text.contains("<mark>99999999999999999999</mark>"))
            #expect(list.text.contains("value=\"HistoryLength &gt; 99999999999999999999\""))
        }
    }

    @Test func refusesAddressesThatSayNothing() async throws {
        try await TestSite.with { _, client in
            let path = try await client.run("transfer-done")
            for address in [
                "\(path)?page=x", "\(path)?page=0", "\(path)?page=99999999999999999999", "\(path)?event=x",
                "\(path)?kind=x",
                "\(path)?order=x", "/namespaces/default/workflows?after=x",
                "/namespaces/default/workflows?after=%7B%7D",
                "/namespaces/default/workflows?after=%7B%22start_time%22%3A"
                    + "%22999999-01-01T00%3A00%3A00Z%22%2C%22run_id%22%3A%22x%22%7D",
                "/namespaces/default/workflows?after=%5B%5D", "/namespaces/default/workflows?since=x",
                "/namespaces/default/workflows?query=%FF", "/namespaces/default/workflows?query=%00",
                "/namespaces/default/start?workflow=transfer-done&run=x", "/namespaces/default/batch?action=x",
                "/namespaces/default/batch?action=cancel&filter=x&done=9223372036854775807&passed=9223372036854775807",
                "/namespaces/default/batch?action=cancel&filter=RunId%20%3D%20'x'&total=-1",
                "/namespaces/default/batch?action=cancel&run=x", "/changes", "/changes?view=x",
                "/changes?view=%2Fnamespaces%2Fdefault%2Fworkflows%2Fa%2Fb%2Fchanges",
                "/namespaces/default/workflow-changes?query=nonsense%20%3D",
                "/namespaces/default/workflow-changes?status=x",
            ] {
                let response = try await client.get(address)
                #expect(response.status == .badRequest, "\(address): \(response.status)")
            }
            for address in [
                "\(path)?page=9223372036854775807", "\(path)?event=9223372036854775807", "\(path)/events/1?part=x",
            ] {
                #expect(try await client.get(address).status == .ok, "\(address)")
            }
            #expect(try await client.get("\(path)/events/9223372036854775808").status == .notFound)
        }
    }

    @Test(arguments: [".", "..", "~..", "a/b", "%2e%2e", "?", "#", "a\nb", " ", "\\", "...", "a/../b", "ü"])
    func opensEveryID(id: String) async throws {
        try await TestSite.with { _, client in
            let started = try await client.post(
                "/namespaces/default/start", "id=\(id.escapedForAddress)&type=T&queue=q")
            let path = try #require(started.headers[.location])
            #expect(!path.split(separator: "/").contains { ["..", "."].contains($0.replacing("%2E", with: ".")) })
            let page = try await client.get(path)
            #expect(page.status == .ok)
            let list = try await client.get("/namespaces/default/workflows?query=WorkflowType%3D'T'").text
            #expect(list.contains("href=\"\(path)\""))
            #expect(try await client.get("\(path)/events/1").status == .ok)
            #expect(
                try await client.get("/namespaces/default/workflows/\(id.segmentOfAddress)").headers[.location] == path)
        }
    }

    /// The same checks, in the same words, as `perdure doctor`.
    @Test func saysOfTheDatabaseWhatTheDoctorSays() async throws {
        try await TestSite.with { site, client in
            let checks = try await site.pool.query("select name, message from perdure.health_checks()").map { row in
                (try row.decode(String.self, at: 0), try row.decode(String.self, at: 1))
            }
            #expect(checks.contains { $0.0 == "Invariants" })
            let page = try await client.get("/namespaces/default/health").text
            for (name, message) in checks {
                #expect(page.contains(">\(name)</th>"))
                // The others differ from one moment, or one role, to the next.
                guard ["PostgreSQL", "Vacuum", "Settings"].contains(name) else { continue }
                // Numbers grow between the two.
                let begin = message.prefix { !$0.isNumber && $0 != "'" && $0 != "\"" && $0 != "&" }
                #expect(page.contains(begin), "\(message)")
            }
            // What is wrong comes first, and a rule that is broken is.
            _ = try await site.pool.query(
                "update perdure.history set first_event_id = first_event_id + 1000 where first_event_id = 1")
            // The page keeps the checks for a moment, and looks at the rules for two seconds at the most.
            var broken = ""
            try await eventually("the health page says that a rule is broken") {
                broken = try await client.get("/namespaces/default/health").text
                return broken.components(separatedBy: "<tr>").contains {
                    $0.contains(">Invariants</th>") && $0.contains("</svg>Wrong</span>")
                }
            }
            let rows = broken.components(separatedBy: "<tr>").compactMap { row in
                ["Wrong", "Warning", "Well"].first { row.contains("</svg>\($0)</span>") }
            }
            #expect(
                rows.first == "Wrong"
                    && rows
                        == rows.sorted {
                            ["Wrong", "Warning", "Well"].firstIndex(of: $0)! < ["Wrong", "Warning", "Well"].firstIndex(
                                of: $1)!
                        }
            )
        }
    }
}
