import Foundation
import PerdureEngine
import Postgres

/// Calls by which workers report workflow tasks and answers to queries.
struct WorkflowTaskCalls: Sendable {
    let database: FrontendDatabase
    let reports: Sender
    let agents: PollAgents
    let claims: TaskClaims
    let waits: Waits
    let attributes: SearchAttributes

    var table: [String: Call] {
        [
            "RespondWorkflowTaskCompleted": complete, "RespondWorkflowTaskFailed": fail,
            "RespondQueryTaskCompleted": answer,
        ]
    }

    private func complete(_ request: JSON) async throws -> JSON {
        let token = try TaskToken(request)
        defer { claims.workers.release(token) }
        let commands = try await commands(request, in: token.namespace)
        var completion = named(token)
        completion["commands"] = .array(commands)
        completion["sticky"] = .bool(request["stickyAttributes"] != nil && claims.workers.keepsRuns(token.worker))
        // It decides how the SDK replays, so it stands in the history.
        if let metadata = request["sdkMetadata"], metadata.objectValue?.isEmpty == false {
            completion["sdkMetadata"] = metadata
        }
        // The first task of an eager start goes to a worker that may not have polled yet.
        if let build = request["workerVersionStamp"]?.given("buildId"),
            build != claims.workers.buildID(of: token.worker)
        {
            completion["buildId"] = .string(build)
        }
        if let messages = request["messages"]?.arrayValue, !messages.isEmpty {
            completion["messages"] = .array(messages)
        }
        if request.flag("forceCreateNewWorkflowTask") { completion["another"] = true }
        if request.flag("returnNewWorkflowTask") { completion["next"] = .string(token.queue) }
        let answers = Self.answers(request)
        let unanswered = token.queries.filter { answers[$0] == nil }
        if !unanswered.isEmpty {
            completion["queries"] = .array(unanswered.map { .string($0.uuidString) })
        }
        let answer = try await send("completion", completion, token)
        waits.tell(token.runID)
        // Whoever reads an answer also sees what the task has done.
        for (query, answer) in answers {
            _ = try await send("answer", answer, token)
            waits.tell(query)
        }
        switch answer.text("outcome") {
        case "completed", "dropped": break
        case "failed": throw CallError.invalidArgument(answer["failure"]?.text("message") ?? "")
        default: throw Self.lost
        }
        let eager = commands.filter { $0["attributes"]?.flag("requestEagerExecution") ?? false }
        let started = answer["startedActivities"]?.arrayValue ?? []
        var tasks = zip(eager, started).map { command, id in
            claims.activityTask(command, id.int64Value ?? 0, answer["startedAt"] ?? .null, of: token)
        }
        var response: JSON = tasks.isEmpty ? [:] : ["activityTasks": .array(tasks.map(\.response))]
        if let task = answer["task"], !task.isNull {
            let queue = PollQueue(namespace: token.namespace, name: token.queue, kind: .workflow)
            let next = claims.workflowTask(task, queue, token.shard, token.worker)
            response["workflowTask"] = next.response
            tasks.append(next)
        }
        // It leaves no event: the worker forgets what it knows of it.
        if answer.text("outcome") == "dropped" { response["resetHistoryEventId"] = .number(token.previous) }
        if commands.contains(where: affectsOthers) {
            database.transfers.drain([token.runID], of: token.shard)
        }
        nudge(for: commands, token)
        if Task.isCancelled { await handBack(tasks) }
        return response
    }

    /// The client has gone, and does not get what is in the answer.
    private func handBack(_ tasks: [ClaimedTask]) async {
        await Task {
            for task in tasks { await claims.handBack(task) }
        }.value
    }

    /// Activities that go through a queue: who polls it here is told without a notice.
    private func nudge(for commands: [JSON], _ token: TaskToken) {
        let queues = commands.lazy.filter {
            $0.text("commandType") == "ScheduleActivityTask"
                && !($0["attributes"]?.flag("requestEagerExecution") ?? false)
        }.map { $0["attributes"]?["taskQueue"]?.given("name") ?? token.queue }
        for queue in Set(queues) { agents.nudge(queue, .activity, in: token.namespace) }
    }

    private static let lost = CallError.notFound("Workflow task not found.")

