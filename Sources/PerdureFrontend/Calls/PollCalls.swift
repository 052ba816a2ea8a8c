import Foundation
import Logging
import PerdureEngine
import Synchronization

/// Calls by which workers of other SDKs wait for tasks.
struct PollCalls: Sendable {
    /// A client waits for ten seconds longer.
    private static let longestPoll = Duration.seconds(60)

    let database: FrontendDatabase
    let agents: PollAgents
    let claims: TaskClaims
    let history: PollerHistory

    var table: [String: Call] {
        [
            "PollWorkflowTaskQueue": { try await poll(.workflow, $0) },
            "PollActivityTaskQueue": { try await poll(.activity, $0) }, "PollNexusTaskQueue": pollForNexus,
            "ShutdownWorker": shutDown,
        ]
    }

    private func poll(_ kind: PollQueue.Kind, _ request: JSON) async throws -> JSON {
        let namespace = request.text("namespace")
        let name = try queueName(request)
        // The engine gives tasks to workers of all builds. A worker that counts on versioning must not get them.
        guard request["deploymentOptions"]?.text("workerVersioningMode") != "Versioned",
            request["workerVersionCapabilities"]?.flag("useVersioning") != true
        else {
            throw CallError(
                .unimplemented,
                "Perdure does not have worker versioning yet: start the worker with use_worker_versioning off")
        }
        let worker = try await claims.workers.worker(
            key: key(request), identity: request.text("identity"), buildID: buildID(request), queue: name,
            namespace: namespace)
        guard !claims.workers.isShuttingDown(worker) else { return [:] }
        let queue = PollQueue(namespace: namespace, name: name, kind: kind)
        history.polled(queue, identity: request.text("identity"), buildID: buildID(request))
        let task = await agents[queue].poll(worker, atMost: Self.longestPoll) { [claims] in
            claims.workers.isShuttingDown(worker)
        }
        guard let task else { return [:] }
        let response = try await claims.response(handing: task)
        history.handedOut(queue)
        return response
    }

    /// Nexus does not exist yet, but a worker with Nexus handlers also has others.
    private func pollForNexus(_ request: JSON) async throws -> JSON {
        let namespace = request.text("namespace")
        try await database.requireNamespace(namespace)
        _ = try queueName(request)
        let worker = SDKWorkers.id(of: key(request), in: namespace)
        await agents.idle.poll(worker, atMost: Self.longestPoll) { [claims] in
            claims.workers.isShuttingDown(worker)
        }
        return [:]
    }

    private func queueName(_ request: JSON) throws -> String {
        // A worker polls for cached runs by a name of its own. The engine keeps their tasks for it on the normal queue.
        guard let queue = request["taskQueue"] else { throw CallError.invalidArgument("taskQueue is not set") }
        guard let name = queue.given("normalName") ?? queue.given("name") else {
            throw CallError.invalidArgument("missing task queue name")
        }
        return name
    }

    private func key(_ request: JSON) -> String {
        request.given("workerInstanceKey") ?? request.text("identity")
    }

    private func buildID(_ request: JSON) -> String {
        request["deploymentOptions"]?.given("buildId") ?? request["workerVersionCapabilities"]?.given("buildId")
            ?? request.text("binaryChecksum")
    }

    private func shutDown(_ request: JSON) async throws -> JSON {
        let namespace = request.text("namespace")
        try await database.requireNamespace(namespace)
        // Several workers of a process may have one identity: only the instance key says which of them ends.
        guard let key = request.given("workerInstanceKey") else { return [:] }
        let worker = await claims.workers.shutDown(key: key, in: namespace)
        agents.endPolls(of: worker)
        return [:]
    }
}
