import Foundation
import PerdureEngine
import Postgres

/// Calls of clients about one workflow.
struct WorkflowCalls: Sendable {
    let database: FrontendDatabase
    let requests: Sender
    let agents: PollAgents
    let claims: TaskClaims
    let waits: Waits
    let attributes: SearchAttributes

    var table: [String: Call] {
        [
            "StartWorkflowExecution": start, "SignalWithStartWorkflowExecution": signalWithStart,
            "SignalWorkflowExecution": signal, "RequestCancelWorkflowExecution": requestCancel,
            "TerminateWorkflowExecution": terminate, "DeleteWorkflowExecution": delete, "QueryWorkflow": query,
            "DescribeWorkflowExecution": describe, "ResetWorkflowExecution": reset,
            "ResetStickyTaskQueue": resetSticky,
        ]
    }

    // MARK: Starting

    /// Options of a start that have the same name and form in the engine.
    private static let sameOptions = [
        "workflowExecutionTimeout", "workflowRunTimeout", "workflowTaskTimeout", "workflowStartDelay", "memo",
        "retryPolicy", "header", "userMetadata",
    ]

    func options(_ request: JSON) async throws -> JSON {
        try Self.checkPolicies(request)
        var options: JSON = [:]
        for name in ["WorkflowExecutionTimeout", "WorkflowRunTimeout", "WorkflowTaskTimeout"]
        where request.text(name.prefix(1).lowercased() + name.dropFirst()).hasPrefix("-") {
            throw CallError.invalidArgument("An invalid \(name)Seconds is set on request. cause: negative duration")
        }
        for name in ["identity", "requestId", "workflowIdConflictPolicy", "workflowIdReusePolicy", "cronSchedule"] {
            if let value = request.given(name), value != "Unspecified" { options[name] = .string(value) }
        }
        if options["workflowIdReusePolicy"] == "TerminateIfRunning" {
            options["workflowIdReusePolicy"] = "AllowDuplicate"
            options["workflowIdConflictPolicy"] = "TerminateExisting"
        }
        for name in Self.sameOptions { options[name] = request[name] }
        if let priority = request["priority"]?["priorityKey"]?.intValue, priority > 0 {
            options["priority"] = .number(priority)
        }
        if var fairness = request["priority"] {
            fairness["priorityKey"] = nil
            if fairness.objectValue?.isEmpty == false { options["fairness"] = fairness }
        }
        options["links"] = request.links
        if let given = request["searchAttributes"] {
            options["searchAttributes"] = try await attributes.forEngine(given, in: request.text("namespace"))
        }
        return options
    }

    /// Says in Temporal's words which policies do not go together.
    private static func checkPolicies(_ request: JSON) throws {
        let conflict = request.given("workflowIdConflictPolicy") ?? "Unspecified"
        switch (request.text("workflowIdReusePolicy"), conflict) {
        case ("TerminateIfRunning", let conflict) where conflict != "Unspecified":
            throw CallError.invalidArgument(
                "Invalid WorkflowIDReusePolicy: WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING cannot be used together "
                    + "with a WorkflowIDConflictPolicy")
        case ("RejectDuplicate", "TerminateExisting"):
            throw CallError.invalidArgument(
                "Invalid WorkflowIDReusePolicy: WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE cannot be used together with "
                    + "WorkflowIdConflictPolicy WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING")
        case (_, "Fail") where request.given("signalName") != nil:
            throw CallError.invalidArgument(
                "Invalid WorkflowIDConflictPolicy: "
                    + "WORKFLOW_ID_CONFLICT_POLICY_FAIL is not supported for this operation."
            )
        default: break
        }
    }

    func taskQueue(_ request: JSON) throws -> String {
        guard let queue = request["taskQueue"]?.given("name") else {
            throw CallError.invalidArgument("missing task queue name")
        }
        return queue
    }

    private func start(_ request: JSON) async throws -> JSON {
        let namespace = request.text("namespace")
        var asked: JSON = ["kind": "start", "options": try await options(request)]
        let queue = try name(asked: &asked, request)
        // A client that has a worker of the workflow in its process gets the first task itself.
        if request.flag("requestEagerExecution"), request["workflowStartDelay"] == nil,
            request.given("cronSchedule") == nil
        {
            let identity = request.text("identity")
            let known = claims.workers.worker(of: identity, polling: queue, in: namespace)
            let worker: UUID
            if let known {
                worker = known
            } else {
                worker = try await claims.workers.standIn(for: identity, on: queue, in: namespace)
            }
            asked["claim"] = ["worker": .string(worker.uuidString), "taskQueue": .string(queue)]
            asked["options"]?["eagerExecutionAccepted"] = true
            let (answer, shard) = try await send(asked)
            var response = try await started(answer, request)
            if let task = answer["task"], !task.isNull {
                let polled = PollQueue(namespace: namespace, name: queue, kind: .workflow)
                response["eagerWorkflowTask"] = try await claims.response(
                    handing: claims.workflowTask(task, polled, shard, worker))
            }
            return response
        }
        return try await started(try await send(asked, handingOver: queue), request)
    }