    private func send(_ kind: String, _ item: JSON, _ token: TaskToken) async throws -> JSON {
        do {
            return try await reports.send(
                ["worker": .string(token.worker.uuidString), "kind": .string(kind), "item": item], to: token.shard)
        } catch let error as EngineError where error.code == .leaseLost {
            return ["outcome": "lost"]
        }
    }

    private func named(_ token: TaskToken) -> JSON {
        [
            "runId": .string(token.runID.uuidString), "scheduledEventId": .number(token.scheduledEventID),
            "attempt": .number(token.attempt),
        ]
    }

    /// The answers to the queries that came with a workflow task, by their queries.
    private static func answers(_ request: JSON) -> [UUID: JSON] {
        var answers: [UUID: JSON] = [:]
        for (id, result) in request["queryResults"]?.objectValue ?? [:] {
            guard let query = UUID(uuidString: id) else { continue }
            var answer: JSON = ["queryId": .string(query.uuidString)]
            if result.text("resultType") == "Failed" {
                answer["failure"] = result["failure"] ?? ["message": result["errorMessage"] ?? "the query failed"]
            } else {
                answer["result"] = result["answer"] ?? []
            }
            answers[query] = answer
        }
        return answers
    }

    /// Whether another run may have to learn of a command: those by which one is meant, and those that close the run.
    private func affectsOthers(_ command: JSON) -> Bool {
        let type = command.text("commandType")
        return type == "StartChildWorkflowExecution" || type == "SignalExternalWorkflowExecution"
            || type == "RequestCancelExternalWorkflowExecution"
            || type.hasSuffix("WorkflowExecution") && !type.hasPrefix("RequestCancel")
    }

    /// As the engine takes them: without what says nothing, which would make unusual what is usual.
    private func commands(_ request: JSON, in namespace: String) async throws -> [JSON] {
        var commands: [JSON] = []
        for command in request["commands"]?.arrayValue ?? [] {
            var given = command["attributes"] ?? [:]
            given["useWorkflowBuildId"] = nil
            if given["priority"]?.objectValue?.isEmpty ?? false { given["priority"] = nil }
            if let header = given["header"]?.objectValue, header.isEmpty { given["header"] = nil }
            if let named = given["searchAttributes"] {
                given["searchAttributes"] = try await attributes.forEngine(named, in: namespace)
            }
            if given["input"] == nil, command.text("commandType") == "ScheduleActivityTask" { given["input"] = [] }
            if given["result"] == nil, command.text("commandType") == "CompleteWorkflowExecution" {
                given["result"] = []
            }
            if command.text("commandType") == "ContinueAsNewWorkflowExecution" { given.nameWhatIsNone() }
            var taken: JSON = ["commandType": command["commandType"] ?? .null, "attributes": given]
            if let metadata = command["userMetadata"], metadata.objectValue?.isEmpty == false {
                taken["userMetadata"] = metadata
            }
            if let markers = command["eventGroupMarkers"]?.arrayValue, !markers.isEmpty {
                taken["eventGroupMarkers"] = .array(markers)
            }
            commands.append(taken)
        }
        return commands
    }

    private func fail(_ request: JSON) async throws -> JSON {
        let token = try TaskToken(request)
        defer { claims.workers.release(token) }
        var failure = named(token)
        failure["cause"] = request["cause"] ?? .null
        failure["failure"] = request["failure"] ?? [:]
        if !token.queries.isEmpty {
            failure["queries"] = .array(token.queries.map { .string($0.uuidString) })
        }
        let answer = try await send("failure", failure, token)
        waits.tell(token.runID)
        agents.nudge(token.queue, .workflow, in: token.namespace)
        guard answer.text("outcome") != "lost" else { throw Self.lost }
        return [:]
    }

    private func answer(_ request: JSON) async throws -> JSON {
        let token = try TaskToken(request)
        guard let query = token.queryID else { throw CallError.invalidArgument("Invalid TaskToken.") }
        var answer: JSON = ["queryId": .string(query.uuidString)]
        if request.text("completedType") == "Failed" {
            answer["failure"] = request["failure"] ?? ["message": request["errorMessage"] ?? "the query failed"]
        } else {
            answer["result"] = request["queryResult"] ?? []
        }
        _ = try await send("answer", answer, token)
        waits.tell(query)
        return [:]
    }
}
