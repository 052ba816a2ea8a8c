public import Foundation
import Postgres

/// How far a batch job is: a request to change all runs that a filter chooses.
public struct BatchJobProgress: Sendable, Hashable {
    public let jobID: UUID
    public let filter: String?
    /// The runs that have been written down so far. When the job is closed these are all that it changes.
    public let runs: Int
    public let waiting: Int
    public let done: Int
    public let failed: Int
    public let isStopped: Bool
    /// Why the runs that the filter chooses could not be listed.
    public let failure: String?
}

extension Engine {
    /// Asks for a reset of all runs that a list filter chooses, of each workflow id the newest.
    /// ``runNext(ofBatchJob:)`` resets them.
    ///
    /// - Returns: the job.
    /// - Throws: ``EngineError`` with the code ``EngineError/Code-swift.enum/invalidArgument`` for a filter that cannot
    ///   be read.
    public func startResetJob(
        namespace: String, filter: String, to point: WorkflowResetPoint, reason: String? = nil,
        identity: String? = nil, options: WorkflowResetOptions = WorkflowResetOptions()
    ) async throws -> UUID {
        var all = options.json
        for (name, value) in point.json.members { all[name] = value }
        return try await row(
            """
            select perdure.start_batch_job('reset', \(filter), \(all), \(reason?.withVisibleNul), \(namespace), \
            \(identity?.withVisibleNul))
            """
        ).decode(at: 0)
    }

    /// Changes one run of a batch job. Several may do so at once, and whoever comes later goes on. A run that cannot be
    /// changed now, because it is locked for example, is postponed.
    ///
    /// - Returns: its workflow id; nil when none is left that can be changed now, or the job is closed.
    /// - Throws: what the database refused. The run is postponed, so the next call takes another one.
    public func runNext(ofBatchJob jobID: UUID) async throws -> String? {
        let shards = try await shards()
        var shard = shards[0]
        do {
            repeat {
                for next in shards {
                    shard = next
                    if let done = try await row("select perdure.run_next_of_batch_job(\(shard), \(jobID))")
                        .decode(String?.self, at: 0)
                    {
                        return done
                    }
                }
            } while try await row("select perdure.list_runs_of_batch_job(\(jobID))").decode(Bool.self, at: 0)
        } catch let error as PostgresError where error.sqlState != nil {
            // A time-out of the statement, for example.
            _ = try await query("select perdure.postpone_batch_job(\(shard), \(jobID), \(error.message))")
            throw error
        }
        return nil
    }

    /// Stops a job: runs that it has not changed stay as they are.
    ///
    /// - Returns: whether it was open.
    public func stopBatchJob(_ jobID: UUID) async throws -> Bool {
        try await row("select perdure.stop_batch_job(\(jobID))").decode(at: 0)
    }

    /// The jobs that have something left to do, the oldest first, each with how many runs it may change in a second;
    /// nil for as many as it can.
    public func openBatchJobs() async throws -> [(jobID: UUID, operationsPerSecond: Double?)] {
        try await query("select job_id, operations_per_second from perdure.open_batch_jobs()").map { row in
            (jobID: try row.decode("job_id"), operationsPerSecond: try row.decode("operations_per_second"))
        }
    }

    /// How far a job is; nil if there is no such job.
    public func batchJobProgress(_ jobID: UUID) async throws -> BatchJobProgress? {
        try await query(
            """
            select job_id, filter, runs, waiting, done, failed, stopped_at is not null as is_stopped, failure \
            from perdure.batch_job_progress p where p.job_id = \(jobID)
            """
        ).first.map { row in
            BatchJobProgress(
                jobID: try row.decode("job_id"), filter: try row.decode("filter"),
                runs: try row.decode(Int.self, "runs"), waiting: try row.decode(Int.self, "waiting"),
                done: try row.decode(Int.self, "done"), failed: try row.decode(Int.self, "failed"),
                isStopped: try row.decode("is_stopped"), failure: try row.decode("failure"))
        }
    }

    /// The runs that a job could not change: their workflow ids, and why.
    public func failures(ofBatchJob jobID: UUID, limit: Int = 100) async throws -> [(workflowID: String, error: String)]
    {
        try await query(
            """
            select workflow_id, error from perdure.batch_job_results r \
            where r.job_id = \(jobID) and r.state = 'failed' order by r.workflow_id limit \(Int64(limit))
            """
        ).map { row in
            (workflowID: try row.decode("workflow_id"), error: try row.decode(String?.self, "error") ?? "")
        }
    }
}
