import PerdureEngine

/// Calls about the search attributes of a namespace.
struct SearchAttributeCalls: Sendable {
    let database: FrontendDatabase
    let attributes: SearchAttributes

    var table: [String: Call] {
        [
            "AddSearchAttributes": add, "ListSearchAttributes": list, "RemoveSearchAttributes": remove,
            "GetSearchAttributes": get,
        ]
    }

    private func namespace(_ request: JSON) -> String { request.given("namespace") ?? "default" }

    private func add(_ request: JSON) async throws -> JSON {
        let namespace = namespace(request)
        let system = try await database.searchAttributeTypes(in: "")
        for (name, type) in request["searchAttributes"]?.objectValue ?? [:] {
            guard system[name] == nil else {
                throw CallError.invalidArgument("Search attribute \(name) is reserved by system.")
            }
            _ = try await database.rows(
                "select perdure.add_search_attribute(\(name), \(type.stringValue ?? ""), \(namespace))")
        }
        attributes.forget(namespace)
        return [:]
    }

    private func remove(_ request: JSON) async throws -> JSON {
        let namespace = namespace(request)
        let system = try await database.searchAttributeTypes(in: "")
        let known = try await database.searchAttributeTypes(in: namespace)
        for name in (request["searchAttributes"]?.arrayValue ?? []).compactMap(\.stringValue) {
            guard system[name] == nil else {
                throw CallError.invalidArgument("Unable to remove non-custom search attributes: \(name).")
            }
            // As Temporal: one that is not there has been removed.
            guard known[name] != nil else { continue }
            _ = try await database.rows("select perdure.remove_search_attribute(\(name), \(namespace))")
        }
        attributes.forget(namespace)
        return [:]
    }

    private func list(_ request: JSON) async throws -> JSON {
        let namespace = namespace(request)
        try await database.requireNamespace(namespace)
        let all = try await database.searchAttributeTypes(in: namespace)
        let system = try await database.searchAttributeTypes(in: "").merging(Self.provided) { _, type in type }
            .filter { !Self.conditions.contains($0.key) }
        return [
            "customAttributes": .object(
                all.filter { system[$0.key] == nil && !Self.conditions.contains($0.key) }.mapValues(JSON.string)),
            "systemAttributes": .object(system.mapValues(JSON.string)),
        ]
    }

    /// What every namespace has for the SDKs.
    private static let provided = ["TemporalChangeVersion": "KeywordList"]

    /// What a list filter can name beside attributes, and Temporal has not.
    private static let conditions: Set = ["Condition", "Cause", "FailingActivity", "FailingBuild"]

    private func get(_ request: JSON) async throws -> JSON {
        let types = try await database.searchAttributeTypes(in: "default").filter { !Self.conditions.contains($0.key) }
        return ["keys": .object(types.mapValues(JSON.string))]
    }
}
