import Foundation
import Hummingbird
import WebCommon

/// `/namespaces/{namespace}/start`: starts a workflow, or one like another (`?like={workflow id}/{run id}`).
struct StartPage: Page {
    func addRoutes(to router: SiteRouter, of site: Site) {
        router.route(
            "namespaces/:namespace/start",
            [
                .get: { request, context in
                    let namespace = try context.pathSegment("namespace")
                    return try await Self.form(namespace, request.queryFields(), site)
                },
                .post: { request, context in
                    let namespace = try context.pathSegment("namespace")
                    let start = try Start(try await request.formFields())
                    let run = try await site.store.start(start, in: namespace)
                    return .redirect(to: Run.path(namespace, start.workflowID) + "/\(run)", type: .normal)
                },
            ])
    }

    private static func form(_ namespace: String, _ fields: FormFields, _ site: Site) async throws -> Response {
        var like: Run?
        if let id = fields["workflow"] {
            like = try await site.store.run(namespace, id, fields["run"].flatMap(UUID.init(uuidString:)))
            if like == nil { throw WebError(.notFound, "there is no workflow \"\(id)\" to start another one like it") }
        }
        let input = like?.input ?? []
        let isWritable = input.isEmpty || (input.count == 1 && input[0].encoding == "json/plain")
        async let types = site.store.recent(.type, namespace)
        async let queues = site.store.recent(.taskQueue, namespace)
        return site.page(
            "start", title: "Start a workflow", namespace: namespace, section: .workflows,
            [
                "path": "/namespaces/\(namespace.escapedForAddress)/start", "like": like?.workflowID ?? false as Any,
                "likeHref": like?.path ?? "", "type": like?.type ?? "", "queue": like?.taskQueue ?? "",
                "input": isWritable ? input.first?.text ?? "" : "", "isUnwritable": !isWritable,
                "attributes": like.map {
                    $0.searchAttributes.isEmpty ? "" : JSONValue.object($0.searchAttributes).indented
                } ?? "",
                "types": try await types, "queues": try await queues,
                "suggestion": like.map { "\($0.workflowID)-again" } ?? "",
            ])
    }
}

/// What a person asks to start.
struct Start: Sendable {
    let type: String
    let workflowID: String
    let taskQueue: String
    /// JSON.
    let input: String?
    let searchAttributes: JSONValue

    /// Throws 400 for what is missing or no JSON.
    init(_ fields: FormFields) throws {
        guard let type = fields["type"], let workflowID = fields["id"], let taskQueue = fields["queue"] else {
            throw WebError(.badRequest, "a workflow needs a type, an id and a task queue")
        }
        func json(_ name: String, _ what: String) throws -> JSONValue? {
            try fields[name].map { text in
                do { return try JSONValue(parsing: text.utf8) } catch {
                    throw WebError(.badRequest, "\(what) not JSON: \(error)")
                }
            }
        }
        self.type = type
        self.workflowID = workflowID
        self.taskQueue = taskQueue
        input = try json("input", "the input is")?.text
        searchAttributes = try json("attributes", "the search attributes are") ?? .object([])
        guard case .object = searchAttributes else {
            throw WebError(.badRequest, "search attributes are a JSON object, a member for each")
        }
    }
}
