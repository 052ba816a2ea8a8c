import Foundation
import Hummingbird
import PerdureModel
import WebCommon

/// `…/{run id}/queries`: asks the workflow's code something, without a trace in its history. What it can be asked, and
/// where it waits, is asked first, of a worker that has the code.
struct QueryPage: Page {
    private static let timeout: Duration = .seconds(10)
    /// A page does not wait long for what it shows besides.
    private static let shortTimeout: Duration = .seconds(2)

    func addRoutes(to router: SiteRouter, of site: Site) {
        router.route(
            .init(RunPage.route + "/queries"),
            [
                .get: { request, context in
                    // Questions to workers are written down in the database.
                    try site.requireWrites()
                    let run = try await site.run(context)
                    return try await Self.page(run, site, type: try request.queryFields()["type"])
                },
                .post: { request, context in
                    let run = try await site.run(context)
                    let fields = try await request.formFields()
                    do {
                        let answer = try await Self.ask(run, fields, site)
                        return try await Self.page(run, site, type: fields["type"], input: fields["input"], answer)
                    } catch {
                        guard let problem = Site.problem(with: error) else { throw error }
                        return try await Self.page(
                            run, site, type: fields["type"], input: fields["input"], problem: problem)
                    }
                },
            ])
    }

    private struct Answer {
        let result: Result<[Payload], QueryFailure>
        let took: Duration
    }

    private static func ask(_ run: Run, _ fields: FormFields, _ site: Site) async throws -> Answer {
        guard let type = fields["type"] else {
            throw WebError(.badRequest, "a query needs a type: the name that the workflow's handler has")
        }
        var payloads: [JSON] = []
        if let input = fields["input"] {
            do {
                payloads = [["encoding": "json/plain", "data": try JSON(parsing: input.utf8)]]
            } catch {
                throw WebError(.badRequest, "the input is not JSON: \(error)")
            }
        }
        return try await ask(run, type, input: payloads, timeout: timeout, site)
    }

    private static func ask(
        _ run: Run, _ type: String, input: [JSON] = [], timeout: Duration, _ site: Site
    ) async throws -> Answer {
        let start = ContinuousClock.now
        let id = try await site.store.startQuery(run, type: type, input: input, timeout: timeout)
        var wait = Duration.milliseconds(20)
        while start.duration(to: .now) < timeout {
            if let answer = try await site.store.queryAnswer(run, id) {
                return Answer(result: answer, took: start.duration(to: .now))
            }
            try await Task.sleep(for: wait)
            wait = min(wait * 2, .milliseconds(500))
        }
        let text = "no worker of the task queue \(run.taskQueue) answered in \(timeout.readable): is one running?"
        return Answer(
            result: .failure(QueryFailure(failure: .application(text))), took: timeout)
    }

    private static func page(
        _ run: Run, _ site: Site, type: String? = nil, input: String? = nil, _ answer: Answer? = nil,
        problem: WebError? = nil
    ) async throws -> Response {
        let canAnswer = try await canAnswer(run, site)
        var values = RunPage.header(run, current: "queries")
        values["hasWorker"] = canAnswer
        values["type"] = type ?? ""
        values["text"] = input ?? ""
        values["took"] = answer?.took.readable ?? ""
        values["asked"] = type ?? ""
        values["problem"] = problem.map(Site.sentence) ?? false as Any
        values["answer"] = false
        values["failure"] = false
        switch answer?.result {
        case .success(let payloads): values["answer"] = ["payloads": View.payloads(payloads)]
        case .failure(let error): values["failure"] = View.failure(error.failure)
        case nil: break
        }
        // Who just waited in vain is not made to wait again.
        if canAnswer, answer.map({ $0.took < Self.timeout }) ?? true {
            async let metadata = ask(run, "__temporal_workflow_metadata", timeout: shortTimeout, site)
            async let waits = ask(run, "__stack_trace", timeout: shortTimeout, site)
            values.merge(handlers(try await metadata, run)) { $1 }
            values.merge(whereItWaits(try await waits, run)) { $1 }
        } else {
            values.merge(["handlers": false, "unknown": false, "waits": false]) { $1 }
        }
        return site.page(
            "queries", title: "Queries · \(run.workflowID)", namespace: run.namespace, section: .workflows,
            status: problem?.status ?? .ok, values)
    }

    private static func canAnswer(_ run: Run, _ site: Site) async throws -> Bool {
        // A worker that tells of no types may run any.
        try await site.store.workers(run.namespace).contains { worker in
            let types = worker["details"]?["workflowTypes"]?.elements ?? []
            return worker.flag("alive") && (worker["task_queues"]?.elements ?? []).contains(.string(run.taskQueue))
                && (types.isEmpty || types.contains(.string(run.type)))
        }
    }

    /// What an open run says of where it stands; nil if it says nothing, or no worker does in half a second.
    static func currentDetails(of run: Run, _ site: Site) async throws -> String? {
        guard site.mayWrite else { return nil }
        return try await site.details.answer(run.path) {
            guard try await canAnswer(run, site),
                case .success(let payloads) = try await ask(
                    run, "__temporal_workflow_metadata", timeout: .milliseconds(500), site
                ).result
            else { return nil }
            return payloads.first?.data?.text("currentDetails").flatMap { $0.isEmpty ? nil : $0 }
        }.value
    }

    /// `temporal.api.sdk.v1.WorkflowMetadata`.
    private static func handlers(_ answer: Answer, _ run: Run) -> [String: Any] {
        guard case .success(let payloads) = answer.result, let definition = payloads.first?.data?.member("definition")
        else {
            var message = "the worker does not tell"
            if case .failure(let error) = answer.result { message = error.failure.root.message }
            return ["handlers": false, "unknown": message]
        }
        func list(_ name: String, path: String) -> [[String: Any]] {
            (definition[name]?.elements ?? []).compactMap { handler in
                // Those of the SDK itself are what this page is made of.
                guard let name = handler.text("name"), !name.hasPrefix("__") else { return nil }
                let description = handler.text("description") ?? ""
                return [
                    "name": name, "description": description.isEmpty ? false : description as Any,
                    "href": "\(run.path)/\(path)=\(name.escapedForAddress)", "isOpen": run.close == nil,
                ]
            }
        }
        let queries = list("queryDefinitions", path: "queries?type")
        let signals = list("signalDefinitions", path: "actions/signal?name")
        let updates = list("updateDefinitions", path: "actions/update?name")
        return [
            "unknown": false,
            "handlers": [
                "queries": queries, "hasQueries": !queries.isEmpty, "signals": signals, "hasSignals": !signals.isEmpty,
                "updates": updates, "hasUpdates": !updates.isEmpty,
            ] as [String: Any],
        ]
    }

    private static func whereItWaits(_ answer: Answer, _ run: Run) -> [String: Any] {
        guard case .success(let payloads) = answer.result, let text = payloads.first?.data?.stringValue else {
            return ["waits": false]
        }
        let lines = text.split(separator: "\n").prefix(200).map { line -> [String: Any] in
            let place = CodePlace.all(in: String(line)).first
            let what = line.firstMatch(of: #/\.swift:\d+: (.*)/#).map { String($0.1) } ?? String(line)
            return [
                "what": what, "place": place.map { "\($0.file):\($0.line)" } ?? false as Any,
                "href": place.map {
                    "\(run.path)/source?kind=workflow&type=\(run.type.escapedForAddress)#L\($0.line)"
                } ?? "",
            ]
        }
        return ["waits": ["lines": lines] as [String: Any]]
    }
}
