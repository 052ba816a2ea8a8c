import Foundation
import PerdureEngine
import Postgres

/// Calls about task queues: who polls them, what waits in them.
struct TaskQueueCalls: Sendable {
    let database: FrontendDatabase
    let history: PollerHistory

    var table: [String: Call] {
        ["DescribeTaskQueue": describe, "ListTaskQueuePartitions": partitions]
    }

    private static let kinds: [(type: String, kind: PollQueue.Kind, number: String)] = [
        ("Workflow", .workflow, "1"), ("Activity", .activity, "2"),
    ]

    private func describe(_ request: JSON) async throws -> JSON {
        let namespace = request.text("namespace")
        guard let name = request["taskQueue"]?.given("name") else {
            throw CallError.invalidArgument("TaskQueue is not set on request.")
        }
        guard request.text("apiMode") != "Enhanced" else { return try await describeEnhanced(request, namespace, name) }
        let kind = request.text("taskQueueType") == "Activity" ? PollQueue.Kind.activity : .workflow
        let queue = PollQueue(namespace: namespace, name: name, kind: kind)
        var response: JSON = [
            "pollers": .array(try await pollers(of: queue)),
            "versioningInfo": ["currentVersion": "__unversioned__"],
        ]
        if request.flag("reportStats") { response["stats"] = try await statistics(of: queue) }
        if request.flag("includeTaskQueueStatus") {
            let waiting = try await statistics(of: queue)["approximateBacklogCount"] ?? 0
            response["taskQueueStatus"] = ["backlogCountHint": waiting, "ratePerSecond": 100_000]
        }
        return response
    }

    /// As the command line asks: by version, of which Perdure knows none, and by kind.
    private func describeEnhanced(_ request: JSON, _ namespace: String, _ name: String) async throws -> JSON {
        let asked = (request["taskQueueTypes"]?.arrayValue ?? []).compactMap(\.stringValue)
        let selection = request["versions"] ?? [:]
        let builds = (selection["buildIds"]?.arrayValue ?? []).compactMap(\.stringValue)
        var versions: [String: JSON] = [:]
        if builds.isEmpty || selection.flag("unversioned") || selection.flag("allActive") {
            var types: [String: JSON] = [:]
            for (type, kind, number) in Self.kinds where asked.isEmpty || asked.contains(type) {
                let queue = PollQueue(namespace: namespace, name: name, kind: kind)
                var info: JSON = [:]
                if request.flag("reportPollers") { info["pollers"] = .array(try await pollers(of: queue)) }
                if request.flag("reportStats") { info["stats"] = try await statistics(of: queue) }
                types[number] = info
            }
            var version: JSON = ["typesInfo": .object(types)]
            if request.flag("reportTaskReachability") { version["taskReachability"] = "Reachable" }
            versions[""] = version
        }
        for build in builds {
            var types: [String: JSON] = [:]
            for (type, _, number) in Self.kinds where asked.isEmpty || asked.contains(type) {
                types[number] = request.flag("reportStats") ? ["stats": ["approximateBacklogAge": "0s"]] : [:]
            }
            var version: JSON = ["typesInfo": .object(types)]
            if request.flag("reportTaskReachability") { version["taskReachability"] = "Unreachable" }
            versions[build] = version
        }
        return ["versionsInfo": .object(versions)]
    }

    /// Those that polled here, and the engine's own workers.
    private func pollers(of queue: PollQueue) async throws -> [JSON] {
        let here = history.pollers(of: queue)
        let rows = try await database.rows(
            """
            select w.identity, w.build_id, w.last_seen_at from perdure.live_workers w \
            where w.namespace = \(queue.namespace) and \(queue.name) = any (w.task_queues) and w.alive \
            and not coalesce((w.details ->> 'sdk')::boolean, false) order by w.last_seen_at desc
            """)
        let there = try rows.map { row in
            PollerHistory.Poller(
                identity: try row.decode("identity"), buildID: try row.decode("build_id"),
                lastAccess: try row.decode(Timestamp.self, "last_seen_at").date)
        }
        return (here + there).map { poller in
            .compact([
                "identity": .string(poller.identity),
                "lastAccessTime": .string(Timestamp(poller.lastAccess).description), "ratePerSecond": 100_000,
                "workerVersionCapabilities": poller.buildID.isEmpty ? nil : ["buildId": .string(poller.buildID)],
            ])
        }
    }

    /// What waits, and how fast it comes and goes. Of tasks that came and went within the last thirty seconds nothing
    /// is left to count, so those that went are taken to have come in that time too.
    private func statistics(of queue: PollQueue) async throws -> JSON {
        var waiting = 0
        var lately = 0
        var oldest: Timestamp?
        for shard in try await database.shards() {
            let row = try await database.row(
                """
                select waiting, oldest_at, lately from perdure.task_queue_statistics(\(shard), \(queue.namespace), \
                \(queue.name), \(queue.kind.rawValue))
                """)
            waiting += Int(try row.decode(Int32.self, "waiting"))
            lately += Int(try row.decode(Int32.self, "lately"))
            let since: Timestamp? = try row.decode("oldest_at")
            oldest = [oldest, since].compactMap(\.self).min()
        }
        // The engine's own workers tell with their leases what they finished.
        let finished: Int64 = try await database.row(
            """
            select coalesce(sum(t.finished), 0)::bigint from perdure.task_queue_throughput t \
            where t.namespace = \(queue.namespace) and t.task_queue = \(queue.name) \
            and t.kind = \(queue.kind.rawValue) \
            and t.started_at > statement_timestamp() - interval '40 s' \
            and t.started_at <= statement_timestamp() - interval '10 s'
            """
        ).decode(at: 0)
        let gone = history.rate(of: queue) + Double(finished) / 30
        let age = oldest.map { max(.zero, Timestamp(Date()).duration(since: $0)) } ?? .zero
        return [
            "approximateBacklogCount": .number(waiting), "approximateBacklogAge": age.json,
            "tasksAddRate": .number("\(gone + Double(lately) / 30)"), "tasksDispatchRate": .number("\(gone)"),
        ]
    }

    /// A queue is one table's rows, so it has one partition.
    private func partitions(_ request: JSON) async throws -> JSON {
        guard let name = request["taskQueue"]?.given("name") else {
            throw CallError.invalidArgument("TaskQueue is not set on request.")
        }
        let partition: JSON = ["key": .string(name), "ownerHostName": "perdure"]
        return ["activityTaskQueuePartitions": [partition], "workflowTaskQueuePartitions": [partition]]
    }
}
