import Foundation
import Hummingbird
import PerdureModel
import Postgres
import WebCommon

/// `/namespaces/{namespace}/batch`: signals, cancels, terminates or retries all runs that a filter chooses, after
/// saying what will happen, a slice with each request.
///
/// The address holds how far it has come, so it can be taken up again after anything: a run that has been dealt with is
/// passed over, and a signal carries the id of the batch, by which the engine knows it again.
struct BatchPage: Page {
    private static let slice = 50
    private static let longestCount = 100_000

    func addRoutes(to router: SiteRouter, of site: Site) {
        router.route(
            "namespaces/:namespace/batch",
            [
                .get: { request, context in
                    try site.requireWrites()
                    let namespace = try context.pathSegment("namespace")
                    let fields = try request.queryFields()
                    let batch = try Batch(fields, filter: fields["filter"] ?? Self.filter(fields, context))
                    return try await Self.page(batch, namespace, site)
                },
                .post: { request, context in
                    let namespace = try context.pathSegment("namespace")
                    let fields = try await request.formFields()
                    guard let filter = fields["filter"] else { throw WebError(.badRequest, "a batch needs a filter") }
                    var batch = try Batch(fields, filter: filter)
                    do {
                        try batch.check()
                        try await Self.advance(&batch, namespace, site)
                    } catch {
                        guard let problem = Site.problem(with: error) else { throw error }
                        return try await Self.page(batch, namespace, site, problem)
                    }
                    return .redirect(
                        to: "/namespaces/\(namespace.segmentOfAddress)/batch?\(batch.address)", type: .normal)
                },
            ])
    }

    /// All runs that the list's filter chooses if that was asked for, else those that were chosen in it; of both the
    /// running ones.
    private static func filter(_ fields: FormFields, _ context: BasicRequestContext) throws -> String {
        let selected = fields.all("run")
        if fields["all"] != nil {
            var filter = try WorkflowsPage.filter(fields, context)
            filter.status = .running
            filter.sort = nil
            // A run that starts while the batch is under way is not meant.
            return filter.expression(and: ["StartTime <= '\(Timestamp.now.description)'"])
        }
        guard !selected.isEmpty else {
            throw WebError(.badRequest, "nothing is chosen: choose runs in the list, or all that match")
        }
        guard selected.allSatisfy({ UUID(uuidString: $0) != nil }) else {
            throw WebError(.badRequest, "a run id is a UUID")
        }
        return "ExecutionStatus = 'Running' AND RunId IN (\(selected.map(\.quotedForFilter).joined(separator: ", ")))"
    }

    private static func advance(_ batch: inout Batch, _ namespace: String, _ site: Site) async throws {
        let runs = try await site.store.runs(namespace, batch.filter, after: batch.after, limit: slice)
        for run in runs {
            do {
                switch batch.action {
                case .signal:
                    try await site.store.signal(run, name: batch.name, input: batch.input, requestID: batch.id)
                case .update: throw WebError(.badRequest, "a batch sends no updates")
                case .cancel: try await site.store.cancel(run, reason: batch.reason)
                case .terminate: try await site.store.terminate(run, reason: batch.reason)
                case .retry:
                    guard try await site.store.retryNow(run) > 0 else {
                        batch.passedOver += 1
                        continue
                    }
                }
                batch.done += 1
            } catch let error as PostgresError where error.sqlState == "PD006" || error.sqlState == "PD001" {
                // It ended in the meantime.
                batch.passedOver += 1
            }
        }
        if let last = runs.last { batch.after = last.place(isNewestFirst: false) }
        batch.isFinished = runs.count < slice
    }

