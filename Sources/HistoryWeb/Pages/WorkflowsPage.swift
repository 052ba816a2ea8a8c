import Foundation
import HTTPTypes
import Hummingbird
import Postgres
import WebCommon

/// `/namespaces/{namespace}/workflows`: the runs that a filter chooses, newest first.
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
                    let filter = try Self.filter(request.queryFields(), context)
                    return try await site.changes(request) {
                        try await site.store.mark(filter.namespace, filter.expression, limit: Self.pageSize)
                    }
                }
            ])
        router.route(
            "namespaces/:namespace/filter-fields.json",
            [
                .get: { _, context in
                    let namespace = try context.pathSegment("namespace")
                    async let types = site.store.recent(.type, namespace)
                    async let queues = site.store.recent(.taskQueue, namespace)
                    let fields = try await site.store.filterFields(namespace)
                    let statuses = Run.Status.allCases.map { JSONValue.string($0.rawValue) }
                    return Response(
                        json: [
                            "fields": .array(fields),
                            "values": [
                                "ExecutionStatus": .array(statuses),
                                "WorkflowType": .array(try await types.map(JSONValue.string)),
                                "TaskQueue": .array(try await queues.map(JSONValue.string)),
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

    static func filter(_ fields: FormFields, _ context: BasicRequestContext) throws -> ListFilter {
        func option<T: RawRepresentable<String> & CaseIterable>(_ name: String, _ type: T.Type) throws -> T? {
            try fields[name].map { text in
                guard let option = T(rawValue: text) else {
                    let known = T.allCases.map(\.rawValue).joined(separator: ", ")
                    throw WebError(.badRequest, "\(name) cannot be \"\(text)\"; it is one of \(known)")
                }
                return option
            }
        }
        return ListFilter(
            namespace: try context.pathSegment("namespace"),
            text: (fields["query"] ?? "").trimmingCharacters(in: .whitespacesAndNewlines),
            status: try option("status", Run.Status.self), since: try option("since", ListFilter.Range.self))
    }

    private func page(_ request: Request, _ context: BasicRequestContext, of site: Site) async throws -> Response {
        let fields = try request.queryFields()
        let filter = try Self.filter(fields, context)
        let last = try fields["after"].map { text in
            guard let last = try? JSONValue(parsing: text.utf8), case .object = last else {
                throw WebError(.badRequest, "this page of the list cannot be found; begin at the first one")
            }
            return last
        }
        let path = site.workflowsPath(filter.namespace)
        let attributes = try await site.store.filterFields(filter.namespace).filter {
            $0.text("description") == "A search attribute"
        }
        let columns = RunColumns(
            fields.all("column"), cookie: request.headers[values: .cookie],
            attributes: attributes.compactMap { $0.text("name") })

        var values: [String: Any] = [
            "path": path, "query": filter.text, "status": filter.status?.rawValue ?? false as Any,
            "since": filter.since?.rawValue ?? false as Any, "isFiltered": !filter.isEmpty, "problem": false,
            "columns": columns.choices, "headers": columns.headers,
            "fieldsSource": "/namespaces/\(filter.namespace.escapedForAddress)/filter-fields.json",
            "batch": "/namespaces/\(filter.namespace.escapedForAddress)/batch",
            "compare": "/namespaces/\(filter.namespace.escapedForAddress)/compare",
            "startPath": "/namespaces/\(filter.namespace.escapedForAddress)/start",
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
        func answer(_ status: HTTPResponse.Status = .ok) -> Response {
            var response = site.page(
                "workflows", title: "Workflows", namespace: filter.namespace, section: .workflows, status: status,
                values)
            if let cookie = columns.cookie { response.headers[.setCookie] = cookie }
            return response
        }

        let counts: [Run.Status: Int]
        var runs: [Run]
        do {
            async let counted = site.store.counts(
                filter.namespace, filter.expression(status: nil), limit: Self.longestCount + 1)
            runs = try await site.store.runs(
                filter.namespace, filter.expression, after: last, limit: Self.pageSize + 1)
            counts = try await counted
        } catch let error as PostgresError where error.sqlState == "PD003" {
            values["problem"] = Self.problem(error, in: filter)
            values.merge(["chips": [Any](), "runs": [Any](), "isEmpty": false, "next": false, "first": false]) { $1 }
            values["changes"] = false
            return answer(.badRequest)
        }
        let hasMore = runs.count > Self.pageSize
        runs = Array(runs.prefix(Self.pageSize))
        let now = Instant.now

        func shown(_ count: Int) -> String { count > Self.longestCount ? "1,000+" : String(count) }
        let total = counts.values.reduce(0, +)
        var chips: [[String: Any]] = [
            [
                "label": "All", "count": shown(total), "current": filter.status == nil,
                "href": path + filter.address(status: .some(nil)), "look": false,
            ]
        ]
        for status in Run.Status.allCases where counts[status, default: 0] > 0 || filter.status == status {
            chips.append([
                "label": status.label, "count": shown(counts[status, default: 0]), "current": filter.status == status,
                "href": path + filter.address(status: .some(status)), "look": status.look,
            ])
        }
        let next = runs.last.map { path + filter.address(after: $0.place(isNewestFirst: filter.isNewestFirst).text) }
        values.merge([
            "chips": chips, "runs": runs.map { Self.row($0, columns, now: now) }, "isEmpty": runs.isEmpty,
            "running": counts[.running, default: 0], "runningShown": shown(counts[.running, default: 0]),
            "next": hasMore ? next ?? false as Any : false,
            "first": last == nil ? false : path + filter.address() as Any,
            "changes": last == nil
                ? "/namespaces/\(filter.namespace.escapedForAddress)/workflow-changes" + filter.address() : false as Any
                ,
        ]) { $1 }
        return answer()
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

    private static func row(_ run: Run, _ columns: RunColumns, now: Instant) -> [String: Any] {
        [
            "key": run.runID, "href": run.path, "workflowID": run.workflowID, "isOpen": run.close == nil,
            "cells": columns.cells(of: run, now: now),
        ]
    }
}

extension ListFilter {
    /// The filter as an address's query, a part of it changed if that is given.
    func address(status other: Run.Status?? = nil, since range: Range?? = nil, after place: String? = nil) -> String {
        let fields = [
            ("query", text.isEmpty ? nil : text), ("status", (other ?? status)?.rawValue),
            ("since", (range ?? since)?.rawValue),
            ("after", place),
        ]
        let query = fields.compactMap { name, value in value.map { "\(name)=\($0.escapedForAddress)" } }
        return query.isEmpty ? "" : "?" + query.joined(separator: "&")
    }
}

extension Run {
    /// Where a list goes on after this run: the columns that it is ordered by.
    func place(isNewestFirst: Bool) -> JSONValue {
        var place: [JSONValue.Member] = [
            .init(name: "start_time", value: .string(start.rfc3339)), .init(name: "run_id", value: .string(runID)),
        ]
        guard !isNewestFirst else { return .object(place) }
        place += [
            .init(name: "namespace", value: .string(namespace)), .init(name: "workflow_id", value: .string(workflowID)),
            .init(name: "workflow_type", value: .string(type)), .init(name: "status", value: .string(status.rawValue)),
            .init(name: "task_queue", value: .string(taskQueue)),
            .init(name: "execution_time", value: .string((execution ?? start).rfc3339)),
            .init(name: "close_time", value: close.map { .string($0.rfc3339) } ?? .null),
            .init(name: "history_length", value: .number(String(historyLength))),
            .init(name: "search_attributes", value: .object(searchAttributes)),
        ]
        return .object(place)
    }
}
