import Foundation
import PerdureEngine

/// Calls by which activities are completed and kept alive, by the token of their task or by their id.
struct ActivityTaskCalls: Sendable {
    let database: FrontendDatabase
    let reports: Sender
    let agents: PollAgents
    let claims: TaskClaims

    var table: [String: Call] {
        [
            "RespondActivityTaskCompleted": { try await complete($0, try TaskToken($0)) },
            "RespondActivityTaskCompletedById": { try await complete($0, try await find($0)) },
            "RespondActivityTaskFailed": { try await fail($0, try TaskToken($0)) },
            "RespondActivityTaskFailedById": { try await fail($0, try await find($0)) },
            "RespondActivityTaskCanceled": { try await cancel($0, try TaskToken($0)) },
            "RespondActivityTaskCanceledById": { try await cancel($0, try await find($0)) },
            "RecordActivityTaskHeartbeat": { try await heartbeat($0, try TaskToken($0)) },
            "RecordActivityTaskHeartbeatById": { try await heartbeat($0, try await find($0)) },
        ]
    }

    private func complete(_ request: JSON, _ token: TaskToken) async throws -> JSON {
        try await finish(token, request, ["outcome": "completed", "result": request["result"] ?? []])
    }

    private func fail(_ request: JSON, _ token: TaskToken) async throws -> JSON {
        if let details = request["lastHeartbeatDetails"] { _ = try await heartbeat(["details": details], token) }
        return try await finish(token, request, ["outcome": "failed", "failure": request["failure"] ?? [:]])
    }

    private func cancel(_ request: JSON, _ token: TaskToken) async throws -> JSON {
        let rows = try await database.rows(
            """
            select a.cancel_requested from perdure.pending_activities a where a.shard = \(token.shard) \
            and a.run_id = \(token.runID) and a.scheduled_event_id = \(token.scheduledEventID)
            """)
        if let row = rows.first, try !row.decode(Bool.self, at: 0) {
            throw CallError.invalidArgument(
                "unable to mark activity as canceled without activity being request canceled first")
        }
        return try await finish(token, request, ["outcome": "canceled", "details": request["details"] ?? .null])
    }

    private func finish(_ token: TaskToken, _ request: JSON, _ end: JSON) async throws -> JSON {
        defer { claims.workers.release(token) }
        var report = named(token, end)
        // As in Temporal, an end by id names no build.
        report["buildId"] = .string(request["workerVersion"]?.given("buildId") ?? "")
        // The worker that ran it is the one that has the run cached, most of the time: then the next task goes to a
        // poll of its own.
        let poll = agents.reserve(token.queue, in: token.namespace, for: token.worker)
        if let poll { report["claim"] = poll.json }
        let answer: JSON
        do {
            answer = try await send("result", report, token)
        } catch {
            poll?.settle(nil)
            throw error
        }
        if let poll { poll.settle(claims.workflowTask(in: answer, for: poll, token.shard)) }
        if let queue = answer.given("taskQueue") { agents.nudge(queue, .workflow, in: token.namespace) }
        guard answer.text("outcome") != "lost" else { throw Self.lost }
        return [:]
    }

    private func heartbeat(_ request: JSON, _ token: TaskToken) async throws -> JSON {
        let report = named(token, .compact(["details": request["details"]]))
        while true {
            let answer = try await send("heartbeat", report, token)
            switch answer.text("outcome") {
            case "kept":
                return [
                    "cancelRequested": .bool(answer.flag("cancelRequested")),
                    "activityPaused": .bool(answer.flag("activityPaused")),
                    "activityReset": .bool(answer.flag("activityReset")),
                ]
            // Somebody had the activity at that moment.
            case "again": try await Task.sleep(for: .milliseconds(10))
            default: throw Self.lost
            }
        }
    }

    private func send(_ kind: String, _ item: JSON, _ token: TaskToken) async throws -> JSON {
        do {
            return try await reports.send(
                ["worker": .string(token.worker.uuidString), "kind": .string(kind), "item": item], to: token.shard)
        } catch let error as EngineError where error.code == .leaseLost {
            return ["outcome": "lost"]
        }
    }

    private static let lost = CallError.notFound(
        "invalid activityID or activity already timed out or invoking workflow is completed")

    private func named(_ token: TaskToken, _ end: JSON) -> JSON {
        var end = end
        end["runId"] = .string(token.runID.uuidString)
        end["scheduledEventId"] = .number(token.scheduledEventID)
        end["attempt"] = .number(token.attempt)
        return end
    }

    /// The task of an activity that is named by its id.
    private func find(_ request: JSON) async throws -> TaskToken {
        let namespace = request.text("namespace")
        guard let workflowID = request.given("workflowId") else {
            throw CallError.invalidArgument("WorkflowId is not set on request.")
        }
        let shard = try await database.shard(of: workflowID, in: namespace)
        let named = try request.runID("runId")
        do {
            guard try await database.runID(of: workflowID, named, in: namespace).isOpen else {
                throw CallError.notFound("workflow execution already completed")
            }
        } catch let error as EngineError where error.code == .workflowNotFound {
            throw CallError.noWorkflow(workflowID, named)
        }
        let rows = try await database.rows(
            """
            select * from perdure.find_activity_task(\(shard), \(namespace), \(workflowID), \(named), \
            \(request.text("activityId")))
            """)
        guard let row = rows.first, let worker = try row.decode(UUID?.self, "worker") else {
            throw CallError.notFound(
                "cannot find pending activity with ActivityID \(request.text("activityId")), "
                    + "check workflow execution history for more details")
        }
        return TaskToken(
            namespace: namespace, shard: shard, worker: worker, queue: "", workflowID: workflowID,
            runID: try row.decode("run_id"), scheduledEventID: try row.decode("scheduled_event_id"),
            attempt: try row.decode("attempt"))
    }
}
