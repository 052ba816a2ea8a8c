import Foundation
import Hummingbird
import PerdureEngine
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
                    let files = try await Self.files(site.store)
                    let attributes = fields.filter { $0.text("description") == "A search attribute" }
                    return site.page(
                        "health", title: "Health", namespace: namespace, section: .health,
                        [
                            "checks": [Self.check(files)] + Self.checks(health), "files": Self.rows(files),
                            "hasFiles": files.contains { $0.state != .pending },
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

    /// The SQL of this database beside that of the checkout that these pages run from; without one, what is applied, alone.
    private static func files(_ store: HistoryStore) async throws -> [Migrator.File] {
        if let root = try? Migrator.findRoot() { return try await Migrator.status(root: root, in: store.pool) }
        return try await store.installedFiles().compactMap { row in
            guard let path = row.text("path"), let checksum = row.text("checksum") else { return nil }
            return Migrator.File(
                path: path, kind: row.text("kind") == "migration" ? .migration : .definition, state: .applied,
                checksum: checksum,
                appliedAt: row.time("applied_at").map { Date(timeIntervalSince1970: Double($0.microseconds) / 1e6) })
        }
    }

    private static func check(_ files: [Migrator.File]) -> [String: Any] {
        func count(_ state: Migrator.File.State, _ kind: Migrator.File.Kind? = nil) -> Int {
            files.count { $0.state == state && (kind == nil || $0.kind == kind) }
        }
        let migrations = count(.applied, .migration)
        let parts = [
            (count(.pending), "pending"), (count(.changed), "changed"), (count(.edited), "edited"),
            (count(.unknown), "of other code"),
        ].filter { $0.0 > 0 }
        let advice =
            if files.allSatisfy({ $0.state == .pending }) {
                "The files were applied by other means, so nothing is known of them: perdure migrate keeps a ledger."
            } else if count(.edited) > 0 {
                "A migration was edited after it had been applied: restore it, and put the change into a new one."
            } else if count(.unknown, .migration) > 0 {
                "The database is newer than the code that these pages run: update it."
            } else { "Run perdure migrate." }
        return check(
            "Migrations", (["\(migrations) applied"] + parts.map { "\($0.0) \($0.1)" }).joined(separator: ", "),
            isWell: parts.isEmpty && migrations > 0, advice)
    }

    /// Migrations all, and of the rest what is not as it should be.
    private static func rows(_ files: [Migrator.File]) -> [[String: Any]] {
        // Without a ledger nothing is known of any.
        guard files.contains(where: { $0.state != .pending }) else { return [] }
        return files.filter { $0.kind == .migration || $0.state != .applied }.map { file in
            let (look, label) =
                switch file.state {
                case .applied: ("completed", "Applied")
                case .pending: ("waiting", "Pending")
                case .changed: ("retrying", "Changed")
                case .edited: ("failed", "Edited after it was applied")
                case .unknown: ("retrying", "Not in this checkout")
                }
            return [
                "path": file.path, "status": ["look": look, "label": label],
                "checksum": String(file.checksum.prefix(12)),
                "whole": file.checksum,
                "applied": View.time(
                    file.appliedAt.map { Instant(microseconds: Int64($0.timeIntervalSince1970 * 1_000_000)) }),
            ]
        }
    }

    private static func check(_ name: String, _ value: String, isWell: Bool, _ advice: String) -> [String: Any] {
        let look = isWell ? "completed" : "retrying"
        let status: [String: Any] = ["look": look, "label": isWell ? "Well" : "Look at it"]
        return ["name": name, "value": value, "status": status, "advice": isWell ? false : advice as Any]
    }

    private static func checks(_ health: JSONValue) -> [[String: Any]] {
        func seconds(_ name: String) -> Double { health.text(name).flatMap { Double($0) } ?? 0 }
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