    private func started(_ answer: JSON, _ request: JSON) async throws -> JSON {
        [
            "runId": answer["runId"] ?? "", "firstExecutionRunId": try await firstRun(of: answer, request),
            "status": "Running", "started": answer["started"] ?? false,
            "link": Self.link(answer, request, "eventRef", ["eventId": 1, "eventType": "WorkflowExecutionStarted"]),
        ]
    }

    /// What a caller puts into its own history about what it caused.
    private static func link(_ answer: JSON, _ request: JSON, _ kind: String, _ event: JSON) -> JSON {
        let workflowID = request["workflowExecution"]?.given("workflowId") ?? request.text("workflowId")
        var link: JSON = [
            "namespace": .string(request.text("namespace")), "workflowId": .string(workflowID),
            "runId": answer["runId"] ?? "",
        ]
        link[kind] = event
        return ["workflowEvent": link]
    }

    private static func signalLink(_ answer: JSON, _ request: JSON) -> JSON? {
        request.given("requestId").map {
            link(answer, request, "requestIdRef", ["requestId": .string($0), "eventType": "WorkflowExecutionSignaled"])
        }
    }

    /// The first run of the chain of a run that was started, or found.
    private func firstRun(of answer: JSON, _ request: JSON) async throws -> JSON {
        guard !answer.flag("started"), let run = try answer.runID("runId") else { return answer["runId"] ?? "" }
        let shard = try await database.shard(of: request.text("workflowId"), in: request.text("namespace"))
        let first = try await database.rows(
            "select w.first_run_id from perdure.workflows w where w.shard = \(shard) and w.run_id = \(run)")
        return .string(try first.first?.decode(UUID.self, at: 0).text ?? run.text)
    }

    private func signalWithStart(_ request: JSON) async throws -> JSON {
        var asked: JSON = [
            "kind": "signalWithStart", "options": try await options(request),
            "signalName": .string(request.text("signalName")), "signalInput": request["signalInput"] ?? [],
        ]
        let queue = try name(asked: &asked, request)
        let answer = try await send(asked, handingOver: queue)
        return .compact([
            "runId": answer["runId"] ?? "", "firstExecutionRunId": try await firstRun(of: answer, request),
            "started": answer["started"] ?? false, "signalLink": Self.signalLink(answer, request),
        ])
    }

    /// Says what workflow is to be started.
    ///
    /// - Returns: its task queue.
    private func name(asked: inout JSON, _ request: JSON) throws -> String {
        let queue = try taskQueue(request)
        asked["namespace"] = .string(request.text("namespace"))
        asked["workflowId"] = .string(request.text("workflowId"))
        asked["workflowType"] = .string(request["workflowType"]?.text("name") ?? "")
        asked["taskQueue"] = .string(queue)
        asked["input"] = request["input"] ?? []
        return queue
    }

    /// Starts a run, and hands its first task to a poll that waits for one.
    private func send(_ asked: JSON, handingOver queue: String) async throws -> JSON {
        guard let poll = agents.reserve(queue, in: asked.text("namespace")) else { return try await send(asked).answer }
        var asked = asked
        asked["claim"] = poll.json
        do {
            let (answer, shard) = try await send(asked)
            let task = claims.workflowTask(in: answer, for: poll, shard)
            poll.settle(task)
            if task == nil { agents.nudge(queue, .workflow, in: asked.text("namespace")) }
            return answer
        } catch {
            poll.settle(nil)
            throw error
        }
    }

    private func send(_ asked: JSON) async throws -> (answer: JSON, shard: Int16) {
        let namespace = asked.text("namespace")
        let workflowID = asked.text("workflowId")
        let shard = try await database.shard(of: workflowID, in: namespace)
        let answer = try await alreadyStarted(namespace, workflowID) { try await requests.send(asked, to: shard) }
        return (answer, shard)
    }

    /// Says in Temporal's words that a workflow id is taken.
    func alreadyStarted<Answer: Sendable>(
        _ namespace: String, _ workflowID: String, _ start: () async throws -> Answer
    ) async throws -> Answer {
        do {
            return try await start()
        } catch let error as EngineError where error.code == .workflowAlreadyStarted {
            var refusal = CallError(error)
            guard let runID = error.runID else { throw refusal }
            let isOpen = try await database.runID(of: workflowID, runID, in: namespace).isOpen
            refusal.message =
                isOpen
                ? "Workflow execution is already running. WorkflowId: \(workflowID), RunId: \(runID.text)."
                : "Workflow execution already finished. WorkflowId: \(workflowID), RunId: \(runID.text). "
                    + (error.hint ?? "")
            throw refusal
        }
    }

