import Foundation
import HTTPTypes
import Hummingbird
import PerdureModel
import Postgres
import WebCommon

/// `/namespaces/{namespace}/workflows`: the runs that a filter chooses, newest first.
struct WorkflowsPage: Page {
    func addRoutes(to router: SiteRouter, of site: Site) {
        router.route(
            "namespaces/:namespace/workflows",
            [
                .get: { request, context in
                    let fields = try request.queryFields()
                    let filter = try Self.filter(fields, context)
                    if fields["field"] != nil { return try await Self.build(fields, filter, of: site) }
                    return try await site.pages.response(to: request) {
                        try await page(request, fields, filter, of: site)
                    }
                }
            ])
        router.route(
            "namespaces/:namespace/views",
            [
                .post: { request, context in
                    let namespace = try context.pathSegment("namespace")
                    let fields = try await request.formFields()
                    do { return try await Self.keepView(fields, namespace, site) } catch {
                        guard let problem = Site.problem(with: error) else { throw error }
                        // The list that was to be kept, with the name that was given.
                        let list = try FormFields(fields["address"] ?? "")
                        return try await page(
                            request, list, try Self.filter(list, context), of: site, refused: (fields["name"], problem))
                    }
                }
            ])
        // Not below `workflows`: any name there is a workflow's id.
        router.route(
            "namespaces/:namespace/workflow-changes",
            [.get: { request, _ in try await site.changes(request) }])
        router.route(
            "namespaces/:namespace/filter-fields.json",
            [
                .get: { _, context in
                    let namespace = try context.pathSegment("namespace")
                    async let types = site.store.recent(.type, namespace)
                    async let queues = site.store.recent(.taskQueue, namespace)
                    let fields = try await site.store.filterFields(namespace)
                    let statuses = Run.Status.allCases.map { JSON.string($0.rawValue) }
                    return Response(
                        json: [
                            "fields": .array(fields),
                            "values": [
                                "ExecutionStatus": .array(statuses),
                                "WorkflowType": .array(try await types.map(JSON.string)),
                                "TaskQueue": .array(try await queues.map(JSON.string)),
                            ],
                        ])
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

    /// Lists that every namespace has.
    private static func builtInViews(_ attributes: [String]) -> [(label: String, address: String)] {
        let condition = attributes.contains("Condition") ? "PerdureCondition" : "Condition"
        return [
            (
                "Anything that fails",
                "query=\("\(condition) IN ('CodeFails', 'Retrying', 'NoWorker')".escapedForAddress)"
            ),
            ("Failed in the last 24 hours", "status=Failed&since=24h"),
            ("Open for longest", "status=Running&sort=start-up"),
            ("Closed last", "sort=close"),
        ]
    }

    /// Saves the list under a name, or removes the view of that name, and shows the list again.
    private static func keepView(_ fields: FormFields, _ namespace: String, _ site: Site) async throws -> Response {
        guard let name = fields["name"] else { throw WebError(.badRequest, "a view needs a name") }
        let address = address(of: try FormFields(fields["address"] ?? ""))
        if fields["action"] == "remove" {
            try await site.store.deleteView(namespace, name: name)
        } else {
            try await site.store.saveView(namespace, name: name, address: address)
        }
        return .redirect(to: site.workflowsPath(namespace) + (address.isEmpty ? "" : "?\(address)"), type: .normal)
    }

    /// What of an address chooses the list, and no place in it.
    private static func address(of fields: FormFields) -> String {
        ["query", "status", "condition", "since", "sort", "column"].flatMap { name in
            fields.all(name).map { "\(name)=\($0.escapedForAddress)" }
        }.joined(separator: "&")
    }

    static func filter(_ fields: FormFields, _ context: BasicRequestContext) throws -> ListFilter {
        try ListFilter(fields, namespace: try context.pathSegment("namespace"))
    }

    /// Writes a condition into the filter, and shows the list that it chooses.
    private static func build(_ fields: FormFields, _ filter: ListFilter, of site: Site) async throws -> Response {
        let known = try await site.store.filterFields(filter.namespace)
        guard let field = known.first(where: { $0.text("name") == fields["field"] }) else {
            throw WebError(.badRequest, "no run has a field of that name; the list of fields has those that there are")
        }
        guard let condition = FilterCondition(field, operator: fields["operator"] ?? "=", value: fields["value"] ?? "")
        else { throw WebError(.badRequest, "the operator is one of the list") }
        let chosen = filter.adding(condition)
        return .redirect(to: site.workflowsPath(filter.namespace) + chosen.address(), type: .normal)
    }

    /// - Parameter refused: a view that was not kept: its name, and why.
    private func page(
        _ request: Request, _ fields: FormFields, _ filter: ListFilter, of site: Site,
        refused: (name: String?, problem: WebError)? = nil
    ) async throws -> Response {
        let last = try fields["after"].map { text in
            guard let last = try? JSON(parsing: text.utf8), case .object = last else {
                throw WebError(.badRequest, "this page of the list cannot be found; begin at the first one")
            }
            return last
        }
        let path = site.workflowsPath(filter.namespace)
        async let views = site.store.views(filter.namespace)
        let known = try await site.store.filterFields(filter.namespace)
        let attributes = known.filter { $0.text("description") == "A search attribute" }.compactMap { $0.text("name") }
        let columns = RunColumns(
            fields.all("column"), kept: request.cookie(RunColumns.cookieName), attributes: attributes)

        var values: [String: Any] = [
            "path": path, "query": filter.text, "status": filter.status?.rawValue ?? false as Any,
            "condition": filter.condition?.rawValue ?? false as Any, "sort": filter.sort?.rawValue ?? false as Any,
            "since": filter.since?.rawValue ?? false as Any, "isFiltered": !filter.isEmpty, "problem": false,
            "columns": columns.choices, "headers": columns.headers { Self.sorting($0, filter, path) },
            "viewsPath": "/namespaces/\(filter.namespace.segmentOfAddress)/views",
            "viewAddress": Self.viewAddress(fields, columns), "viewName": refused?.name ?? "",
            "viewProblem": refused.map { Site.sentence($0.problem) } ?? false as Any,
            "filterFields": known.map {
                ["name": $0.text("name") ?? "", "type": $0.text("type") ?? ""]
            }, "operators": FilterCondition.operators.map { ["sign": $0, "label": $1] },
            "builtInViews": Self.builtInViews(attributes).map {
                ["label": $0.label, "href": "\(path)?\($0.address)"]
            },
            "views": try await views.map { view in
                [
                    "label": view.text("name") ?? "", "href": "\(path)?\(view.text("address") ?? "")",
                    "by": view.text("saved_by") ?? "",
                ]
            },
            "fieldsSource": "/namespaces/\(filter.namespace.segmentOfAddress)/filter-fields.json",
            "batch": "/namespaces/\(filter.namespace.segmentOfAddress)/batch",
            "compare": "/namespaces/\(filter.namespace.segmentOfAddress)/compare",
            "startPath": "/namespaces/\(filter.namespace.segmentOfAddress)/start",
            "ranges": [
                ["label": "Any time", "href": path + filter.address(since: .some(nil)), "current": filter.since == nil]
                    as [String: Any]
            ]
                + ListFilter.Range.allCases.map { range in
                    [
                        "label": range.label, "href": path + filter.address(since: .some(range)),
                        "current": filter.since == range,
                    ]
                },
        ]
        values["ways"] = OtherWays.list(filter)
        let usual = refused?.problem.status ?? .ok
        func answer(_ status: HTTPResponse.Status) -> Response {
            var response = site.page(
                "workflows", title: "Workflows", namespace: filter.namespace, section: .workflows, status: status,
                values)
            response.headers.append(Prefetching.header)
            if let cookie = columns.cookie { response.headers[.setCookie] = cookie }
            return response
        }

        let list: HistoryStore.RunList
        do { list = try await site.store.list(filter, after: last) } catch let error as PostgresError
            where error.sqlState == "PD003"
        {
            values["problem"] = Self.problem(error, in: filter)
            values.merge([
                "chips": [Any](), "hasMatching": false, "runs": [Any](), "isEmpty": false, "next": false,
                "first": false,
            ]) { $1 }
            values["changes"] = false
            return answer(.badRequest)
        }
        let counts = list.counts
        let hasMore = list.runs.count > HistoryStore.pageSize
        let runs = list.runs.prefix(HistoryStore.pageSize)
        let now = Timestamp.now

        func shown(_ count: Int) -> String { count > HistoryStore.longestCount ? "1,000+" : String(count) }
        let total = counts.values.reduce(0, +)
        var chips: [[String: Any]] = [
            [
                "label": "All", "count": shown(total), "current": filter.status == nil && filter.condition == nil,
                "href": path + filter.address(status: .some(nil), condition: .some(nil)), "look": false,
                "isPart": false,
            ]
        ]
        for status in Run.Status.allCases where counts[status, default: 0] > 0 || filter.status == status {
            chips.append([
                "label": status.label, "count": shown(counts[status, default: 0]), "current": filter.status == status,
                "href": path + filter.address(status: .some(status), condition: .some(nil)), "look": status.look,
                "isPart": false,
            ])
            guard status == .running else { continue }
            // Of the running ones.
            for condition in Run.Condition.allCases
            where list.conditions[condition, default: 0] > 0 || filter.condition == condition {
                chips.append([
                    "label": condition.label, "count": shown(list.conditions[condition, default: 0]),
                    "current": filter.condition == condition,
                    "href": path + filter.address(status: .some(nil), condition: .some(condition)),
                    "look": condition.look, "isPart": true,
                ])
            }
        }
        let matching = filter.condition.map { list.conditions[$0, default: 0] } ?? counts[.running, default: 0]
        let next = runs.last.map { path + filter.address(after: $0.place(isNewestFirst: filter.isNewestFirst).text) }
        values.merge([
            "chips": chips, "runs": runs.map { Self.row($0, columns, now: now) }, "isEmpty": runs.isEmpty,
            "matchingShown": shown(matching),
            "hasMatching": matching > 0 && (filter.status == nil || filter.status == .running),
            "next": hasMore ? next ?? false as Any : false,
            "first": last == nil ? false : path + filter.address() as Any,
            "changes": last == nil
                ? LiveView.runs(filter, lengths: columns.haveLengths).address : false as Any,
            "mark": list.mark(lengths: columns.haveLengths),
        ]) { $1 }
        return answer(usual)
    }

    /// What is wrong with a filter, and the part of it that is meant.
    private static func problem(_ error: PostgresError, in filter: ListFilter) -> [String: Any] {
        var message = error.message
        if message.hasPrefix("list filter: ") { message.removeFirst("list filter: ".count) }
        var problem: [String: Any] = [
            "message": message, "hint": error.hint ?? "", "before": filter.text, "meant": "", "after": "",
            "hasPlace": false,
            "from": 0, "to": 0,
        ]
        if !filter.isWord, let place = error.detail?.firstMatch(of: #/characters (\d+) to (\d+)/#),
            let first = Int(place.1), let last = Int(place.2)
        {
            let characters = Array(filter.text.unicodeScalars)
            let from = min(max(first - 1 - ListFilter.offset, 0), characters.count)
            let to = min(max(last - ListFilter.offset, from), characters.count)
            func text(_ range: Swift.Range<Int>) -> String { String(String.UnicodeScalarView(characters[range])) }
            problem["before"] = text(0..<from)
            problem["meant"] = from == to ? " " : text(from..<to)
            problem["after"] = text(to..<characters.count)
            problem["hasPlace"] = true
            // As a script counts: in UTF-16.
            problem["from"] = text(0..<from).utf16.count
            problem["to"] = text(0..<to).utf16.count
        }
        return problem
    }

    private static func viewAddress(_ fields: FormFields, _ columns: RunColumns) -> String {
        // A view brings its columns with it.
        let chosen = columns.chosen.map { "column=\($0.escapedForAddress)" }.joined(separator: "&")
        guard fields.all("column").isEmpty else { return address(of: fields) }
        return [address(of: fields), chosen].filter { !$0.isEmpty }.joined(separator: "&")
    }

    /// How the list is sorted by a column, and where it is sorted the other way; nil for one that no index serves.
    private static func sorting(_ column: String, _ filter: ListFilter, _ path: String) -> (now: String?, next: String)?
    {
        guard !filter.saysOrder else { return nil }
        func place(_ sort: ListFilter.Sort?) -> String { path + filter.address(sort: .some(sort)) }
        switch (column, filter.sort) {
        case ("start", nil): return ("descending", place(.oldestFirst))
        case ("start", .oldestFirst): return ("ascending", place(nil))
        case ("start", _): return (nil, place(nil))
        case ("close", .lastClosedFirst): return ("descending", place(.firstClosedFirst))
        case ("close", .firstClosedFirst): return ("ascending", place(.lastClosedFirst))
        case ("close", _): return (nil, place(.lastClosedFirst))
        default: return nil
        }
    }

    private static func row(_ run: Run, _ columns: RunColumns, now: Timestamp) -> [String: Any] {
        [
            "key": run.runID, "href": run.path, "workflowID": run.workflowID, "isOpen": run.close == nil,
            "cells": columns.cells(of: run, now: now),
        ]
    }
}

extension ListFilter {
    /// The filter as an address's query, a part of it changed if that is given.
    func address(
        status other: Run.Status?? = nil, condition wrong: Run.Condition?? = nil, since range: Range?? = nil,
        sort order: Sort?? = nil, after place: String? = nil
    ) -> String {
        let fields = [
            ("query", text.isEmpty ? nil : text), ("status", (other ?? status)?.rawValue),
            ("condition", (wrong ?? condition)?.rawValue), ("since", (range ?? since)?.rawValue),
            ("sort", (order ?? sort)?.rawValue),
            ("after", place),
        ]
        let query = fields.compactMap { name, value in value.map { "\(name)=\($0.escapedForAddress)" } }
        return query.isEmpty ? "" : "?" + query.joined(separator: "&")
    }
}

extension Run {
    /// Where a list goes on after this run: the columns that it is ordered by.
    func place(isNewestFirst: Bool) -> JSON {
        guard !isNewestFirst else { return ["start_time": .string(start.description), "run_id": .string(runID)] }
        return [
            "start_time": .string(start.description), "run_id": .string(runID), "namespace": .string(namespace),
            "workflow_id": .string(workflowID), "workflow_type": .string(type), "status": .string(status.rawValue),
            "task_queue": .string(taskQueue), "execution_time": .string((execution ?? start).description),
            "close_time": close.map { .string($0.description) } ?? .null, "history_length": .number(historyLength),
            "search_attributes": .object(searchAttributes),
        ]
    }
}
