public import Foundation
import Postgres

/// What an attempt of an activity is named by, wherever it is completed.
public struct ActivityTaskToken: Sendable, Hashable {
    public let shard: Int16
    public let workerID: UUID
    public let runID: UUID
    public let scheduledEventID: Int64
    public let attempt: Int

    public init(shard: Int16, workerID: UUID, runID: UUID, scheduledEventID: Int64, attempt: Int) {
        self.shard = shard
        self.workerID = workerID
        self.runID = runID
        self.scheduledEventID = scheduledEventID
        self.attempt = attempt
    }

    private static let version = "1"

    public var bytes: [UInt8] {
        Array("\(Self.version):\(shard):\(workerID):\(runID):\(scheduledEventID):\(attempt)".utf8)
    }

    /// - Returns: nil for what is no token.
    public init?(bytes: [UInt8]) {
        let parts = String(decoding: bytes, as: UTF8.self).split(separator: ":")
        guard parts.count == 6, parts[0] == Self.version, let shard = Int16(parts[1]),
            let workerID = UUID(uuidString: String(parts[2])), let runID = UUID(uuidString: String(parts[3])),
            let scheduledEventID = Int64(parts[4]), let attempt = Int(parts[5])
        else { return nil }
        self.init(
            shard: shard, workerID: workerID, runID: runID, scheduledEventID: scheduledEventID, attempt: attempt)
    }
}

extension Engine {
    /// An activity that a worker has, by its id; nil if there is none.
    ///
    /// - Throws: ``EngineError`` when there is no such run.
    public func findActivity(
        namespace: String, workflowID: String, runID: UUID?, activityID: String
    ) async throws -> ActivityTaskToken? {
        let rows = try await query(
            """
            select s.shard, a.run_id, a.scheduled_event_id, a.attempt, a.worker \
            from (select \(shard: try await onlyShard(), of: workflowID, in: namespace)::smallint as shard) s \
            cross join lateral perdure.find_activity_task(s.shard, \(namespace), \(workflowID), \(runID), \
            \(activityID)) a where a.worker is not null
            """)
        return try rows.first.map { row in
            ActivityTaskToken(
                shard: try row.decode("shard"), workerID: try row.decode("worker"), runID: try row.decode("run_id"),
                scheduledEventID: try row.decode("scheduled_event_id"),
                attempt: Int(try row.decode(Int32.self, "attempt")))
        }
    }
}