    // MARK: Affecting

    private func signal(_ request: JSON) async throws -> JSON {
        let namespace = request.text("namespace")
        let (workflowID, runID) = try request.execution("workflowExecution")
        let asked: JSON = .compact([
            "kind": "signal", "namespace": .string(namespace), "workflowId": .string(workflowID),
            "runId": runID.map { .string($0.uuidString) }, "signalName": .string(request.text("signalName")),
            "input": request["input"] ?? [], "identity": request.given("identity").map(JSON.string),
            "requestId": request.given("requestId").map(JSON.string), "header": request["header"],
            "links": request.links,
        ])
        let answer = try await found(workflowID, runID) {
            try await requests.send(asked, to: try await database.shard(of: workflowID, in: namespace))
        }
        if let run = UUID(uuidString: answer.text("runId")) { waits.tell(run) }
        return .compact(["link": Self.signalLink(answer, request)])
    }

    private func requestCancel(_ request: JSON) async throws -> JSON {
        let namespace = request.text("namespace")
        let (workflowID, runID) = try request.execution("workflowExecution")
        _ = try await found(workflowID, runID) {
            try await database.rows(
                """
                select perdure.request_cancel_workflow(\(try await database.shard(of: workflowID, in: namespace)), \
                \(namespace), \(workflowID), \(runID), \(request.given("reason")), \(request.given("identity")), \
                \(request.given("requestId")), \(try request.runID("firstExecutionRunId")), \(request.links))
                """)
        }
        return [:]
    }

    private func terminate(_ request: JSON) async throws -> JSON {
        let namespace = request.text("namespace")
        let (workflowID, runID) = try request.execution("workflowExecution")
        let shard = try await database.shard(of: workflowID, in: namespace)
        let ended = try await found(workflowID, runID) {
            try await database.row(
                """
                select perdure.terminate_workflow(\(shard), \
                \(namespace), \(workflowID), \(runID), \
                \(request.given("reason") ?? "terminated by user via frontend"), \
                \(request["details"]), \(request.given("identity")), \(try request.runID("firstExecutionRunId")), \
                \(request.links))
                """
            ).decode(UUID.self, at: 0)
        }
        database.transfers.drain([ended], of: shard)
        return [:]
    }

    private func delete(_ request: JSON) async throws -> JSON {
        let namespace = request.text("namespace")
        let (workflowID, named) = try request.execution("workflowExecution")
        let shard = try await database.shard(of: workflowID, in: namespace)
        try await found(workflowID, named) {
            let (runID, isOpen) = try await database.runID(of: workflowID, named, in: namespace)
            if isOpen {
                _ = try await database.rows(
                    """
                    select perdure.terminate_workflow(\(shard), \(namespace), \(workflowID), \(runID), \
                    \("Delete workflow execution"))
                    """)
                database.transfers.drain([runID], of: shard)
            }
            _ = try await database.rows(
                "select perdure.delete_workflow(\(shard), \(namespace), \(workflowID), \(runID))")
        }
        return [:]
    }

    /// Says in Temporal's words that there is no such workflow.
    func found<Value>(
        _ workflowID: String, _ runID: UUID?, _ body: () async throws -> Value
    ) async throws -> Value {
        do {
            return try await body()
        } catch let error as EngineError where error.code == .workflowNotFound {
            // Another chain has the workflow id.
            if error.message == "workflow execution not found" { throw CallError.notFound(error.message) }
            throw CallError.noWorkflow(workflowID, runID)
        }
    }

    // MARK: Asking

    private func query(_ request: JSON) async throws -> JSON {
        do {
            return try await ask(request)
        } catch let rejected as QueryRejected {
            return ["queryRejected": ["status": .string(rejected.status)]]
        }
    }

    private func ask(_ request: JSON) async throws -> JSON {
        let namespace = request.text("namespace")
        let (workflowID, named) = try request.execution("execution")
        let shard = try await database.shard(of: workflowID, in: namespace)
        let query = request["query"] ?? [:]
        let id: UUID = try await found(workflowID, named) {
            let condition = request.text("queryRejectCondition")
            if condition == "NotOpen" || condition == "NotCompletedCleanly" {
                let status = try await database.row(
                    """
                    select status::text from perdure.workflow_result(\(shard), \(namespace), \(workflowID), \(named))
                    """
                ).decode(String.self, at: 0)
                if status != "Running", condition == "NotOpen" || status != "Completed" {
                    throw QueryRejected(status: status)
                }
            }
            return try await database.row(
                """
                select perdure.start_query(\(shard), \(namespace), \(workflowID), \(named), \
                \(query.text("queryType")), \(query["queryArgs"] ?? []), \
                \(Self.longestQuery + .seconds(1)), \(query.header))
                """
            ).decode(at: 0)
        }
        agents.nudgeAll(.workflow, in: namespace)
        return try await answer(shard, id, namespace)
    }

