import ArgumentParser
import PerdureEngine

struct WorkerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker", abstract: "Look at worker processes.", subcommands: [WorkerList.self])
}

struct WorkerList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "List the workers of a namespace.")
    @OptionGroup var options: ClientOptions

    func run() async throws {
        let workers = try await options.database.withPool { pool in
            try await pool.query(
                """
                select to_jsonb(w) from perdure.live_workers w where namespace = \(options.namespaceName) \
                order by identity, worker_id
                """
            ).map { try $0.decode(JSON.self, at: 0) }
        }
        guard options.output == .text else { return JSON.printed(workers) }
        var table = Table("IDENTITY", "BUILD", "TASK QUEUES", "STATE", "SINCE", "LEASE UNTIL")
        for worker in workers {
            let state =
                worker["alive"]?.boolValue == true ? (worker["waiting"]?.boolValue == true ? "idle" : "busy") : "lost"
            table.add(
                worker["identity"]?.shown ?? "", worker["build_id"]?.shown ?? "",
                worker["task_queues"]?.arrayValue?.map(\.shown).joined(separator: ", ") ?? "", state,
                worker["registered_at"]?.shownTime ?? "", worker["lease_until"]?.shownTime ?? "")
        }
        table.print()
    }
}
