import Foundation
import PerdureEngine
import Postgres

/// Calls about the server.
struct ClusterCalls: Sendable {
    /// What clients take the server for: a release of Temporal's server that knows the calls of the table in the guide.
    static let serverVersion = "1.29.0"
    static let name = "perdure"

    let database: FrontendDatabase
    let settings: FrontendSettings

    var table: [String: Call] {
        ["GetSystemInfo": systemInfo, "GetClusterInfo": clusterInfo, "ListClusters": list]
    }

    private func systemInfo(_ request: JSON) async throws -> JSON {
        [
            "serverVersion": .string(Self.serverVersion),
            "capabilities": [
                "signalAndQueryHeader": true, "internalErrorDifferentiation": true,
                "activityFailureIncludeHeartbeat": true, "encodedFailureAttributes": true, "upsertMemo": true,
                "countGroupByExecutionStatus": true, "sdkMetadata": true, "buildIdBasedVersioning": true,
            ],
        ]
    }

    private func clusterInfo(_ request: JSON) async throws -> JSON {
        [
            "supportedClients": [
                "Nexus-go-sdk": "<2.0.0", "temporal-cli": "<2.0.0", "temporal-go": "<2.0.0", "temporal-java": "<2.0.0",
                "temporal-php": "<2.0.0", "temporal-server": "<2.0.0", "temporal-typescript": "<2.0.0",
                "temporal-ui": "<3.0.0",
            ],
            "serverVersion": .string(Self.serverVersion), "clusterName": .string(Self.name),
            "clusterId": .string(try await id()), "historyShardCount": .number(try await database.shards().count),
            "persistenceStore": "postgres12", "visibilityStore": "postgres12", "initialFailoverVersion": 1,
            "failoverVersionIncrement": 10,
        ]
    }

    /// The id of the namespace that every installation has.
    private func id() async throws -> String {
        let rows = try await database.rows(
            "select n.namespace_id from perdure.namespaces n where n.namespace = 'default'")
        return try rows.first?.decode(UUID.self, at: 0).text ?? Self.name
    }

    private func list(_ request: JSON) async throws -> JSON {
        [
            "clusters": [
                [
                    "clusterName": .string(Self.name), "clusterId": .string(try await id()),
                    "address": .string("\(settings.host):\(settings.port)"), "initialFailoverVersion": 1,
                    "historyShardCount": .number(try await database.shards().count), "isConnectionEnabled": true,
                ]
            ]
        ]
    }
}

/// Versioning before deployments, which a server of Temporal's has switched off, too.
enum OldVersioning {
    static let refusals: [String: CallError] = [
        "GetWorkerBuildIdCompatibility": sets, "UpdateWorkerBuildIdCompatibility": sets,
        "GetWorkerVersioningRules": rules, "UpdateWorkerVersioningRules": rules, "GetWorkerTaskReachability": rules,
    ]

    private static let sets = refusal("v0.1 (Version Set-based, deprecated)")
    private static let rules = refusal("v0.2 (Rules-based, deprecated)")

    private static func refusal(_ kind: String) -> CallError {
        CallError(
            .permissionDenied, "Worker versioning \(kind) is disabled on this namespace.",
            detail: ("temporal.api.errordetails.v1.PermissionDeniedFailure", [:]))
    }
}
