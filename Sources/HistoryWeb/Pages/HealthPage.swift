import Foundation
import Hummingbird
import PerdureEngine
import Postgres
import WebCommon

/// `/namespaces/{namespace}/health`: what `perdure doctor` says of the database, problems first, and the namespace's
/// search attributes.
struct HealthPage: Page {
    /// The checks, for all who look at the same time.
    private let checks = SharedAnswers<[JSON]>(kept: .seconds(2))

    func addRoutes(to router: SiteRouter, of site: Site) {
        router.route(
            "namespaces/:namespace/health",
            [
                .get: { _, context in
                    let namespace = try context.pathSegment("namespace")
                    let found = try await checks.answer("") { try await site.store.healthChecks() }.value
                    let health = try await site.store.health()
                    let fields = try await site.store.filterFields(namespace)
                    let files = try await Self.files(site.store)
                    let attributes = fields.filter { $0.text("description") == "A search attribute" }
                    return site.page(
                        "health", title: "Health", namespace: namespace, section: .health,
                        [
                            "checks": Self.rows([Self.check(files)] + found), "files": Self.rows(files ?? []),
                            "hasFiles": files?.contains { $0.state != .pending } ?? false,
                            "size": health.text("size") ?? "",
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

    /// The engine's SQL in this database beside that of the checkout that these pages run from; without one, beside
    /// what they were built with. Nil if the ledger may not be read.
    static func files(_ store: HistoryStore) async throws -> [Migrator.File]? {
        do {
            return try await Migrator.status(root: try Migrator.findRoot(), in: store.pool)
        } catch let error as PostgresError where error.sqlState == "42501" {
            return nil
        }
    }

    static func check(_ files: [Migrator.File]?) -> JSON {
        let (status, message, hint) =
            files.map(Migrator.check) ?? (
                "warning", "only the owner can tell whether all migrations are applied",
                "Let the owner run perdure migrate status."
            )
        return [
            "name": "Migrations", "status": .string(status), "message": .string(message),
            "hint": hint.map { .string($0) } ?? .null,
        ]
    }

    /// Problems first, each kind in the order of the checks.
    static func rows(_ checks: [JSON]) -> [[String: Any]] {
        let looks = [("wrong", "failed", "Wrong"), ("warning", "retrying", "Warning"), ("well", "completed", "Well")]
        return looks.flatMap { status, look, label in
            checks.filter { $0.text("status") == status }.map { check in
                [
                    "name": check.text("name") ?? "", "message": check.text("message") ?? "",
                    "hint": check.text("hint") ?? false as Any, "status": ["look": look, "label": label],
                ] as [String: Any]
            }
        }
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
                    file.appliedAt.map { Timestamp(microseconds: Int64($0.timeIntervalSince1970 * 1_000_000)) }),
            ]
        }
    }
}
