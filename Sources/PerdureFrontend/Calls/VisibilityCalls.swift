import Foundation
import PerdureEngine
import Postgres

/// Calls that list and count runs.
struct VisibilityCalls: Sendable {
    let database: FrontendDatabase

    var table: [String: Call] {
        [
            "ListWorkflowExecutions": list, "ScanWorkflowExecutions": list, "CountWorkflowExecutions": count,
            "ListOpenWorkflowExecutions": { try await list(Self.older($0, "ExecutionStatus = 'Running'")) },
            "ListClosedWorkflowExecutions": { try await list(Self.older($0, "ExecutionStatus != 'Running'")) },
            "ListArchivedWorkflowExecutions": { _ in
                throw CallError.invalidArgument("Cluster is not configured for visibility archival.")
            },
        ]
    }

    /// A request of the older calls, which have one field a filter, as one of `ListWorkflowExecutions`.
    private static func older(_ request: JSON, _ status: String) -> JSON {
        func quoted(_ text: String) -> String { "'\(text.replacing("'", with: "''"))'" }
        var conditions = [status]
        // The times of open runs are those of their start, of closed ones those of their end.
        let time = status.contains("!=") ? "CloseTime" : "StartTime"
        let times = request["startTimeFilter"] ?? [:]
        if let earliest = times.given("earliestTime") { conditions.append("\(time) >= \(quoted(earliest))") }
        if let latest = times.given("latestTime") { conditions.append("\(time) <= \(quoted(latest))") }
        if let id = request["executionFilter"]?.given("workflowId") { conditions.append("WorkflowId = \(quoted(id))") }
        if let type = request["typeFilter"]?.given("name") { conditions.append("WorkflowType = \(quoted(type))") }
        if let status = request["statusFilter"]?.given("status") {
            conditions.append("ExecutionStatus = \(quoted(status))")
        }
        var newer = request
        newer["query"] = .string(conditions.joined(separator: " AND "))
        newer["pageSize"] = request["maximumPageSize"]
        return newer
    }

    private func list(_ request: JSON) async throws -> JSON {
        let namespace = request.text("namespace")
        let asked = request.integer("pageSize")
        let size = asked > 0 ? min(asked, 1000) : 1000
        let after = try request.given("nextPageToken").map { try JSON(token: $0) }
        let rows = try await database.rows(
            """
            select w.*, to_jsonb(w) as cursor from perdure.list_workflows(\(request.text("query")), \(namespace), \
            \(Int32(size)), \(after)) w
            """)
        var response: JSON = ["executions": .array(try rows.map { try RunInfo.json($0, isListed: true) })]
        if rows.count == size, let last = rows.last {
            response["nextPageToken"] = try Self.cursor(last.decode("cursor")).token
        }
        return response
    }

    /// Of the last row what a list may be ordered by.
    private static func cursor(_ row: JSON) -> JSON {
        var cursor = row
        for name in ["input", "result", "failure", "memo", "workflow_task_failure"] { cursor[name] = nil }
        return cursor
    }

    private func count(_ request: JSON) async throws -> JSON {
        let grouping = /(?i)\s*group\s+by\s+executionstatus\s*$/
        let query = request.text("query")
        let filter = query.replacing(grouping, with: "")
        if let attribute = filter.firstMatch(of: /(?i)\bgroup\s+by\s+(\S+)\s*$/)?.1 {
            throw CallError.invalidArgument(
                "invalid query: operation is not supported: "
                    + "'GROUP BY' clause is not supported for search attribute \(attribute)")
        }
        let rows = try await database.rows(
            "select status, count from perdure.count_workflows(\(filter), \(request.text("namespace")))")
        var groups: [JSON] = []
        var total: Int64 = 0
        for row in rows {
            let count: Int64 = try row.decode("count")
            total += count
            groups.append([
                "groupValues": [
                    [
                        "encoding": "json/plain", "data": .string(try row.decode("status")),
                        "metadata": ["type": "Keyword"],
                    ]
                ],
                "count": .number(count),
            ])
        }
        var response: JSON = ["count": .number(total)]
        if filter != query { response["groups"] = .array(groups) }
        return response
    }
}
