import HTTPTypes
import HummingbirdTesting
import Testing
import WebCommon

@testable import HistoryWeb

@Suite struct ActivityActionPageTests {
    @Test func pausesUnpausesAndResets() async throws {
        try await TestSite.with { site, client in
            let path = try await client.run("transfer-waiting")
            let event = try await site.pool.query(
                "select scheduled_event_id::int from perdure.pending_activities where workflow_id = 'transfer-waiting'"
            )[0].decode(Int.self, at: 0)
            let actions = "\(path)/events/\(event)/actions"
            func state() async throws -> String {
                try await site.pool.query(
                    """
                    select concat_ws(' ', state, attempt, paused_by, pause_reason) from perdure.pending_activities
                    where workflow_id = 'transfer-waiting'
                    """)[0].decode(at: 0)
            }
            for page in [path, "\(path)/events/\(event)"] {
                let text = try await client.get(page).text
                #expect(text.contains("href=\"\(actions)/pause\"") && text.contains("href=\"\(actions)/reset\""))
                #expect(!text.contains("\(actions)/unpause"))
            }
            let form = try await client.get("\(actions)/pause").text
            #expect(form.contains("Pause withdraw") && form.contains("does not time out meanwhile"))
            #expect(form.contains("select perdure.pause_activity(workflow_id =&gt; &#39;transfer-waiting&#39;"))
            #expect(
                try await client.post("\(actions)/pause", "reason=x", origin: "https://evil.example").status
                    == .forbidden)
            #expect(try await client.post("\(actions)/pause", "reason=%00").status == .badRequest)
            #expect(try await client.get("\(actions)/explode").status == .notFound)
            #expect(try await state() == "Scheduled 2")

            let paused = try await client.post("\(actions)/pause", "reason=%3Cb%3Estrike")
            #expect(paused.headers[.location] == "\(path)?done=activity-pause")
            #expect(try await state() == "Paused 2 perdure_test_pages <b>strike")
            let page = try await client.get("\(path)?done=activity-pause").text
            #expect(page.contains("The activity is paused."))
            #expect(page.contains("by perdure_test_pages: &lt;b&gt;strike"))
            #expect(page.contains("href=\"\(actions)/unpause\"") && !page.contains("href=\"\(actions)/pause\""))
            let step = try await client.get("\(path)/events/\(event)").text
            #expect(step.contains("Paused before attempt 2") && step.contains("class=\"badge paused\""))
            // A form that is sent twice changes nothing more.
            #expect(try await client.post("\(actions)/pause", "reason=again").status == .seeOther)
            #expect(try await state() == "Paused 2 perdure_test_pages <b>strike")

            #expect(try await client.post("\(actions)/unpause", "").status == .seeOther)
            #expect(try await state() == "Scheduled 2")
            #expect(try await client.post("\(actions)/reset", "").status == .seeOther)
            #expect(try await state() == "Scheduled 1")

            // What has ended, and what is no activity.
            for address in ["\(path)/events/1/actions/pause", "\(path)/events/x/actions/pause"] {
                #expect(try await client.get(address).status == .conflict)
            }
            #expect(try await client.post("\(path)/actions/terminate", "").status == .seeOther)
            let late = try await client.post("\(actions)/pause", "")
            #expect(late.status == .conflict && late.text.contains("has ended"))
        }
    }

    @Test func aReaderChangesNothing() async throws {
        try await TestSite.with(visitors: VisitorSettings(isReadOnly: true), role: "perdure_reader") { _, client in
            let path = try await client.run("transfer-waiting")
            let page = try await client.get(path).text
            #expect(page.contains("Pending activities") && !page.contains("/actions/pause"))
            #expect(try await client.get("\(path)/events/5/actions/pause").status == .forbidden)
            #expect(try await client.post("\(path)/events/5/actions/pause", "").status == .forbidden)
        }
    }
}
