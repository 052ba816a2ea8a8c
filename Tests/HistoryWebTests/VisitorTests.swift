import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Postgres
import TestSupport
import Testing

@testable import HistoryWeb
@testable import WebCommon

@Suite struct VisitorTests {
    private static let header = HTTPField.Name("X-Forwarded-User")!
    private static let known = VisitorSettings(userHeader: header)

    private static func post(
        _ address: String, _ form: String, as names: [String], to client: any TestClientProtocol
    ) async throws -> TestResponse {
        var headers: HTTPFields = [
            .contentType: "application/x-www-form-urlencoded", .accept: "text/html",
            HTTPField.Name("Origin")!: "http://localhost",
        ]
        for name in names { headers.append(HTTPField(name: header, value: name)) }
        return try await client.executeRequest(
            uri: address, method: .post, headers: headers, body: ByteBuffer(string: form))
    }

    /// What the events of a kind say of who did it.
    private static func identities(_ type: String, _ workflow: String, _ site: TestSite) async throws -> [String?] {
        try await site.pool.query(
            """
            select attributes ->> 'identity' from perdure.history_events
            where event_type = \(type) and workflow_id = \(workflow) order by event_time, event_id
            """
        ).map { try $0.decode(at: 0) }
    }

    @Test func writesDownWhoDidWhat() async throws {
        try await TestSite.with(visitors: Self.known) { site, client in
            let start = "/namespaces/default/start"
            #expect(
                try await Self.post(start, "id=named&type=T&queue=q", as: ["Ada Lovelace"], to: client).status
                    == .seeOther)
            let run = try await client.run("named")
            for (action, form) in [("signal", "name=go"), ("cancel", "reason=a"), ("terminate", "reason=b")] {
                let done = try await Self.post("\(run)/actions/\(action)", form, as: ["ada"], to: client)
                #expect(done.status == .seeOther)
            }
            #expect(try await Self.identities("WorkflowExecutionStarted", "named", site) == ["Ada Lovelace"])
            for type in ["Signaled", "CancelRequested", "Terminated"] {
                #expect(try await Self.identities("WorkflowExecution\(type)", "named", site) == ["ada"])
            }
            // A view, a batch and a reset.
            _ = try await Self.post(
                "/namespaces/default/views", "name=V&address=status=Failed", as: ["ada"], to: client)
            let views = try await site.pool.query("select saved_by from perdure.list_views where name = 'V'")
            #expect(try views.map { try $0.decode(String.self, at: 0) } == ["ada"])
            let batch = "action=signal&name=all&filter=\("WorkflowId = 'audit-running'".escapedForAddress)"
            #expect(
                try await Self.post("/namespaces/default/batch", batch, as: ["ada"], to: client).status == .seeOther)
            #expect(try await Self.identities("WorkflowExecutionSignaled", "audit-running", site).last == "ada")
            let done = try await client.run("transfer-done")
            #expect(try await Self.post("\(done)/reset/4", "reason=r", as: ["ada"], to: client).status == .seeOther)
            let resets = try await site.pool.query(
                """
                select e.reset_from -> 0 ->> 'identity' from perdure.executions e
                where e.workflow_id = 'transfer-done' and e.reset_from is not null
                """)
            #expect(try resets.map { try $0.decode(String.self, at: 0) } == ["ada"])
        }
    }

    @Test func isTheLoginWhereNobodyIsNamed() async throws {
        try await TestSite.with(visitors: Self.known) { site, client in
            _ = try await client.post("/namespaces/default/start", "id=nobody&type=T&queue=q")
            let run = try await client.run("nobody")
            _ = try await Self.post("\(run)/actions/terminate", "", as: [" "], to: client)
            let login = "perdure_test_pages"
            #expect(try await Self.identities("WorkflowExecutionStarted", "nobody", site) == [login])
            #expect(try await Self.identities("WorkflowExecutionTerminated", "nobody", site) == [login])
        }
        // A header that nobody has asked for names nobody.
        try await TestSite.with { site, client in
            _ = try await Self.post(
                "/namespaces/default/start", "id=forged&type=T&queue=q", as: ["the boss"], to: client)
            #expect(
                try await Self.identities("WorkflowExecutionStarted", "forged", site)
                    == ["perdure_test_pages"])
        }
    }

    @Test(arguments: [
        [String(repeating: "a", count: 201)], ["a\u{85}b"], ["a\u{202E}b"], ["ada", "the boss"],
    ])
    func refusesWhatCannotBeAName(names: [String]) async throws {
        try await TestSite.with(visitors: Self.known) { site, client in
            let answer = try await Self.post(
                "/namespaces/default/start", "id=refused&type=T&queue=q", as: names, to: client)
            #expect(answer.status == .badRequest)
            #expect(answer.text.contains("X-Forwarded-User"))
            #expect(try await Self.identities("WorkflowExecutionStarted", "refused", site).isEmpty)
            // Who only looks is let.
            let page = try await client.get(
                "/namespaces/default/workflows", headers: [.accept: "text/html", Self.header: names[0]])
            #expect(page.status == .ok)
        }
    }

    @Test func showsAndChangesNothingAsAReader() async throws {
        let settings = VisitorSettings(isReadOnly: true)
        try await TestSite.with(visitors: settings, role: "perdure_reader") { site, client in
            let done = try await client.run("transfer-done")
            let waiting = try await client.run("transfer-waiting")
            let pages = [
                "/namespaces/default/attention", "/namespaces/default/workflows", done, waiting,
                try await client.run("transfer-failed"), "\(done)/events/5?part=1", "\(done)/source",
                "\(done)/timeline.json", "\(done)/history.json", "/namespaces/default/queues",
                "/namespaces/default/workers", "/namespaces/default/health", "/namespaces/default/open",
                "/namespaces/default/compare?run=transfer-done&run=transfer-failed",
                "/namespaces/default/filter-fields.json",
            ]
            for path in pages {
                let page = try await client.get(path)
                #expect(page.status == .ok, "\(path): \(page.text)")
                // What is posted to `/time-zone` changes the visitor's own cookie.
                let forms = page.text.matches(of: #/<form action="([^"]+)" method="post"/#).map(\.1)
                #expect(forms.allSatisfy { $0 == "/time-zone" }, "\(path): \(forms)")
                #expect(!page.text.contains("/actions/"), "\(path)")
                for label in ["Start a workflow", "Retry now", "Reset to here", ">Terminate<", "Save for all"] {
                    #expect(!page.text.contains(label), "\(path) has \(label)")
                }
            }
            for path in [
                "/namespaces/default/start", "\(waiting)/actions/terminate", "\(done)/reset/4", "\(done)/queries",
                "/namespaces/default/batch?action=retry&all=1",
            ] {
                for answer in try await [client.get(path), client.post(path, "id=x&type=T&queue=q")] {
                    #expect(answer.status == .forbidden, "\(path)")
                    #expect(answer.text.contains("This server only shows") && answer.text.contains("read-only"))
                }
            }
            #expect(try await client.post("/namespaces/default/views", "name=a&address=").status == .forbidden)
        }
    }

    @Test func readsItsSettings() throws {
        let settings = try VisitorSettings(environment: [
            "PERDURE_WEB_USER_HEADER": "X-Forwarded-User", "PERDURE_WEB_READ_ONLY": "1",
        ])
        #expect(settings.userHeader == Self.header && settings.isReadOnly)
        let none = try VisitorSettings(environment: ["PERDURE_WEB_USER_HEADER": ""])
        #expect(none.userHeader == nil && !none.isReadOnly)
        for wrong in [["PERDURE_WEB_USER_HEADER": "a b"], ["PERDURE_WEB_READ_ONLY": "yes"]] {
            #expect(throws: StartupFailure.self) { try VisitorSettings(environment: wrong) }
        }
    }
}
