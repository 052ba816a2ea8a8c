import ArgumentParser
import PerdureEngine
import Postgres

struct QueueCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "queue", abstract: "Look at task queues.", subcommands: [QueueList.self, QueueDescribe.self],
        aliases: ["task-queue"])
}

struct QueueList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the task queues that have work or workers.")
    @OptionGroup var options: ClientOptions

    func run() async throws {
        let queues = try await options.database.withPool { pool in
            try await Queues.read(pool, options.namespaceName, nil)
        }
        Queues.show(queues, options.output)
    }
}

struct QueueDescribe: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "describe", abstract: "Show one task queue: what waits in it, and who works on it.")
    @OptionGroup var options: ClientOptions
    @Option(name: [.customShort("t"), .long], help: "The task queue.")
    var taskQueue: String

    func run() async throws {
        let (queues, workers) = try await options.database.withPool { pool in
            let workers = try await pool.query(
                """
                select to_jsonb(w) from perdure.live_workers w where namespace = \(options.namespaceName) \
                and \(taskQueue) = any (task_queues) order by identity, worker_id
                """
            ).map { try $0.decode(JSON.self, at: 0) }
            return (try await Queues.read(pool, options.namespaceName, taskQueue), workers)
        }
        guard options.output == .text else {
            return print(JSON.object(["backlog": .array(queues), "workers": .array(workers)]))
        }
        Queues.show(queues, .text)
        print()
        if workers.isEmpty { print("no worker polls \(taskQueue.withoutControls)") }
        for worker in workers {
            print(
                "\(worker["identity"]?.shown.withoutControls ?? "")  "
                    + (worker["alive"]?.boolValue == true ? "alive" : "lost") + "  "
                    + (worker["lease_until"]?.shownTime ?? ""))
        }
    }
}

/// The backlog by kind of task, with the number of living workers.
private enum Queues {
    static func read(_ pool: PostgresPool, _ namespace: String, _ queue: String?) async throws -> [JSON] {
        try await pool.query(
            """
            with alive as (
                select q as task_queue, count(*) as workers from perdure.live_workers w, unnest(w.task_queues) q
                where w.namespace = \(namespace) and w.alive group by q
            ), names as (
                select task_queue from perdure.task_queue_backlog where namespace = \(namespace)
                union select task_queue from alive
            )
            select jsonb_build_object('task_queue', n.task_queue, 'kind', k.kind, 'waiting', coalesce(b.waiting, 0), \
                'running', coalesce(b.running, 0), 'backing_off', coalesce(b.backing_off, 0), \
                'oldest_seconds', round(extract(epoch from b.oldest), 1), 'workers', coalesce(a.workers, 0))
            from names n cross join (values ('workflow'), ('activity')) k (kind)
            left join perdure.task_queue_backlog b
                on b.namespace = \(namespace) and b.task_queue = n.task_queue and b.kind = k.kind
            left join alive a on a.task_queue = n.task_queue
            where \(queue) is null or n.task_queue = \(queue)
            order by n.task_queue, k.kind desc
            """
        ).map { try $0.decode(JSON.self, at: 0) }
    }

    static func show(_ queues: [JSON], _ output: OutputFormat) {
        guard output == .text else { return JSON.printed(queues) }
        var table = Table("TASK QUEUE", "KIND", "WAITING", "RUNNING", "BACKING OFF", "OLDEST", "WORKERS")
        for queue in queues {
            let oldest = queue["oldest_seconds"]?.shown ?? ""
            table.add(
                queue["task_queue"]?.shown ?? "", queue["kind"]?.shown ?? "", queue["waiting"]?.shown ?? "",
                queue["running"]?.shown ?? "", queue["backing_off"]?.shown ?? "", oldest.isEmpty ? "-" : oldest + " s",
                queue["workers"]?.shown ?? "")
        }
        table.print()
    }
}
