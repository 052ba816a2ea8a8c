import Foundation
import Hummingbird
import WebCommon

/// `/namespaces/{namespace}/workflows`: the runs, newest first.
struct WorkflowsPage: Page {
    private static let pageSize = 50
    private static let longestCount = 1000

    func addRoutes(to router: SiteRouter, of site: Site) {
        router.route(
            "namespaces/:namespace/workflows",
            [.get: { request, context in try await page(request, context, of: site) }])
        // Not below `workflows`: any name there is a workflow's id.
        router.route(
            "namespaces/:namespace/workflow-changes",
            [
                .get: { request, context in
                    let filter = try Self.filter(request, context)
                    return try await site.changes(request) {
                        try await site.store.mark(of: filter, limit: Self.pageSize)
                    }
                }
            ])
        router.route(
            "namespaces/:namespace/workflows/:workflow",
            [
                .get: { _, context in
                    let namespace = try context.pathSegment("namespace")
                    let workflowID = try context.pathSegment("workflow")
                    guard let run = try await site.store.run(namespace, workflowID, nil) else {
                        throw WebError(
                            .notFound,
                            "there is no workflow \"\(workflowID)\" in the namespace \"\(namespace)\"; ids are exact, "
                                + "so look for it by the beginning of its id in the list")
                    }
                    return .redirect(to: run.path, type: .found)
                }
            ])
    }

    private static func filter(
        _ request: Request, _ context: BasicRequestContext
    ) throws -> HistoryStore.Filter {
        let fields = try request.queryFields()
        var status: Run.Status?
        if let text = fields["status"] {
            status = Run.Status(rawValue: text)
            guard status != nil else {
                let known = Run.Status.allCases.map(\.rawValue).joined(separator: ", ")
                throw WebError(.badRequest, "there is no status \"\(text)\"; there are \(known)")
            }
        }
        return .init(
            namespace: try context.pathSegment("namespace"), status: status, type: fields["type"],
            idPrefix: fields["id"])
    }

    private func page(_ request: Request, _ context: BasicRequestContext, of site: Site) async throws -> Response {
        let filter = try Self.filter(request, context)
        let after = try request.queryFields()["after"]
        let cursor = try after.map { text in
            guard let cursor = HistoryStore.Cursor(text: text) else {
                throw WebError(.badRequest, "this page of the list cannot be found; begin at the first one")
            }
            return cursor
        }
        async let counted = site.store.counts(filter, limit: Self.longestCount + 1)
        async let types = site.store.workflowTypes(filter.namespace)
        var runs = try await site.store.runs(filter, after: cursor, limit: Self.pageSize + 1)
        let hasMore = runs.count > Self.pageSize
        runs = Array(runs.prefix(Self.pageSize))
        let counts = try await counted
        let path = site.workflowsPath(filter.namespace)
        let now = Instant.now

        func shown(_ count: Int) -> String { count > Self.longestCount ? "1,000+" : String(count) }
        let total = counts.values.reduce(0, +)
        var chips: [[String: Any]] = [
            [
                "label": "All", "count": total > Self.longestCount ? "1,000+" : String(total),
                "current": filter.status == nil,
                "href": path + filter.query(status: .some(nil)), "look": false,
            ]
        ]
        for status in Run.Status.allCases where counts[status, default: 0] > 0 || filter.status == status {
            chips.append([
                "label": status.label, "count": shown(counts[status, default: 0]), "current": filter.status == status,
                "href": path + filter.query(status: .some(status)), "look": status.look,
            ])
        }
        let next = runs.last.map {
            path + filter.query(after: HistoryStore.Cursor(start: $0.start, runID: $0.runID).text)
        }
        return site.page(
            "workflows", title: "Workflows", namespace: filter.namespace, section: .workflows,
            [
                "chips": chips, "path": path, "types": try await types,
                "status": filter.status?.rawValue ?? false as Any, "type": filter.type ?? "",
                "id": filter.idPrefix ?? "",
                "isFiltered": filter.status != nil || filter.type != nil || filter.idPrefix != nil,
                "runs": runs.map { Self.row($0, now: now) }, "isEmpty": runs.isEmpty,
                "next": hasMore ? next ?? false as Any : false,
                "first": cursor == nil ? false : path + filter.query() as Any,
                "changes": cursor == nil
                    ? "/namespaces/\(filter.namespace.escapedForAddress)/workflow-changes" + filter.query()
                    : false as Any,
            ])
    }

    private static func row(_ run: Run, now: Instant) -> [String: Any] {
        [
            "key": run.runID, "href": run.path, "workflowID": run.workflowID, "runID": run.runID,
            "type": run.type, "status": View.status(run.status), "taskQueue": run.taskQueue,
            "start": View.time(run.start), "close": View.time(run.close),
            "duration": ((run.close ?? now) - run.start).readable, "isOpen": run.close == nil,
            "attributes": run.searchAttributes.map { ["name": $0.name, "value": $0.value.string ?? $0.value.text] },
        ]
    }
}

extension HistoryStore.Filter {
    /// The filter as an address's query, the status changed to another one if that is given.
    fileprivate func query(status other: Run.Status?? = nil, after cursor: String? = nil) -> String {
        let fields = [
            ("status", (other ?? status)?.rawValue), ("type", type), ("id", idPrefix), ("after", cursor),
        ]
        let query = fields.compactMap { name, value in value.map { "\(name)=\($0.escapedForAddress)" } }
        return query.isEmpty ? "" : "?" + query.joined(separator: "&")
    }
}

extension HistoryStore.Cursor {
    fileprivate init(start: Instant, runID: String) {
        self.start = start
        // A run id that is none cannot come out of a uuid column.
        self.runID = UUID(uuidString: runID) ?? UUID()
    }

    fileprivate init?(text: String) {
        let halves = text.split(separator: "_")
        guard halves.count == 2, let start = Instant(rfc3339: String(halves[0])),
            let runID = UUID(uuidString: String(halves[1]))
        else { return nil }
        self.start = start
        self.runID = runID
    }

    fileprivate var text: String { "\(start.rfc3339)_\(runID.uuidString.lowercased())" }
}
