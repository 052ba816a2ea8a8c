import Hummingbird
import WebCommon

/// `/namespaces/{namespace}/workers`: the worker processes whose lease runs.
struct WorkersPage: Page {
    func addRoutes(to router: SiteRouter, of site: Site) {
        router.route(
            "namespaces/:namespace/workers",
            [
                .get: { _, context in
                    let namespace = try context.pathSegment("namespace")
                    let rows = try await site.store.workers(namespace)
                    return site.page(
                        "workers", title: "Workers", namespace: namespace, section: .workers,
                        ["table": TableView.values(rows, without: ["namespace", "details"]), "isEmpty": rows.isEmpty])
                }
            ])
    }
}

/// A view's rows as they are: a column for each of its columns, named by it.
enum TableView {
    static func values(_ rows: [JSONValue], without hidden: Set<String>) -> [String: Any] {
        let names = (rows.first?.members ?? []).map(\.name).filter { !hidden.contains($0) }
        return [
            "columns": names.map { $0.prefix(1).uppercased() + $0.dropFirst().replacing("_", with: " ") },
            "rows": rows.map { row in
                ["cells": names.map { cell(row.member($0), named: $0) }]
            },
        ]
    }

    private static func cell(_ value: JSONValue?, named name: String) -> [String: Any] {
        let time = value?.string.flatMap { Instant(rfc3339: $0) }
        let text =
            switch value {
            case nil: "–"
            case .array(let values): values.map { $0.string ?? $0.text }.joined(separator: ", ")
            case .some(let value): value.string ?? value.text
            }
        return ["time": View.time(time), "text": time == nil ? text : false as Any]
    }
}
