public import Foundation
import Postgres

/// Where a run goes back to: right before the end of one of its workflow tasks.
public enum WorkflowResetPoint: Sendable, Hashable {
    /// The event that ends the workflow task, such as its `WorkflowTaskCompleted`.
    case event(Int64)
    case firstWorkflowTask
    case lastWorkflowTask
    /// The first workflow task that a worker of this build did.
    case build(String)
    /// The first workflow task in which the run took this patch.
    case patch(String)

    /// As `perdure.reset_workflow` takes it.
    public var json: JSON {
        switch self {
        case .event(let id): ["eventId": .number(id)]
        case .firstWorkflowTask: ["type": "FirstWorkflowTask"]
        case .lastWorkflowTask: ["type": "LastWorkflowTask"]
        case .build(let id): ["buildId": .string(id)]
        case .patch(let id): ["patch": .string(id)]
        }
    }
}

/// What a reset does not apply again, and with which keys activities are made again.
public struct WorkflowResetOptions: Sendable, Hashable {
    /// What can be left out.
    public enum ReapplyExcludeType: String, Sendable, Hashable, CaseIterable {
        case signal = "Signal"
        case update = "Update"
    }

    public var reapplyExcludeTypes: Set<ReapplyExcludeType>
    /// Whether activities that are made again get new idempotency keys. Otherwise a call of the same activity with the
    /// same arguments has the key that it had.
    public var newIdempotencyKeys: Bool

    public init(reapplyExcludeTypes: Set<ReapplyExcludeType> = [], newIdempotencyKeys: Bool = false) {
        self.reapplyExcludeTypes = reapplyExcludeTypes
        self.newIdempotencyKeys = newIdempotencyKeys
    }

    /// As `perdure.reset_workflow` takes it.
    public var json: JSON {
        [
            "resetReapplyExcludeTypes": .array(reapplyExcludeTypes.map(\.rawValue).sorted().map { .string($0) }),
            "newIdempotencyKeys": .bool(newIdempotencyKeys),
        ]
    }
}

/// How far a request is to reset all runs that a filter chooses.
public struct ResetJobProgress: Sendable, Hashable {
    public let jobID: UUID
    public let filter: String
    public let runs: Int
    public let waiting: Int
    public let reset: Int
    public let failed: Int
    public let isStopped: Bool
}

extension Engine {
    /// Ends the open run of a workflow, and lets another one go on from a workflow task of `runID`.
    ///
    /// - Parameter requestID: a repeat under the same id finds the run that the first one made.
    /// - Returns: the new run.
    public func resetWorkflow(
        namespace: String, workflowID: String, runID: UUID? = nil, to point: WorkflowResetPoint,
        reason: String? = nil, requestID: String? = nil, identity: String? = nil,
        options: WorkflowResetOptions = WorkflowResetOptions()
    ) async throws -> UUID {
        try await row(
            """
            select perdure.reset_workflow(\(shard: try await onlyShard(), of: workflowID, in: namespace), \(namespace), \
            \(workflowID), \(runID), \(point.json), \(reason?.withVisibleNul), \(requestID), \
            \(identity?.withVisibleNul), \(options.json))
            """
        ).decode(at: 0)
    }

    /// Writes down which runs a list filter chooses, of each workflow id the newest, to be reset by
    /// ``resetNext(of:)``.
    public func startResetJob(
        namespace: String, filter: String, to point: WorkflowResetPoint, reason: String? = nil,
        identity: String? = nil, options: WorkflowResetOptions = WorkflowResetOptions()
    ) async throws -> UUID {
        var all = options.json
        for (name, value) in point.json.members { all[name] = value }
        return try await row(
            """
            select perdure.start_reset_job(\(filter), \(all), \(reason?.withVisibleNul), \(namespace), \
            \(identity?.withVisibleNul))
            """
        ).decode(at: 0)
    }

    /// Resets one run of a job. Several may do so at once, and whoever comes later goes on.
    ///
    /// - Returns: its workflow id; nil when none is left, or the job was stopped.
    public func resetNext(of jobID: UUID) async throws -> String? {
        for shard in try await shards() {
            if let done = try await row("select perdure.reset_next_of_job(\(shard), \(jobID))")
                .decode(String?.self, at: 0)
            {
                return done
            }
        }
        return nil
    }

    /// Stops a job: runs that it has not reset stay as they are.
    ///
    /// - Returns: whether it had not been stopped.
    public func stopResetJob(_ jobID: UUID) async throws -> Bool {
        try await row("select perdure.stop_reset_job(\(jobID))").decode(at: 0)
    }

    /// How far a job is; nil if there is no such job.
    public func resetJobProgress(_ jobID: UUID) async throws -> ResetJobProgress? {
        try await query(
            """
            select job_id, filter, runs, waiting, reset, failed, stopped_at is not null as is_stopped \
            from perdure.reset_job_progress p where p.job_id = \(jobID)
            """
        ).first.map { row in
            ResetJobProgress(
                jobID: try row.decode("job_id"), filter: try row.decode("filter"),
                runs: try row.decode(Int.self, "runs"), waiting: try row.decode(Int.self, "waiting"),
                reset: try row.decode(Int.self, "reset"), failed: try row.decode(Int.self, "failed"),
                isStopped: try row.decode("is_stopped"))
        }
    }

    /// The runs that a job could not reset: their workflow ids, and why.
    public func failuresOfResetJob(
        _ jobID: UUID, limit: Int = 100
    ) async throws -> [(workflowID: String, error: String)] {
        try await query(
            """
            select workflow_id, error from perdure.reset_job_results r \
            where r.job_id = \(jobID) and r.state = 'failed' order by r.workflow_id limit \(Int64(limit))
            """
        ).map { row in
            (workflowID: try row.decode("workflow_id"), error: try row.decode(String?.self, "error") ?? "")
        }
    }
}
