import Foundation
import PerdureEngine
import Postgres
import Synchronization

/// Calls that read histories, and wait for what is to come.
struct HistoryCalls: Sendable {
    /// A client waits for longer itself.
    private static let longestWait = Duration.seconds(20)

    let database: FrontendDatabase
    let waits: Waits

    var table: [String: Call] {
        ["GetWorkflowExecutionHistory": history, "GetWorkflowExecutionHistoryReverse": reverse]
    }

    private func history(_ request: JSON) async throws -> JSON {
        let namespace = request.text("namespace")
        let (workflowID, named) = try request.execution("execution")
        let shard = try await database.shard(of: workflowID, in: namespace)
        let given = try request.given("nextPageToken").map { try HistoryPage(token: $0) }
        let waits = request.flag("waitNewEvent")
        do {
            if request.text("historyEventFilterType") == "CloseEvent" {
                return try await closeEvent(shard, namespace, workflowID, given?.runID ?? named, waits: waits)
            }
            let page: HistoryPage
            if let given {
                page = given
            } else {
                page = HistoryPage(runID: try await run(workflowID, named, namespace), next: 1)
            }
            return try await events(
                shard, namespace, workflowID, page, request.integer("maximumPageSize"), waits: waits)
        } catch let error as EngineError where error.code == .workflowNotFound {
            throw CallError.noWorkflow(workflowID, named)
        }
    }

    private func run(_ workflowID: String, _ named: UUID?, _ namespace: String) async throws -> UUID {
        do {
            return try await database.runID(of: workflowID, named, in: namespace).run
        } catch let error as EngineError where error.code == .workflowNotFound {
            throw CallError.noWorkflow(workflowID, named)
        }
    }

    /// The last event of a run that has closed: how a client waits for a result.
    private func closeEvent(
        _ shard: Int16, _ namespace: String, _ workflowID: String, _ named: UUID?, waits isWaiting: Bool
    ) async throws -> JSON {
        var events: [JSON]?
        var runID = named
        func look() async throws -> Bool {
            let row = try await database.row(
                """
                select run_id, history_length, history from perdure.close_event(\(shard), \(namespace), \(workflowID), \
                \(runID))
                """)
            runID = try row.decode("run_id")
            if let length = try row.decode(Int64?.self, "history_length") {
                events = HistoryEvents.events(in: try row.decode(JSON.self, "history"), from: length)
            }
            return events != nil
        }
        // Without a run's id, it is the run that is current now.
        if runID == nil || !isWaiting { _ = try await look() }
        if events == nil, isWaiting, let runID {
            _ = try await waits.wait(for: runID, .end, shard, in: namespace, atMost: Self.longestWait) {
                try await look()
            }
        }
        if let events { return ["history": ["events": .array(events.map(\.asContinued))]] }
        guard isWaiting, let runID else { return ["history": ["events": []]] }
        return ["history": ["events": []], "nextPageToken": HistoryPage(runID: runID, next: 1).token]
    }

    private func events(
        _ shard: Int16, _ namespace: String, _ workflowID: String, _ page: HistoryPage, _ size: Int,
        waits isWaiting: Bool
    ) async throws -> JSON {
        var events: [JSON] = []
        var isOpen = true
        let limit = size > 0 ? min(size, 1000) : 1000
        func look() async throws -> Bool {
            // The status first: what is written later is not missed.
            isOpen = try await database.runID(of: workflowID, page.runID, in: namespace).isOpen
            let batches: JSON = try await database.row(
                "select perdure.get_history(\(shard), \(page.runID), \(page.next), \(Int32(limit)))"
            ).decode(at: 0)
            events = HistoryEvents.events(in: batches, from: page.next)
            return !events.isEmpty || !isOpen
        }
        if isWaiting {
            _ = try await waits.wait(
                for: page.runID, .event(page.next), shard, in: namespace, atMost: Self.longestWait, look)
        } else {
            _ = try await look()
        }
        // A page ends with so many events, or with so many bytes, so the number of its events does not tell.
        var isLast = events.isEmpty
        if let read = events.last?.eventID, !(isWaiting && isOpen) {
            isLast = try await read >= length(shard, workflowID, page.runID)
        }
        if isLast, isOpen, !isWaiting {
            // The start of a workflow task that is under way is written with its end, but belongs to the history.
            let pending: JSON? = try await database.row(
                "select perdure.pending_workflow_task_events(\(shard), \(page.runID))"
            ).decode(at: 0)
            if let pending {
                let next = (events.last?.eventID ?? page.next - 1) + 1
                events += HistoryEvents.events(in: pending, from: next)
            }
        }
        if let last = page.last {
            events = events.filter { $0.eventID <= last }
            isLast = isLast || events.last?.eventID ?? last >= last
        }
        var response: JSON = ["history": ["events": .array(events)]]
        if isWaiting && isOpen || !isLast {
            let next = (events.last?.eventID ?? page.next - 1) + 1
            response["nextPageToken"] = HistoryPage(runID: page.runID, next: next, last: page.last).token
        }
        return response
    }

    /// Throws NOT_FOUND for a run that was deleted since it was looked up.
    private func length(_ shard: Int16, _ workflowID: String, _ runID: UUID) async throws -> Int64 {
        let rows = try await database.rows(
            "select history_length from perdure.workflows where shard = \(shard) and run_id = \(runID)")
        guard let row = rows.first else { throw CallError.noWorkflow(workflowID, runID) }
        return try row.decode(at: 0)
    }

    /// Latest events first.
    private func reverse(_ request: JSON) async throws -> JSON {
        let namespace = request.text("namespace")
        let (workflowID, named) = try request.execution("execution")
        let shard = try await database.shard(of: workflowID, in: namespace)
        let page: HistoryPage
        if let token = request.given("nextPageToken") {
            page = try HistoryPage(token: token)
        } else {
            let runID = try await run(workflowID, named, namespace)
            page = HistoryPage(runID: runID, next: try await length(shard, workflowID, runID))
        }
        let asked = request.integer("maximumPageSize")
        var first = max(1, page.next - Int64(asked > 0 ? min(asked, 1000) : 1000) + 1)
        var events: [JSON] = []
        // get_history reads forward and stops at 4 MiB. The part that holds the latest events is the page.
        var read = first - 1
        while read < page.next {
            let batches: JSON = try await database.row(
                "select perdure.get_history(\(shard), \(page.runID), \(read + 1), \(Int32(1000)))"
            ).decode(at: 0)
            let part = HistoryEvents.events(in: batches, from: read + 1)
            guard let last = part.last else { break }
            (first, events, read) = (read + 1, part, last.eventID)
        }
        events = events.filter { $0.eventID <= page.next }
        var response: JSON = ["history": ["events": .array(events.reversed())]]
        if first > 1 { response["nextPageToken"] = HistoryPage(runID: page.runID, next: first - 1).token }
        return response
    }
}
