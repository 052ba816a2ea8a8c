import Foundation
import PerdureEngine
import Postgres

/// Calls that change all runs that a query chooses. ``BatchJobs`` does the work.
struct BatchCalls: Sendable {
    let database: FrontendDatabase

    var table: [String: Call] {
        [
            "StartBatchOperation": start, "StopBatchOperation": stop, "DescribeBatchOperation": describe,
            "ListBatchOperations": list,
        ]
    }

    /// How many runs a job may be told to change in a second.
    private static let rates = 0.001...1_000_000

    /// What is done to each run.
    private struct Operation {
        let name: String
        let identity: String?
        var options: JSON = [:]
    }

    // MARK: Start and stop

    private func start(_ request: JSON) async throws -> JSON {
        let namespace = request.text("namespace")
        try await database.requireNamespace(namespace)
        guard let name = request.given("jobId") else { throw CallError.invalidArgument("JobId is not set on request.") }
        let filter = request.given("visibilityQuery")
        let executions = request["executions"]?.arrayValue ?? []
        let targets = request["targetExecutions"]?.arrayValue ?? []
        let chosen = [filter != nil, !executions.isEmpty, !targets.isEmpty].count(where: \.self)
        guard chosen <= 1 else {
            throw CallError.invalidArgument(
                "visibility query, executions, and target executions are mutually exclusive")
        }
        guard let operation = try Self.operation(request), let reason = request.given("reason"), chosen == 1 else {
            throw CallError.invalidArgument(
                "must provide required parameters: BatchType,Reason,Namespace, "
                    + "AND one of (Query OR Executions OR TargetExecutions)")
        }
        var runs: JSON?
        if filter == nil { runs = .array(try executions.map(Self.run) + targets.map(Self.target)) }
        var rate = request["maxOperationsPerSecond"]?.doubleValue
        if let asked = rate { rate = asked > 0 ? min(max(asked, Self.rates.lowerBound), Self.rates.upperBound) : nil }
        do {
            // As in Temporal, a query that cannot be read is a job that fails.
            _ = try await database.rows(
                """
                select perdure.start_batch_job(\(operation.name), \(filter), \(operation.options), \(reason), \
                \(namespace), \(operation.identity), \(name), \(rate), \(runs), false)
                """)
        } catch let error as EngineError where error.code == .workflowAlreadyStarted {
            throw CallError(.alreadyExists, error.message)
        }
        return [:]
    }

    private static func operation(_ request: JSON) throws -> Operation? {
        func identity(_ asked: JSON) -> String? { asked.given("identity") ?? request.given("identity") }
        if let asked = request["terminationOperation"] {
            return Operation(
                name: "terminate", identity: identity(asked),
                options: .compact(["details": asked["details"].flatMap { $0 == [] ? nil : $0 }]))
        }
        if let asked = request["signalOperation"] {
            guard let signal = asked.given("signal") else {
                throw CallError.invalidArgument("must provide signal name")
            }
            return Operation(
                name: "signal", identity: identity(asked),
                options: .compact([
                    "signalName": .string(signal), "input": asked["input"] ?? [], "header": asked.header,
                ]))
        }
        if let asked = request["cancellationOperation"] { return Operation(name: "cancel", identity: identity(asked)) }
        if let asked = request["deletionOperation"] { return Operation(name: "delete", identity: identity(asked)) }
        if let asked = request["resetOperation"] {
            return Operation(name: "reset", identity: identity(asked), options: try options(ofReset: asked))
        }
        if let asked = request["unpauseActivitiesOperation"] {
            return Operation(
                name: "unpause_activities", identity: identity(asked),
                options: try activities(asked, none: "activity filter must be set"))
        }
        if let asked = request["resetActivitiesOperation"] {
            return Operation(name: "reset_activities", identity: identity(asked), options: try activities(asked))
        }
        if let asked = request["updateActivityOptionsOperation"] {
            return Operation(
                name: "update_activity_options", identity: identity(asked), options: try activityOptions(asked))
        }
        for (field, what) in [
            ("updateWorkflowOptionsOperation", "options of workflows"),
            ("cancelActivitiesOperation", "activities without a workflow"),
            ("terminateActivitiesOperation", "activities without a workflow"),
            ("deleteActivitiesOperation", "activities without a workflow"),
        ] where request[field] != nil {
            throw CallError.notYet("batch operations on \(what)")
        }
        return nil
    }

