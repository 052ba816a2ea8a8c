import Foundation
import Hummingbird
import WebCommon

/// `…/{run id}/queries`: asks the workflow's code something, without a trace in its history.
struct QueryPage: Page {
    private static let timeout: Duration = .seconds(10)

    func addRoutes(to router: SiteRouter, of site: Site) {
        router.route(
            .init(RunPage.route + "/queries"),
            [
                .get: { _, context in Self.page(try await site.run(context), site) },
                .post: { request, context in
                    let run = try await site.run(context)
                    let fields = try await request.formFields()
                    guard let type = fields["type"] else {
                        throw WebError(.badRequest, "a query needs a type: the name that the workflow's handler has")
                    }
                    return try await Self.ask(run, type, input: fields["input"], site)
                },
            ])
    }

    private static func ask(_ run: Run, _ type: String, input: String?, _ site: Site) async throws -> Response {
        var payloads: [JSONValue] = []
        if let input {
            do {
                payloads = [["encoding": "json/plain", "data": try JSONValue(parsing: input.utf8)]]
            } catch {
                throw WebError(.badRequest, "the input is not JSON: \(error)")
            }
        }
        let start = ContinuousClock.now
        let id = try await site.store.startQuery(run, type: type, input: payloads, timeout: timeout)
        var wait = Duration.milliseconds(20)
        while start.duration(to: .now) < timeout {
            if let answer = try await site.store.queryAnswer(run, id) {
                return page(run, site, asked: type, input: input, answer, took: start.duration(to: .now))
            }
            try await Task.sleep(for: wait)
            wait = min(wait * 2, .milliseconds(500))
        }
        let text = "no worker of the task queue \(run.taskQueue) answered in \(timeout.readable): is one running?"
        return page(
            run, site, asked: type, input: input, .failure(QueryFailure(failure: Failure(["message": .string(text)]))),
            took: timeout)
    }

    private static func page(
        _ run: Run, _ site: Site, asked type: String? = nil, input: String? = nil,
        _ answer: Result<[Payload], QueryFailure>? = nil, took: Duration? = nil
    ) -> Response {
        var values = RunPage.header(run, current: "queries")
        values["type"] = type ?? ""
        values["text"] = input ?? ""
        values["took"] = took?.readable ?? ""
        values["answer"] = false
        values["failure"] = false
        switch answer {
        case .success(let payloads): values["answer"] = ["payloads": View.payloads(payloads)]
        case .failure(let error): values["failure"] = View.failure(error.failure)
        case nil: break
        }
        return site.page(
            "queries", title: "Queries · \(run.workflowID)", namespace: run.namespace, section: .workflows, values)
    }
}
