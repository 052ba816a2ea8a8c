import Foundation
import PerdureEngine
import Postgres

/// Calls of clients that send updates, and wait for what becomes of them.
struct UpdateCalls: Sendable {
    let database: FrontendDatabase
    let notices: Notices
    let starts: WorkflowCalls

    /// A client asks again after that.
    private static let longestWait = Duration.seconds(20)

    var table: [String: Call] {
        [
            "UpdateWorkflowExecution": update, "PollWorkflowExecutionUpdate": poll,
            "ExecuteMultiOperation": executeMultiOperation,
        ]
    }

    /// How far an update has come, in order.
    private enum Stage: String, Comparable {
        case unspecified = "Unspecified"
        case admitted = "Admitted"
        case accepted = "Accepted"
        case completed = "Completed"

        private var place: Int {
            switch self {
            case .unspecified: 0
            case .admitted: 1
            case .accepted: 2
            case .completed: 3
            }
        }

        static func < (left: Self, right: Self) -> Bool { left.place < right.place }
    }

    /// An update of a run.
    private struct Sent {
        let namespace: String
        let shard: Int16
        let workflowID: String
        let runID: UUID
        let updateID: String
    }

    /// What a client sends, as the functions of the engine take it.
    private struct Request {
        let updateID: String?
        let name: String
        let input: JSON
        let header: JSON?
        let identity: String?

        init(_ json: JSON) throws {
            let request = json["request"] ?? [:]
            let input = request["input"] ?? [:]
            guard let name = input.given("name") else {
                throw CallError.invalidArgument("Update name is not set on request.")
            }
            if Stage(rawValue: json["waitPolicy"]?.text("lifecycleStage") ?? "") == .admitted {
                throw CallError(
                    .permissionDenied,
                    "UpdateWorkflowExecution issued asynchronously and waiting on update admitted is not supported.",
                    detail: ("temporal.api.errordetails.v1.PermissionDeniedFailure", [:]))
            }
            self.name = name
            updateID = request["meta"]?.given("updateId")
            identity = request["meta"]?.given("identity")
            self.input = input["args"] ?? []
            header = input.header
        }
    }

    private func update(_ request: JSON) async throws -> JSON {
        let namespace = request.text("namespace")
        let (workflowID, named) = try request.execution("workflowExecution")
        let update = try Request(request)
        let shard = try await database.shard(of: workflowID, in: namespace)
        let first = try request.runID("firstExecutionRunId")
        var updateID = update.updateID
        while true {
            let row = try await starts.found(workflowID, named) {
                try await forgettingUpdates(of: workflowID, named, in: namespace, shard) {
                    try await database.row(
                        """
                        select run_id, update_id from perdure.update_workflow(\(shard), \(namespace), \(workflowID), \
                        \(named), \(updateID), \(update.name), \(update.input), \(update.identity), \(update.header), \
                        \(first))
                        """)
                }
            }
            let sent = Sent(
                namespace: namespace, shard: shard, workflowID: workflowID, runID: try row.decode("run_id"),
                updateID: try row.decode("update_id"))
            updateID = sent.updateID
            do {
                return try await outcome(of: sent, at: try Self.stage(request) ?? .accepted)
            } catch let error as EngineError where error.code == .updateNotFound {
                // It was forgotten, for the run's workflow tasks fail. If they still do, the repeat is refused.
                continue
            } catch is Aborted {
                // A run that goes on as another one hands on what it did not see.
                guard named == nil,
                    try await database.runStatus(of: workflowID, sent.runID, in: namespace) == "ContinuedAsNew"
                else { throw Self.aborted }
            }
        }
    }

    /// When an update is refused because workflow tasks fail, the run forgets those that it has not accepted, as
    /// Temporal's server does: one of them may be why.
    private func forgettingUpdates<Value>(
        of workflowID: String, _ runID: UUID?, in namespace: String, _ shard: Int16, _ body: () async throws -> Value
    ) async throws -> Value {
        do {
            return try await body()
        } catch let error as EngineError where error.code == .workflowTasksFail {
            _ = try await database.row(
                "select perdure.forget_updates(\(shard), \(namespace), \(workflowID), \(runID))")
            throw error
        }
    }

    /// The run closed before its code saw the update.
    private struct Aborted: Error {}

    private static let aborted = CallError.notFound("workflow update was aborted by closing workflow")

    private func poll(_ request: JSON) async throws -> JSON {
        let namespace = request.text("namespace")
        let reference = request["updateRef"] ?? [:]
        let (workflowID, named) = try reference.execution("workflowExecution")
        guard let updateID = reference.given("updateId") else {
            throw CallError.invalidArgument("UpdateId is not set on request.")
        }
        let shard = try await database.shard(of: workflowID, in: namespace)
        let runID = try await starts.found(workflowID, named) {
            try await database.runID(of: workflowID, named, in: namespace).run
        }
        let sent = Sent(
            namespace: namespace, shard: shard, workflowID: workflowID, runID: runID, updateID: updateID)
        do {
            return try await outcome(of: sent, at: try Self.stage(request) ?? .admitted)
        } catch is Aborted {
            throw Self.aborted
        }
    }

    /// The stage that a client waits for; nil when it names none.
    private static func stage(_ request: JSON) throws -> Stage? {
        guard let name = request["waitPolicy"]?.given("lifecycleStage") else { return nil }
        guard let stage = Stage(rawValue: name) else {
            throw CallError.invalidArgument("Unknown lifecycle stage \(name).")
        }
        return stage == .unspecified ? nil : stage
    }

    // MARK: Waiting

