import Hummingbird
import WebCommon

/// `/namespaces/{namespace}/health`: how the database does, with advice, and the namespace's search attributes.
struct HealthPage: Page {
    func addRoutes(to router: SiteRouter, of site: Site) {
        router.route(
            "namespaces/:namespace/health",
            [
                .get: { _, context in
                    let namespace = try context.pathSegment("namespace")
                    let health = try await site.store.health()
                    let fields = try await site.store.filterFields(namespace)
                    let attributes = fields.filter { $0.text("description") == "A search attribute" }
                    return site.page(
                        "health", title: "Health", namespace: namespace, section: .health,
                        [
                            "checks": Self.checks(health),
                            "tables": (health["tables"]?.elements ?? []).map { table in
                                [
                                    "name": table.text("name") ?? "", "size": table.text("size") ?? "",
                                    "live": table.text("live") ?? "0", "dead": table.text("dead") ?? "0",
                                    "vacuumed": View.time(table.time("vacuumed")),
                                ] as [String: Any]
                            },
                            "attributes": attributes.map {
                                ["name": $0.text("name") ?? "", "type": $0.text("type") ?? ""]
                            },
                            "hasNoAttributes": attributes.isEmpty,
                        ])
                }
            ])
    }

    private static func checks(_ health: JSONValue) -> [[String: Any]] {
        func seconds(_ name: String) -> Double { health.text(name).flatMap { Double($0) } ?? 0 }
        func check(_ name: String, _ value: String, isWell: Bool, _ advice: String) -> [String: Any] {
            let look = isWell ? "completed" : "retrying"
            let status: [String: Any] = ["look": look, "label": isWell ? "Well" : "Look at it"]
            return ["name": name, "value": value, "status": status, "advice": isWell ? false : advice as Any]
        }
        let lag = seconds("timer_lag")
        let transaction = seconds("oldest_transaction")
        let workers = health.integer("workers") ?? 0
        let overdue = health.integer("overdue") ?? 0
        let worst = (health["tables"]?.elements ?? []).max { share($0) < share($1) }
        return [
            check(
                "Lag of timers", Duration.seconds(lag).readable, isWell: lag < 10,
                "Timers fire when a worker does upkeep: start workers, or look why those that run are busy."),
            check(
                "Workers", "\(workers) alive, \(overdue) overdue", isWell: workers > 0 && overdue == 0,
                workers == 0
                    ? "Nothing goes on until a worker comes: start one."
                    : "A worker has not renewed its lease: its work is taken back when upkeep finds that."),
            check(
                "Oldest transaction", Duration.seconds(transaction).readable, isWell: transaction < 300,
                "While it is open no dead row is removed and claims slow down: end it (pg_stat_activity shows who), and set "
                    + "idle_in_transaction_session_timeout."),
            check(
                "Dead rows", worst.map { "\(Int(share($0) * 100)) percent of \($0.text("name") ?? "")" } ?? "none",
                isWell: worst.map { share($0) < 0.5 || ($0.integer("dead") ?? 0) < 10_000 } ?? true,
                "Autovacuum does not keep up: lower autovacuum_vacuum_cost_delay, and see that no transaction stays open."
            ),
            check("Database", health.text("size") ?? "", isWell: true, ""),
            check("PostgreSQL", health.text("version") ?? "", isWell: true, ""),
        ]
    }

    private static func share(_ table: JSONValue) -> Double {
        let (live, dead) = (Double(table.integer("live") ?? 0), Double(table.integer("dead") ?? 0))
        return dead / max(1, live + dead)
    }
}
