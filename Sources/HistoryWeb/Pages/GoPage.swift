import Foundation
import Hummingbird
import PerdureModel
import Postgres
import WebCommon

/// `/namespaces/{namespace}/go`: finds whatever has a name: pages, views, runs by the beginning of their ids, task
/// queues, workflow types, namespaces. A script shows the same in a dialog, from `go.json`.
struct GoPage: Page {
    /// How many of each kind are shown.
    private static let most = 8

    func addRoutes(to router: SiteRouter, of site: Site) {
        router.route(
            "namespaces/:namespace/go",
            [
                .get: { request, context in
                    let namespace = try context.pathSegment("namespace")
                    let text = Self.text(try request.queryFields())
                    let places = try await Self.places(text, namespace, site)
                    return site.page(
                        "go", title: "Go to", namespace: namespace,
                        [
                            "text": text, "path": Self.path(namespace), "isNothing": places.isEmpty,
                            "places": places.map {
                                ["kind": $0.kind, "label": $0.label, "href": $0.href] as [String: Any]
                            },
                        ])
                }
            ])
        router.route(
            "namespaces/:namespace/go.json",
            [
                .get: { request, context in
                    let namespace = try context.pathSegment("namespace")
                    let places = try await Self.places(Self.text(try request.queryFields()), namespace, site)
                    return Response(
                        json: .array(
                            places.map {
                                ["kind": .string($0.kind), "label": .string($0.label), "href": .string($0.href)]
                            }))
                }
            ])
    }

    static func path(_ namespace: String) -> String { "/namespaces/\(namespace.segmentOfAddress)/go" }

    private static func text(_ fields: FormFields) -> String {
        String((fields["q"] ?? "").trimmingCharacters(in: .whitespacesAndNewlines).prefix(1000))
    }

    private struct Place {
        let kind: String
        let label: String
        let href: String
    }

    private static func places(_ text: String, _ namespace: String, _ site: Site) async throws -> [Place] {
        func fits(_ label: String) -> Bool { text.isEmpty || label.lowercased().contains(text.lowercased()) }
        let top = "/namespaces/\(namespace.segmentOfAddress)"
        let list = site.workflowsPath(namespace)
        func runs(_ field: String, _ value: String) -> String {
            "\(list)?query=\("\(field) = \(value.quotedForFilter)".escapedForAddress)"
        }
        var places = Site.Section.allCases.map { ("Page", $0.label, "\(top)/\($0.rawValue)") }
        places.append(("Page", "Compare two runs", "\(top)/compare"))
        if site.mayWrite { places.append(("Action", "Start a workflow", "\(top)/start")) }
        let views = try await site.store.views(namespace).compactMap { view in
            view.text("name").map { ("View", $0, "\(list)?\(view.text("address") ?? "")") }
        }
        places += views
        var found = places.map { Place(kind: $0, label: $1, href: $2) }.filter { fits($0.label) }
        guard !text.isEmpty else { return found }

        async let types = site.store.recent(.type, namespace)
        async let queues = site.store.recent(.taskQueue, namespace)
        let isRunID = UUID(uuidString: text) != nil
        let filter = isRunID ? "RunId = \(text.quotedForFilter)" : "WorkflowId STARTS_WITH \(text.quotedForFilter)"
        let named = try await site.store.runs(namespace, filter, after: nil, limit: most)
        found += named.map { Place(kind: $0.status.label, label: $0.workflowID, href: $0.path) }
        found += try await queues.filter(fits).prefix(most).map {
            Place(kind: "Task queue", label: $0, href: "\(top)/queues#queue-\($0.mark)")
        }
        found += try await types.filter(fits).prefix(most).map {
            Place(kind: "Runs of type", label: $0, href: runs("WorkflowType", $0))
        }
        found += try await site.store.namespaces().filter { fits($0) && $0 != namespace }.prefix(most).map {
            Place(kind: "Namespace", label: $0, href: AttentionPage.path($0))
        }
        return found
    }
}
