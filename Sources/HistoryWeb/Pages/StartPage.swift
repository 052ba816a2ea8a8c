import Foundation
import HTTPTypes
import Hummingbird
import PerdureModel
import WebCommon

/// `/namespaces/{namespace}/start`: starts a workflow, or one like another (`?like={workflow id}/{run id}`).
struct StartPage: Page {
    func addRoutes(to router: SiteRouter, of site: Site) {
        router.route(
            "namespaces/:namespace/start",
            [
                .get: { request, context in
                    try site.requireWrites()
                    let namespace = try context.pathSegment("namespace")
                    return try await Self.form(namespace, request.queryFields(), site)
                },
                .post: { request, context in
                    let namespace = try context.pathSegment("namespace")
                    let fields = try await request.formFields()
                    do {
                        let start = try Start(fields)
                        let run = try await site.store.start(start, in: namespace)
                        return .redirect(to: Run.path(namespace, start.workflowID) + "/\(run)", type: .normal)
                    } catch {
                        guard let problem = Site.problem(with: error) else { throw error }
                        return try await Self.form(namespace, site, filled: fields, problem)
                    }
                },
            ])
    }

    private static func form(_ namespace: String, _ fields: FormFields, _ site: Site) async throws -> Response {
        var like: Run?
        if let id = fields["workflow"] {
            let runID = try fields["run"].map { text in
                guard let id = UUID(uuidString: text) else {
                    throw WebError(.badRequest, "\"\(text.prefix(100))\" is no run id: a run id is a UUID")
                }
                return id
            }
            like = try await site.store.run(namespace, id, runID)
            if like == nil { throw WebError(.notFound, "there is no workflow \"\(id)\" to start another one like it") }
        }
        let input = like?.input ?? []
        let isWritable = input.isEmpty || (input.count == 1 && input[0].encoding == "json/plain")
        return try await page(
            namespace, site, like: like, isWritable: isWritable,
            [
                "type": like?.type ?? "", "queue": like?.taskQueue ?? "",
                "input": isWritable ? input.first?.text ?? "" : "",
                "attributes": like.map {
                    $0.searchAttributes.isEmpty ? "" : JSON.object($0.searchAttributes).indented
                } ?? "",
                "suggestion": like.map { "\($0.workflowID)-again" } ?? "",
            ])
    }

    /// The form as a person filled it in, and what is wrong with that.
    private static func form(
        _ namespace: String, _ site: Site, filled fields: FormFields, _ problem: WebError
    ) async throws -> Response {
        try await page(
            namespace, site, status: problem.status,
            [
                "type": fields["type"] ?? "", "queue": fields["queue"] ?? "", "input": fields["input"] ?? "",
                "attributes": fields["attributes"] ?? "", "suggestion": fields["id"] ?? "",
                "problem": Site.sentence(problem),
            ])
    }

    private static func page(
        _ namespace: String, _ site: Site, status: HTTPResponse.Status = .ok, like: Run? = nil,
        isWritable: Bool = true, _ fields: [String: Any]
    ) async throws -> Response {
        async let types = site.store.recent(.type, namespace)
        async let queues = site.store.recent(.taskQueue, namespace)
        return site.page(
            "start", title: "Start a workflow", namespace: namespace, section: .workflows, status: status,
            [
                "path": "/namespaces/\(namespace.segmentOfAddress)/start", "like": like?.workflowID ?? false as Any,
                "likeHref": like?.path ?? "", "isUnwritable": !isWritable, "types": try await types,
                "queues": try await queues,
            ].merging(fields) { $1 })
    }
}

/// What a person asks to start.
struct Start: Sendable {
    let type: String
    let workflowID: String
    let taskQueue: String
    /// JSON.
    let input: String?
    let searchAttributes: JSON

    /// Throws 400 for what is missing or no JSON.
    init(_ fields: FormFields) throws {
        guard let type = fields["type"], let workflowID = fields["id"], let taskQueue = fields["queue"] else {
            throw WebError(.badRequest, "a workflow needs a type, an id and a task queue")
        }
        func json(_ name: String, _ what: String) throws -> JSON? {
            try fields[name].map { text in
                do { return try JSON(parsing: text.utf8) } catch {
                    throw WebError(.badRequest, "\(what) not JSON: \(error)")
                }
            }
        }
        self.type = type
        self.workflowID = workflowID
        self.taskQueue = taskQueue
        input = try json("input", "the input is")?.text
        searchAttributes = try json("attributes", "the search attributes are") ?? [:]
        guard case .object = searchAttributes else {
            throw WebError(.badRequest, "search attributes are a JSON object, a member for each")
        }
    }
}