    /// Which activities of each run are changed and how, as `perdure.start_batch_job` takes it.
    private static func activities(
        _ asked: JSON, none: String = "must provide ActivityType or MatchAll"
    ) throws -> JSON {
        guard asked["type"] != nil || asked["matchAll"] != nil else { throw CallError.invalidArgument(none) }
        guard asked.given("type") != nil || asked.flag("matchAll") else {
            throw CallError.invalidArgument(
                "Either activity type must be set, or match all should be set to true")
        }
        return .compact([
            "activityType": asked.flag("matchAll") ? nil : asked.given("type").map { .string($0) },
            "matchAll": asked.flag("matchAll") ? true : nil,
            "resetAttempts": asked.flag("resetAttempts") ? true : nil,
            "resetHeartbeat": asked.flag("resetHeartbeat") ? true : nil,
            "keepPaused": asked.flag("keepPaused") ? true : nil, "jitter": asked["jitter"],
            "restoreOriginalOptions": asked.flag("restoreOriginalOptions") ? true : nil,
        ])
    }

    private static func activityOptions(_ asked: JSON) throws -> JSON {
        let isRestored = asked.flag("restoreOriginal")
        guard !isRestored || asked["activityOptions"] == nil else {
            throw CallError.invalidArgument("cannot set both activity options and restore original")
        }
        guard isRestored || asked["activityOptions"] != nil else {
            throw CallError.invalidArgument(
                "Either activity type must be set, or restore original should be set to true")
        }
        var options = try activities(asked)
        if isRestored {
            options["restoreOriginal"] = true
            return options
        }
        // Temporal's server takes this one, and its operation then fails with each run.
        guard let mask = asked["updateMask"]?.stringValue else {
            throw CallError.invalidArgument("UpdateMask is not provided")
        }
        try ActivityChangeCalls.check(asked["activityOptions"] ?? [:])
        options["activityOptions"] = asked["activityOptions"]
        options["paths"] = .array(ActivityChangeCalls.paths(mask).map { .string($0) })
        return options
    }

    /// Where runs go back to, and what is applied again, as `perdure.start_batch_job` takes it.
    private static func options(ofReset asked: JSON) throws -> JSON {
        if let operations = asked["postResetOperations"]?.arrayValue, !operations.isEmpty {
            throw CallError.notYet("operations after a reset (postResetOperations)")
        }
        var options: JSON = [:]
        let given = asked["options"]
        if given?["firstWorkflowTask"] != nil {
            options["type"] = "FirstWorkflowTask"
        } else if given?["lastWorkflowTask"] != nil {
            options["type"] = "LastWorkflowTask"
        } else if let event = given?["workflowTaskId"] {
            options["eventId"] = event
        } else if let build = given?.given("buildId") {
            options["buildId"] = .string(build)
            if given?.flag("currentRunOnly") == true { options["currentRunOnly"] = true }
        } else if let type = asked.given("resetType"), type != "Unspecified" {
            options["type"] = .string(type)
        } else {
            throw CallError.invalidArgument("must provide reset options: where each run goes back to")
        }
        let reapply = given?.given("resetReapplyType") ?? asked.given("resetReapplyType")
        options["resetReapplyType"] = .string(reapply ?? "Unspecified")
        options["resetReapplyExcludeTypes"] = given?["resetReapplyExcludeTypes"] ?? []
        return options
    }

    /// A run that is named, as `perdure.start_batch_job` takes it.
    private static func run(_ execution: JSON) throws -> JSON {
        .compact([
            "workflowId": .string(execution.text("workflowId")),
            "runId": try execution.runID("runId").map { .string($0.text) },
        ])
    }

    private static func target(_ execution: JSON) throws -> JSON {
        guard execution.given("type").map({ $0 == "Workflow" || $0 == "Unspecified" }) ?? true else {
            throw CallError.notYet("batch operations on activities without a workflow")
        }
        return .compact([
            "workflowId": .string(execution.text("businessId")),
            "runId": try execution.runID("runId").map { .string($0.text) },
        ])
    }

    private func stop(_ request: JSON) async throws -> JSON {
        guard request.given("jobId") != nil else { throw CallError.invalidArgument("JobId is not set on request.") }
        guard request.given("reason") != nil else { throw CallError.invalidArgument("Reason is not set on request.") }
        let job: UUID = try await job(request).decode("job_id")
        guard try await database.row("select perdure.stop_batch_job(\(job))").decode(Bool.self, at: 0) else {
            throw CallError.notFound("workflow execution already completed")
        }
        return [:]
    }

