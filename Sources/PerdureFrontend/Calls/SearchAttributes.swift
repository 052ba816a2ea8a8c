import PerdureEngine
import Synchronization

/// Search attributes between Temporal's payloads and the engine's plain values. Types are remembered for some seconds.
final class SearchAttributes: Sendable {
    private static let freshness = Duration.seconds(5)

    private let database: FrontendDatabase
    private let known = Mutex<[String: (types: [String: String], since: ContinuousClock.Instant)]>([:])

    init(database: FrontendDatabase) { self.database = database }

    func types(in namespace: String) async throws -> [String: String] {
        if let known = known.withLock({ $0[namespace] }), known.since + Self.freshness > .now { return known.types }
        let types = try await database.searchAttributeTypes(in: namespace)
        known.withLock { $0[namespace] = (types, .now) }
        return types
    }

    func forget(_ namespace: String) { known.withLock { $0[namespace] = nil } }

    /// Clients may send a list of one for a single value, and an empty list to take a value away.
    func forEngine(_ attributes: JSON, in namespace: String) async throws -> JSON {
        let types = try await types(in: namespace)
        var result = attributes
        for (name, value) in attributes.objectValue ?? [:] {
            guard types[name] != nil else {
                throw CallError.invalidArgument(
                    "Namespace \(namespace) has no mapping defined for search attribute \(name)")
            }
            guard case .array(let elements) = value else { continue }
            if elements.isEmpty {
                result[name] = .null
            } else if elements.count == 1, types[name] != "KeywordList" {
                result[name] = elements[0]
            }
        }
        return result
    }
}
