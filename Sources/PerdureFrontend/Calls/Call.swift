import Foundation
import PerdureEngine

/// A method: takes the JSON of its request and gives that of its response.
typealias Call = @Sendable (_ request: JSON) async throws -> JSON

extension JSON {
    /// A string that may be missing: protobuf does not tell that from an empty one.
    func text(_ name: String) -> String { self[name]?.stringValue ?? "" }

    /// What is said beside the input; nil for nothing.
    var header: JSON? { self["header"].flatMap { $0.members.isEmpty ? nil : $0 } }

    /// A string, or nil when it is missing or empty.
    func given(_ name: String) -> String? {
        let text = text(name)
        return text.isEmpty ? nil : text
    }

    /// What caused a request elsewhere; nil for nothing.
    var links: JSON? { self["links"].flatMap { $0 == [] ? nil : $0 } }

    func flag(_ name: String) -> Bool { self[name]?.boolValue ?? false }

    func integer(_ name: String) -> Int { self[name]?.intValue ?? 0 }

    /// A workflow id and, if it is named, a run.
    func execution(_ name: String) throws -> (workflowID: String, runID: UUID?) {
        let execution = self[name] ?? [:]
        guard let workflowID = execution.given("workflowId") else {
            throw CallError.invalidArgument("WorkflowId is not set on request.")
        }
        return (workflowID, try execution.runID("runId"))
    }

    func runID(_ name: String) throws -> UUID? {
        guard let text = given(name) else { return nil }
        guard let runID = UUID(uuidString: text) else { throw CallError.invalidArgument("Invalid RunId.") }
        return runID
    }

    /// JSON that is kept in a field of bytes: a page token, a task token.
    init(token: String) throws {
        guard let data = Data(base64Encoded: token), let json = try? JSON(parsing: Array(data)) else {
            throw CallError.invalidArgument("Invalid token: it is not one that this server gave.")
        }
        self = json
    }

    var token: JSON { .string(Data(bytes).base64EncodedString()) }
}

extension UUID {
    /// As Temporal writes run ids.
    var text: String { uuidString.lowercased() }
}

extension Duration {
    var json: JSON { .string(wire) }
}