    // MARK: What there is

    /// The row of the job that a request names.
    private func job(_ request: JSON) async throws -> PostgresRow {
        let namespace = request.text("namespace")
        try await database.requireNamespace(namespace)
        guard let name = request.given("jobId") else { throw CallError.invalidArgument("JobId is not set on request.") }
        guard
            let row = try await database.rows(
                """
                select p.job_id, p.name, p.operation, p.filter, p.named_runs, p.reason, p.requested_by, p.created_at, \
                p.closed_at, coalesce(p.failure, p.stopped_at::text) as failure, p.runs, p.done, p.failed \
                from perdure.batch_job_progress p where p.namespace = \(namespace) and p.name = \(name)
                """
            ).first
        else { throw CallError.notFound("workflow not found for ID: \(name)") }
        return row
    }

    private func describe(_ request: JSON) async throws -> JSON {
        let row = try await job(request)
        let runs = try row.decode(Int64.self, "runs")
        let named = try row.decode(JSON?.self, "named_runs")?.arrayValue
        // As in Temporal, runs that are named and do not exist count as done.
        let absent = named.map { Int64($0.count) - runs } ?? 0
        var description = try Self.info(row)
        description["totalOperationCount"] = .number(runs + absent)
        description["completeOperationCount"] = .number(try row.decode(Int64.self, "done") + absent)
        description["failureOperationCount"] = .number(try row.decode(Int64.self, "failed"))
        description["identity"] = .string(try row.decode("requested_by"))
        description["reason"] = .string(try row.decode(String?.self, "reason") ?? "")
        description["query"] = .string(try row.decode(String?.self, "filter") ?? "")
        description["executions"] = .array(
            (named ?? []).map { run in
                [
                    "type": "Workflow", "businessId": .string(run.text("workflowId")),
                    "runId": .string(run.text("runId")),
                ]
            })
        return description
    }

    private func list(_ request: JSON) async throws -> JSON {
        let namespace = request.text("namespace")
        try await database.requireNamespace(namespace)
        let asked = request.integer("pageSize")
        let size = asked > 0 ? min(asked, 1000) : 1000
        let after = try request.given("nextPageToken").map { try JSON(token: $0) }
        if let after, after.given("createdAt").flatMap({ Timestamp($0) }) == nil {
            throw CallError.invalidArgument("Invalid token: it is not one that this server gave.")
        }
        let rows = try await database.rows(
            """
            select p.job_id, p.name, p.operation, p.created_at, p.closed_at, \
            coalesce(p.failure, p.stopped_at::text) as failure \
            from perdure.batch_job_progress p where p.namespace = \(namespace) \
            and (\(after?.given("createdAt"))::timestamptz is null or (p.created_at, p.job_id) \
            < (\(after?.given("createdAt"))::timestamptz, \(try after?.runID("jobId"))::uuid)) \
            order by p.created_at desc, p.job_id desc limit \(Int64(size))
            """)
        var response: JSON = ["operationInfo": .array(try rows.map(Self.info))]
        if rows.count == size, let last = rows.last {
            let token: JSON = [
                "createdAt": .string(try last.decode(Timestamp.self, "created_at").description),
                "jobId": .string(try last.decode(UUID.self, "job_id").text),
            ]
            response["nextPageToken"] = token.token
        }
        return response
    }

    private static let types = [
        "reset": "ResetWorkflow", "terminate": "TerminateWorkflow", "cancel": "CancelWorkflow",
        "signal": "SignalWorkflow", "delete": "DeleteWorkflow", "unpause_activities": "UnpauseActivity",
        "reset_activities": "ResetActivity", "update_activity_options": "UpdateActivityOptions",
    ]

    private static func info(_ row: PostgresRow) throws -> JSON {
        let closed = try row.decode(Timestamp?.self, "closed_at")
        let hasFailed = try row.decode(String?.self, "failure") != nil
        return .compact([
            "jobId": .string(try row.decode("name")),
            "operationType": .string(types[try row.decode(String.self, "operation")] ?? "Unspecified"),
            "state": closed == nil ? "Running" : hasFailed ? "Failed" : "Completed",
            "startTime": .string(try row.decode(Timestamp.self, "created_at").description),
            "closeTime": closed.map { .string($0.description) },
        ])
    }
}
