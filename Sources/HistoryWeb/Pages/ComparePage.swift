import Foundation
import HTTPTypes
import Hummingbird
import PerdureModel
import WebCommon

/// `/namespaces/{namespace}/compare?run={workflow or run id}&run={another}`: two histories side by side, and the first
/// event at which they part.
struct ComparePage: Page {
    private static let longest = 2000
    /// What two runs of the same code differ in without meaning anything by it.
    private static let incidental: Set = [
        "scheduledEventId", "startedEventId", "workflowTaskCompletedEventId", "identity", "requestId", "workerVersion",
        "binaryChecksum", "originalExecutionRunId", "firstExecutionRunId", "newExecutionRunId",
        "continuedExecutionRunId",
    ]

    func addRoutes(to router: SiteRouter, of site: Site) {
        router.route(
            "namespaces/:namespace/compare",
            [
                .get: { request, context in
                    let namespace = try context.pathSegment("namespace")
                    return try await Self.page(namespace, request.queryFields().all("run"), site)
                }
            ])
    }

    private static func page(_ namespace: String, _ names: [String], _ site: Site) async throws -> Response {
        var values: [String: Any] = [
            "path": "/namespaces/\(namespace.segmentOfAddress)/compare", "one": names.first ?? "",
            "other": names.count > 1 ? names[1] : "", "hasBoth": false,
        ]
        func answer(_ status: HTTPResponse.Status = .ok) -> Response {
            site.page(
                "compare", title: "Compare two runs", namespace: namespace, section: .workflows, status: status, values)
        }
        guard names.count == 2 else { return answer() }
        let one: Run
        let other: Run
        do {
            one = try await run(names[0], namespace, site)
            other = try await run(names[1], namespace, site)
        } catch {
            guard let problem = Site.problem(with: error) else { throw error }
            values["problem"] = Site.sentence(problem)
            return answer(problem.status)
        }
        async let first = site.store.events(of: one, from: 1, limit: longest, .cut)
        let second = try await site.store.events(of: other, from: 1, limit: longest, .cut)
        let rows = rows(try await first, second, one, other)
        values["hasBoth"] = true
        values["runs"] = [one, other].map {
            ["href": $0.path, "workflowID": $0.workflowID, "type": $0.type, "status": View.status($0.status)]
                as [String: Any]
        }
        let parting = rows.first { $0["parts"] as? Bool == true }
        values["parting"] = parting?["place"] ?? false
        values["isSame"] = parting == nil
        values["rows"] = rows
        values["isCut"] = max(one.historyLength, other.historyLength) > longest
        return answer()
    }

    private static func run(_ name: String, _ namespace: String, _ site: Site) async throws -> Run {
        let found: Run? =
            if UUID(uuidString: name) != nil,
                let run = try await site.store.runs(namespace, "RunId = \(name.quotedForFilter)", after: nil, limit: 1)
                    .first
            { run } else { try await site.store.run(namespace, name, nil) }
        guard let found else { throw WebError(.notFound, "there is no run and no workflow \"\(name)\"") }
        // With what only one run's row tells.
        return try await site.store.run(namespace, found.workflowID, UUID(uuidString: found.runID)) ?? found
    }

    private static func rows(
        _ first: [HistoryEvent], _ second: [HistoryEvent], _ one: Run, _ other: Run
    ) -> [[String: Any]] {
        var haveParted = false
        return (0..<max(first.count, second.count)).map { index in
            let left = index < first.count ? first[index] : nil
            let right = index < second.count ? second[index] : nil
            let isSameKind = left?.type == right?.type && left?.subject == right?.subject
            let parts = !haveParted && !isSameKind
            haveParted = haveParted || parts
            let differ = isSameKind ? differences(left, right) : []
            return [
                "place": index + 1, "parts": parts, "isOther": haveParted && !parts && !isSameKind,
                "left": side(left, one), "right": side(right, other),
                "differ": differ.isEmpty ? false : differ.joined(separator: ", ") as Any,
            ]
        }
    }

    private static func side(_ event: HistoryEvent?, _ run: Run) -> Any {
        guard let event else { return false }
        return [
            "id": event.id, "type": event.type, "subject": event.subject ?? "",
            "offset": "+" + (event.time - run.start).readable,
            "href": "\(run.path)?event=\(event.id)&view=all#event-\(event.id)",
        ] as [String: Any]
    }

    /// The names of the attributes that have another value.
    private static func differences(_ left: HistoryEvent?, _ right: HistoryEvent?) -> [String] {
        guard let left, let right else { return [] }
        let names = Array(left.attributes.members.keys) + right.attributes.members.keys
        var seen: Set<String> = []
        return names.filter {
            seen.insert($0).inserted && !incidental.contains($0)
                && left.attributes.member($0) != right.attributes.member($0)
        }
    }
}