    /// A client waits for thirty seconds, unless it says otherwise.
    private static let longestQuery = Duration.seconds(29)

    /// A client wants no answer of a run in this state.
    private struct QueryRejected: Error { let status: String }

    private func answer(_ shard: Int16, _ id: UUID, _ namespace: String) async throws -> JSON {
        var answer: Result<JSON, CallError>?
        _ = try await waits.wait(for: id, .answer, shard, in: namespace, atMost: Self.longestQuery) {
            let row = try await database.row(
                "select state, result, failure from perdure.query_answer(\(shard), \(id))")
            switch try row.decode(String.self, "state") {
            case "answered": answer = .success(["queryResult": try row.decode(JSON?.self, "result") ?? []])
            case "failed":
                let failure = try row.decode(JSON?.self, "failure") ?? [:]
                answer = .failure(
                    CallError(
                        .invalidArgument, failure.text("message"),
                        detail: ("temporal.api.errordetails.v1.QueryFailedFailure", ["failure": failure])))
            default: break
            }
            return answer != nil
        }
        if let answer { return try answer.get() }
        if waits.isDraining { throw CallError(.unavailable, "the frontend ends; ask again") }
        // The code of a query that failed says something else: that a worker has answered.
        throw CallError(.failedPrecondition, "no poller seen for task queue recently, worker may be down")
    }

    private func describe(_ request: JSON) async throws -> JSON {
        let namespace = request.text("namespace")
        let (workflowID, named) = try request.execution("execution")
        let shard = try await database.shard(of: workflowID, in: namespace)
        let runID = try await found(workflowID, named) {
            try await database.runID(of: workflowID, named, in: namespace).run
        }
        let run = try await database.row(
            """
            select w.*, s.event as first_event, (s.batch ->> 'eventTime')::timestamptz as original_start_time, \
            perdure.is_cancel_requested(w.shard, w.run_id) as cancel_requested, x.execution_expiration_time, \
            least(x.execution_expiration_time, w.execution_time \
            + nullif(s.event #>> '{attributes,workflowRunTimeout}', '0s')::interval) as run_expiration_time \
            from perdure.workflows w cross join lateral ( \
                select b.batch, b.batch #> '{events,0}' as event \
                from (select perdure.get_history(w.shard, w.run_id, 1, 1) -> 0 as batch) b) s \
            cross join lateral (select case when w.reset_from_run_id is null \
                then (s.event #>> '{attributes,workflowExecutionExpirationTime}')::timestamptz \
                else w.start_time + nullif(s.event #>> '{attributes,workflowExecutionTimeout}', '0s')::interval \
                end as execution_expiration_time) x \
            where w.shard = \(shard) and w.run_id = \(runID)
            """)
        let first = try run.decode(JSON?.self, "first_event") ?? [:]
        var info = try RunInfo.json(run)
        info["firstRunId"] = .string(try run.decode(UUID.self, "first_run_id").text)
        info["priority"] = first["attributes"]?["priority"]
        info["autoResetPoints"] = try await resetPoints(shard, runID)
        var response: JSON = [
            "workflowExecutionInfo": info,
            "workflowExtendedInfo": try RunInfo.extended(run),
            "executionConfig": try executionConfig(first, queue: run.decode("task_queue")),
        ]
        let activities = try await database.rows(
            """
            select a.* from perdure.pending_activities a where a.shard = \(shard) and a.run_id = \(runID) \
            order by a.scheduled_event_id
            """)
        response["pendingActivities"] = .array(try activities.map { try RunInfo.pendingActivity($0) })
        let children = try await database.rows(
            """
            select c.* from perdure.pending_children c where c.shard = \(shard) and c.run_id = \(runID) \
            order by c.initiated_event_id
            """)
        if !children.isEmpty {
            response["pendingChildren"] = .array(try children.map { try RunInfo.pendingChild($0) })
        }
        let tasks = try await database.rows(
            "select t.* from perdure.pending_workflow_tasks t where t.shard = \(shard) and t.run_id = \(runID)")
        response["pendingWorkflowTask"] = try tasks.first.map { try RunInfo.pendingWorkflowTask($0) }
        return response
    }

    private func executionConfig(_ first: JSON, queue: String) throws -> JSON {
        let started = first["attributes"] ?? [:]
        return .compact([
            "taskQueue": ["name": .string(queue), "kind": "Normal"],
            "workflowExecutionTimeout": started["workflowExecutionTimeout"] ?? "0s",
            "workflowRunTimeout": started["workflowRunTimeout"] ?? "0s",
            "defaultWorkflowTaskTimeout": started["workflowTaskTimeout"] ?? "10s",
            "userMetadata": first["userMetadata"],
        ])
    }
}
