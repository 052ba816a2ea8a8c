import Foundation
import PerdureEngine
import Postgres

/// Calls by which people pause, unpause and reset activities, and change their options.
struct ActivityChangeCalls: Sendable {
    let database: FrontendDatabase
    let agents: PollAgents

    var table: [String: Call] {
        [
            "PauseActivity": pause, "UnpauseActivity": unpause, "ResetActivity": reset,
            "UpdateActivityOptions": updateOptions,
            "PauseActivityExecution": { request in
                var request = try Self.ofWorkflow(request)
                // Temporal takes each of these calls for another request.
                if request.given("requestId") == nil { request["requestId"] = .string(UUID().uuidString) }
                return try await pause(request)
            },
            "UnpauseActivityExecution": { try await unpause(try Self.ofWorkflow($0)) },
            "ResetActivityExecution": { try await reset(try Self.ofWorkflow($0)) },
            "UpdateActivityExecutionOptions": { try await updateOptions(try Self.ofWorkflow($0)) },
        ]
    }

    /// A request of the calls that also know activities without a workflow, in the form of those that do not.
    private static func ofWorkflow(_ request: JSON) throws -> JSON {
        guard let workflowID = request.given("workflowId") else {
            throw CallError.invalidArgument(
                "WorkflowId is not set on request; Perdure does not have activities without a workflow yet.")
        }
        var request = request
        request["execution"] = ["workflowId": .string(workflowID), "runId": .string(request.text("runId"))]
        request["id"] = .string(request.text("activityId"))
        return request
    }

    /// The activities that a request names: one by its id, those of a type, or every one of a run.
    private struct Target {
        let namespace: String
        let shard: Int16
        let workflowID: String
        let runID: UUID?
        let id: String?
        let type: String?
        let isEvery: Bool
    }

    private func target(_ request: JSON, every: String? = nil) async throws -> Target {
        let namespace = request.text("namespace")
        let execution = request["execution"] ?? [:]
        guard let workflowID = execution.given("workflowId") else {
            throw CallError.invalidArgument("WorkflowId is not set on request.")
        }
        let runID = try execution.given("runId").map { text in
            guard let runID = UUID(uuidString: text) else {
                throw CallError.invalidArgument("RunId is not valid UUID.")
            }
            return runID
        }
        return Target(
            namespace: namespace, shard: try await database.shard(of: workflowID, in: namespace),
            workflowID: workflowID, runID: runID, id: request["id"]?.stringValue, type: request["type"]?.stringValue,
            isEvery: every.map(request.flag) ?? false)
    }

    /// Makes a change, and says in Temporal's words what stands against it.
    private func changing(
        _ target: Target, _ query: PostgresQuery
    ) async throws -> PostgresRow {
        do {
            return try await database.row(query)
        } catch let error as EngineError where error.code == .workflowNotFound {
            throw CallError.noWorkflow(target.workflowID, target.runID)
        } catch let error as EngineError where error.code == .invalidArgument {
            throw CallError.invalidArgument(error.message)
        }
    }

    private func pause(_ request: JSON) async throws -> JSON {
        let target = try await target(request)
        _ = try await changing(
            target,
            """
            select perdure.pause_activities(\(target.shard), \(target.namespace), \(target.workflowID), \
            \(target.runID), \(target.id), \(target.type), \(request.given("identity")), \(request.given("reason")), \
            \(request.given("requestId")))
            """)
        return [:]
    }

    private func unpause(_ request: JSON) async throws -> JSON {
        let target = try await target(request, every: "unpauseAll")
        _ = try await changing(
            target,
            """
            select perdure.unpause_activities(\(target.shard), \(target.namespace), \(target.workflowID), \
            \(target.runID), \(target.id), \(target.type), \(target.isEvery), \(request.flag("resetAttempts")), \
            \(request.flag("resetHeartbeat")), perdure.duration(\(request["jitter"]), 'jitter'))
            """)
        return [:]
    }

    private func reset(_ request: JSON) async throws -> JSON {
        let target = try await target(request, every: "matchAll")
        _ = try await changing(
            target,
            """
            select perdure.reset_activities(\(target.shard), \(target.namespace), \(target.workflowID), \
            \(target.runID), \(target.id), \(target.type), \(target.isEvery), \(request.flag("resetHeartbeat")), \
            \(request.flag("keepPaused")), perdure.duration(\(request["jitter"]), 'jitter'), \
            \(request.flag("restoreOriginalOptions")))
            """)
        return [:]
    }

    private func updateOptions(_ request: JSON) async throws -> JSON {
        let isRestored = request.flag("restoreOriginal")
        let paths = request["updateMask"]?.stringValue.map(Self.paths) ?? []
        let options = request["activityOptions"] ?? [:]
        if isRestored {
            guard paths.isEmpty else {
                throw CallError.invalidArgument("Both UpdateMask and RestoreOriginal are provided")
            }
        } else {
            guard request["activityOptions"] != nil else {
                throw CallError.invalidArgument("ActivityOptions are not provided")
            }
            guard request["updateMask"] != nil else { throw CallError.invalidArgument("UpdateMask is not provided") }
            try Self.check(options)
        }
        let target = try await target(request, every: "matchAll")
        let row = try await changing(
            target,
            """
            select perdure.update_activity_options(\(target.shard), \(target.namespace), \(target.workflowID), \
            \(target.runID), \(target.id), \(options), \(paths), \(target.type), \(target.isEvery), \(isRestored))
            """)
        var kept = try row.decode(JSON?.self, at: 0) ?? [:]
        if isRestored, let queue = kept["taskQueue"]?["name"] { kept["taskQueue"] = ["name": queue] }
        if !isRestored, paths.contains("startDelay") { kept["startDelay"] = options["startDelay"] }
        return ["activityOptions": kept]
    }

    /// The paths of a mask in the names of JSON, in whichever names they came.
    static func paths(_ mask: String) -> [String] {
        mask.split(separator: ",").map { path in
            path.split(separator: ".").map { step in
                let words = step.split(separator: "_")
                return
                    ([words.first.map(String.init) ?? ""]
                    + words.dropFirst().map { $0.prefix(1).uppercased() + $0.dropFirst() }).joined()
            }.joined(separator: ".")
        }
    }

    /// Says in Temporal's words what the options of an activity cannot be.
    static func check(_ options: JSON) throws {
        for name in ["ScheduleToCloseTimeout", "ScheduleToStartTimeout", "StartToCloseTimeout", "HeartbeatTimeout"]
        where options.text(name.prefix(1).lowercased() + name.dropFirst()).hasPrefix("-") {
            throw CallError.invalidArgument("invalid \(name): negative duration")
        }
        if let policy = options["retryPolicy"] {
            if policy.integer("maximumAttempts") < 0 {
                throw CallError.invalidArgument("MaximumAttempts cannot be negative on retry policy.")
            }
            if let coefficient = policy["backoffCoefficient"]?.doubleValue, coefficient != 0, coefficient < 1 {
                throw CallError.invalidArgument("BackoffCoefficient cannot be less than 1 on retry policy.")
            }
        }
        if let priority = options["priority"], priority.integer("priorityKey") < 0 {
            throw CallError.invalidArgument("priority key can't be negative")
        }
    }
}