    /// Waits until an update has come so far, or has an outcome, but not for ever: the response says how far it is.
    private func outcome(of sent: Sent, at wanted: Stage) async throws -> JSON {
        var response = try await look(at: sent)
        let end = ContinuousClock.now + Self.longestWait
        if Self.stage(of: response) < wanted {
            try await RunNews.of(sent.runID, in: sent.namespace, database: database, notices: notices) { news in
                while true {
                    response = try await look(at: sent)
                    guard Self.stage(of: response) < wanted, .now < end else { break }
                    await news.wait(atMost: .milliseconds(500))
                    try Task.checkCancellation()
                }
            }
        }
        return response
    }

    private static func stage(of response: JSON) -> Stage { Stage(rawValue: response.text("stage")) ?? .unspecified }

    private func look(at sent: Sent) async throws -> JSON {
        let row = try await database.row(
            """
            select state, result, failure from perdure.update_outcome(\(sent.shard), \(sent.namespace), \
            \(sent.workflowID), \(sent.runID), \(sent.updateID))
            """)
        var response: JSON = [
            "updateRef": [
                "workflowExecution": ["workflowId": .string(sent.workflowID), "runId": .string(sent.runID.text)],
                "updateId": .string(sent.updateID),
            ]
        ]
        switch try row.decode(String.self, "state") {
        case "admitted": response["stage"] = "Admitted"
        case "accepted": response["stage"] = "Accepted"
        case "aborted": throw Aborted()
        default:
            response["stage"] = "Completed"
            if let failure = try row.decode(JSON?.self, "failure") {
                response["outcome"] = ["failure": failure]
            } else {
                response["outcome"] = ["success": try row.decode(JSON?.self, "result") ?? []]
            }
        }
        return response
    }

    // MARK: Update with start

    /// Two operations, of which both are done or neither: a start and an update.
    private func executeMultiOperation(_ request: JSON) async throws -> JSON {
        let operations = request["operations"]?.arrayValue ?? []
        guard operations.count == 2, let start = operations[0]["startWorkflow"],
            let update = operations[1]["updateWorkflow"]
        else {
            throw CallError.invalidArgument("Operations have to be exactly [Start, Update].")
        }
        let namespace = request.text("namespace")
        let workflowID = start.text("workflowId")
        guard update["workflowExecution"]?.text("workflowId") == workflowID else {
            throw CallError.invalidArgument("WorkflowId is not consistent with previous operation(s).")
        }
        guard start["workflowStartDelay"] == nil else {
            throw CallError.invalidArgument("WorkflowStartDelay cannot be set.")
        }
        let sending = try Request(update)
        let options = try await starts.options(start)
        let queue = try starts.taskQueue(start)
        let shard = try await database.shard(of: workflowID, in: namespace)
        let row: PostgresRow
        do {
            row = try await starts.alreadyStarted(namespace, workflowID) {
                try await forgettingUpdates(of: workflowID, nil, in: namespace, shard) {
                    try await database.row(
                        """
                        select run_id, started, update_id from perdure.update_with_start_workflow(\(shard), \
                        \(namespace), \(workflowID), \(start["workflowType"]?.text("name") ?? ""), \(queue), \
                        \(start["input"] ?? []), \(options), \(sending.updateID), \(sending.name), \
                        \(sending.input), \(sending.identity), \(sending.header))
                        """)
                }
            }
        } catch {
            throw Self.refusal(of: error)
        }
        let runID: UUID = try row.decode("run_id")
        let sent = Sent(
            namespace: namespace, shard: shard, workflowID: workflowID, runID: runID,
            updateID: try row.decode("update_id"))
        let outcome: JSON
        do {
            outcome = try await self.outcome(of: sent, at: try Self.stage(update) ?? .accepted)
        } catch {
            var error: any Error = error is Aborted ? Self.aborted : error
            if let engine = error as? EngineError, engine.code == .updateNotFound {
                // It was forgotten, which happens while workflow tasks fail only.
                error = EngineError(.workflowTasksFail, engine.message)
            }
            throw Self.refusal(of: error, isOfUpdate: true)
        }
        let status = try await database.runStatus(of: workflowID, runID, in: namespace)
        return [
            "responses": [
                [
                    "startWorkflow": [
                        "runId": .string(runID.text), "started": .bool(try row.decode("started")),
                        "status": .string(status),
                    ]
                ], ["updateWorkflow": outcome],
            ]
        ]
    }

    /// Says which of the two operations was refused, and that the other was not done.
    private static func refusal(of error: any Error, isOfUpdate: Bool = false) -> CallError {
        let refusal = CallError(error)
        switch refusal.code {
        case .unavailable, .internalError, .cancelled: return refusal
        default: break
        }
        let isOfUpdate =
            switch (error as? EngineError)?.code {
            case .tooManyUpdates, .updateRefused, .workflowTasksFail: true
            default: isOfUpdate
            }
        var details: [JSON] = []
        if let detail = refusal.detail {
            var json = detail.json
            json["@type"] = .string(detail.type)
            details.append(json)
        }
        let refused: JSON = [
            "code": .number(refusal.code.rawValue), "message": .string(refusal.message), "details": .array(details),
        ]
        let aborted: JSON = [
            "code": 10, "message": "Operation was aborted.",
            "details": [["@type": "temporal.api.failure.v1.MultiOperationExecutionAborted"]],
        ]
        return CallError(
            refusal.code, "Update-with-Start could not be executed.",
            detail: (
                "temporal.api.errordetails.v1.MultiOperationExecutionFailure",
                ["statuses": isOfUpdate ? [aborted, refused] : [refused, aborted]]
            ))
    }
}
