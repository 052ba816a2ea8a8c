import Foundation
import PerdureEngine
import Postgres

/// Calls about namespaces.
struct NamespaceCalls: Sendable {
    let database: FrontendDatabase

    var table: [String: Call] {
        [
            "DescribeNamespace": describe, "ListNamespaces": list, "RegisterNamespace": register,
            "UpdateNamespace": update, "DeleteNamespace": delete,
        ]
    }

    private func describe(_ request: JSON) async throws -> JSON {
        guard request.given("namespace") != nil || request.given("id") != nil else {
            throw CallError.invalidArgument("Namespace not set on request.")
        }
        return try await description(named: request.given("namespace"), id: request.given("id"))
    }

    private func description(named name: String?, id: String?) async throws -> JSON {
        let rows = try await namespaces().filter { row in
            if let name { return try row.decode(String.self, "namespace") == name }
            return try row.decode(UUID.self, "namespace_id").text == id?.lowercased()
        }
        guard let row = rows.first else { throw CallError.noNamespace(name ?? id ?? "") }
        return try Self.description(row)
    }

    private func list(_ request: JSON) async throws -> JSON {
        ["namespaces": .array(try await namespaces().map { try Self.description($0) })]
    }

    private func namespaces() async throws -> [PostgresRow] {
        Array(
            try await database.rows(
                """
                select n.namespace, n.namespace_id, n.description, n.owner_email, n.data, n.retention \
                from perdure.namespaces n where n.deleted_at is null order by n.namespace
                """))
    }

    private static func description(_ row: PostgresRow) throws -> JSON {
        [
            "namespaceInfo": [
                "name": .string(try row.decode("namespace")),
                "id": .string(try row.decode(UUID.self, "namespace_id").text), "state": "Registered",
                "description": .string(try row.decode("description")),
                "ownerEmail": .string(try row.decode("owner_email")), "data": try row.decode("data"),
                "capabilities": [
                    "workerPollCompleteOnShutdown": true, "syncUpdate": true, "asyncUpdate": true,
                ],
            ],
            "config": [
                "workflowExecutionRetentionTtl": try row.decode(Duration.self, "retention").json, "badBinaries": [:],
                "historyArchivalState": "Disabled", "visibilityArchivalState": "Disabled",
            ],
            "replicationConfig": [
                "activeClusterName": .string(ClusterCalls.name),
                "clusters": [["clusterName": .string(ClusterCalls.name)]], "state": "Normal",
            ],
        ]
    }

    private func name(_ request: JSON) throws -> String {
        guard let name = request.given("namespace") else {
            throw CallError.invalidArgument("Namespace not set on request.")
        }
        return name
    }

    private func register(_ request: JSON) async throws -> JSON {
        let name = try name(request)
        guard let retention = try Self.retention(request.given("workflowExecutionRetentionPeriod")) else {
            throw Self.badRetention
        }
        let id: UUID? = try await database.row(
            """
            select perdure.register_namespace(\(name), make_interval(secs => \(retention)), \
            \(request.text("description")), \(request.text("ownerEmail")), \(request["data"] ?? [:]))
            """
        ).decode(at: 0)
        guard id != nil else {
            throw CallError(
                .alreadyExists, "Namespace \"\(name)\" already exists",
                detail: ("temporal.api.errordetails.v1.NamespaceAlreadyExistsFailure", [:]))
        }
        return [:]
    }

    private func update(_ request: JSON) async throws -> JSON {
        let name = try name(request)
        let info = request["updateInfo"] ?? [:]
        let retention = try Self.retention(request["config"]?.given("workflowExecutionRetentionTtl"))
        _ = try await database.rows(
            """
            select perdure.update_namespace(\(name), make_interval(secs => \(retention)), \
            \(info.given("description")), \(info.given("ownerEmail")), \(info["data"]))
            """)
        return try await description(named: name, id: nil)
    }

    private func delete(_ request: JSON) async throws -> JSON {
        let name: String
        if let given = request.given("namespace") {
            name = given
        } else {
            let described = try await description(named: nil, id: request.text("namespaceId"))
            name = described["namespaceInfo"]?.text("name") ?? ""
        }
        let id: UUID = try await database.row("select perdure.delete_namespace(\(name))").decode(at: 0)
        return ["deletedNamespace": .string("\(name)-deleted-\(id.text.prefix(5))")]
    }

    private static let badRetention = CallError.invalidArgument("A valid retention period is not set on request.")

    /// Seconds: none, or at least a day, as Temporal wants.
    private static func retention(_ duration: String?) throws -> Double? {
        guard let duration, let seconds = Double(duration.dropLast()), seconds != 0 else { return nil }
        guard seconds >= 86_400 else { throw badRetention }
        return seconds
    }
}