    private static func page(
        _ batch: Batch, _ namespace: String, _ site: Site, _ problem: WebError? = nil
    ) async throws -> Response {
        let path = "/namespaces/\(namespace.segmentOfAddress)/batch"
        var batch = batch
        let isNew = batch.after == nil && !batch.isFinished
        if isNew {
            batch.total = try await site.store.counts(namespace, batch.filter, limit: longestCount)
                .values.reduce(0, +)
        }
        let some = isNew ? try await site.store.runs(namespace, batch.filter, after: nil, limit: 10) : []
        let isMore = batch.total >= longestCount
        return site.page(
            "batch", title: batch.action.label, namespace: namespace, section: .workflows,
            status: problem?.status ?? .ok,
            [
                "problem": problem.map(Site.sentence) ?? false as Any, "name": batch.name, "input": batch.input ?? "",
                "reason": batch.reason ?? "",
                "path": path, "fields": batch.fields.map { ["name": $0, "value": $1] }, "filter": batch.filter,
                "label": batch.action.label, "consequence": batch.action.consequence, "isNew": isNew,
                "isUnderWay": !isNew && !batch.isFinished, "isFinished": batch.isFinished,
                "isSignal": batch.action == .signal,
                "hasReason": batch.action == .cancel || batch.action == .terminate, "isRetry": batch.action == .retry,
                "isTerminate": batch.action == .terminate,
                "total": isMore ? "more than \(batch.total)" : String(batch.total), "isOne": batch.total == 1,
                "isNothing": isNew && batch.total == 0, "done": batch.done, "max": max(1, batch.total),
                "value": batch.isFinished ? max(1, batch.total) : batch.done + batch.passedOver,
                "passedOver": batch.passedOver > 0 ? batch.passedOver : false as Any,
                "some": some.map { ["workflowID": $0.workflowID, "href": $0.path] },
                "hasMore": batch.total > some.count,
            ])
    }
}

/// What is done to many runs, and how far it has come.
private struct Batch {
    let action: RunActionPage.Action
    let filter: String
    let id: String
    let name: String
    let input: String?
    let reason: String?
    var after: JSON?
    var total: Int
    var done: Int
    var passedOver: Int
    var isFinished: Bool

    init(_ fields: FormFields, filter: String) throws {
        guard let action = fields["action"].flatMap(RunActionPage.Action.init(rawValue:)), action != .update
        else {
            throw WebError(.badRequest, "a batch signals, cancels, terminates or retries: action is one of these")
        }
        self.action = action
        self.filter = filter
        id = fields["id"] ?? UUID().uuidString.lowercased()
        name = fields["name"] ?? ""
        input = fields["input"]
        reason = fields["reason"]
        after = try fields["after"].map { text in
            guard let after = try? JSON(parsing: text.utf8) else {
                throw WebError(.badRequest, "this batch cannot be taken up again: its address is not whole")
            }
            return after
        }
        func number(_ name: String) throws -> Int {
            guard let text = fields[name] else { return 0 }
            guard let number = Int(text), (0...1_000_000_000_000).contains(number) else {
                throw WebError(.badRequest, "this batch cannot be taken up again: \(name) is no number of runs")
            }
            return number
        }
        total = try number("total")
        done = try number("done")
        passedOver = try number("passed")
        isFinished = fields["finished"] != nil
    }

    /// Throws 400 for what cannot be done.
    func check() throws {
        guard action == .signal else { return }
        guard !name.isEmpty else {
            throw WebError(.badRequest, "a signal needs a name: the one that the workflow's handler has")
        }
        guard (input?.utf8.count ?? 0) <= 16_384 else {
            throw WebError(.badRequest, "the input of a signal to many runs has at most 16 KiB")
        }
        if let input {
            do { _ = try JSON(parsing: input.utf8) } catch {
                throw WebError(.badRequest, "the input is not JSON: \(error)")
            }
        }
    }

    /// What the next request needs to know.
    var fields: [(String, String)] {
        var fields = [
            ("action", action.rawValue), ("filter", filter), ("id", id), ("total", String(total)),
            ("done", String(done)),
            ("passed", String(passedOver)),
        ]
        if let after { fields.append(("after", after.text)) }
        // Asked for by the first page.
        if after != nil || isFinished {
            for (name, value) in [("name", name), ("input", input ?? ""), ("reason", reason ?? "")] where !value.isEmpty
            {
                fields.append((name, value))
            }
        }
        if isFinished { fields.append(("finished", "1")) }
        return fields
    }

    var address: String { fields.map { "\($0)=\($1.escapedForAddress)" }.joined(separator: "&") }
}
