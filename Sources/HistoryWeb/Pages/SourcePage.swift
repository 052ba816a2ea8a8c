import Hummingbird
import WebCommon

/// `…/{run id}/source`: the code of the workflow and of its activities, as the workers that ran it were built. `event`, `attempt`
/// or `failure=task` choose a failure: the code that failed is shown, and the lines that the failure names stand out.
struct SourcePage: Page {
    func addRoutes(to router: SiteRouter, of site: Site) {
        router.route(
            .init(RunPage.route + "/source"),
            [
                .get: { request, context in
                    let run = try await site.run(context)
                    let fields = try request.queryFields()
                    let uses = try await site.store.code(of: run)
                    let failed = try await Self.failed(run, fields, site.store)
                    let chosen = Self.choose(uses, fields, failed)
                    let text = try await site.store.sourceText(chosen?.source?.hash)
                    var values = RunPage.header(run, current: "source")
                    values["groups"] = Self.groups(uses, chosen: chosen, run: run)
                    values["isEmpty"] = chosen == nil
                    values["code"] = chosen.map { Self.code($0, text: text, failed: failed, run: run) } ?? false as Any
                    return site.page(
                        "source", title: "Source · \(run.workflowID)", namespace: run.namespace, section: .workflows,
                        values)
                }
            ])
    }

    /// What an address asks to see: a failure, and whose code it came from.
    private struct Failed {
        let kind: RunCode.Kind
        let type: String
        let worker: String?
        let failure: Failure?
        let label: String
        let href: String
    }

    private static func failed(_ run: Run, _ fields: FormFields, _ store: HistoryStore) async throws -> Failed? {
        if fields["failure"] == "task" {
            return Failed(
                kind: .workflow, type: run.type, worker: nil, failure: run.workflowTaskFailure,
                label: "The workflow task under way", href: run.path)
        }
        guard let text = fields["event"] else { return nil }
        guard let id = Int(text), case let events = try await store.step(of: run, holding: id), !events.isEmpty else {
            throw WebError(.notFound, "this run has no event \(text); its history has \(run.historyLength) events")
        }
        let pending = run.close == nil ? try await store.pendingActivities(of: run) : []
        let step = Step.steps(of: events, pending: pending)[0]
        let href = "\(run.path)/events/\(step.id)"
        guard step.kind == .activity else {
            let label = step.kind == .workflowTask ? "Workflow task, event \(step.id)" : "Event \(id)"
            return Failed(
                kind: .workflow, type: run.type, worker: step.started?.attributes.text("identity"),
                failure: step.failure, label: label, href: href)
        }
        if let number = fields["attempt"].flatMap({ Int($0) }) {
            guard
                let attempt = try await store.failedAttempts(of: run, scheduledEvent: step.id)
                    .first(where: { $0.number == number })
            else { throw WebError(.notFound, "attempt \(number) of event \(step.id) is not remembered") }
            return Failed(
                kind: .activity, type: step.name, worker: attempt.worker, failure: attempt.failure,
                label: "Attempt \(number) of \(step.name)", href: href)
        }
        return Failed(
            kind: .activity, type: step.name, worker: step.started?.attributes.text("identity") ?? step.pending?.worker,
            failure: step.failure, label: "\(step.name), event \(step.id)", href: href)
    }

    private static func choose(_ uses: [RunCode], _ fields: FormFields, _ failed: Failed?) -> RunCode? {
        let kind = fields["kind"].flatMap(RunCode.Kind.init(rawValue:)) ?? failed?.kind ?? .workflow
        let type = fields["type"] ?? failed?.type
        let fitting = uses.filter { $0.kind == kind && (type == nil || $0.type == type) }
        if let build = fields["build"] { return fitting.first { $0.build == build } ?? fitting.first }
        if let worker = failed?.worker, let ran = fitting.first(where: { $0.workers.contains(worker) }) { return ran }
        return fitting.first { $0.source != nil } ?? fitting.first ?? uses.first
    }

    private static func groups(_ uses: [RunCode], chosen: RunCode?, run: Run) -> [[String: Any]] {
        [(RunCode.Kind.workflow, "Workflow"), (.activity, "Activities")].compactMap { kind, label in
            let entries = uses.filter { $0.kind == kind }
            guard !entries.isEmpty else { return nil }
            let links = entries.map { use -> [String: Any] in
                var href = "\(run.path)/source?kind=\(kind.rawValue)&type=\(use.type.escapedForAddress)"
                if let build = use.build { href += "&build=\(build.escapedForAddress)" }
                let isCurrent = chosen.map { $0.kind == kind && $0.type == use.type && $0.build == use.build } ?? false
                return [
                    "type": use.type, "href": href, "current": isCurrent, "build": name(use.build),
                    "hasSource": use.source != nil,
                ]
            }
            return ["label": label, "links": links]
        }
    }

    private static func name(_ build: String?) -> String {
        switch build {
        case nil: "not run yet"
        case "": "no build id"
        case let build?: "build \(build)"
        }
    }

    private static func code(_ use: RunCode, text: String?, failed: Failed?, run: Run) -> [String: Any] {
        let isFailed = failed.map { $0.kind == use.kind && $0.type == use.type } ?? false
        let lines = SwiftText(text ?? "").lines
        let first = use.source?.firstLine ?? 1
        let hits = isFailed ? failed?.failure?.lines(in: use.source?.file ?? "") ?? [] : []
        let shown = hits.filter { ($0.line - first) >= 0 && $0.line - first < lines.count }
        var values: [String: Any] = [
            "type": use.type, "isActivity": use.kind == .activity,
            "build": use.build.flatMap { $0.isEmpty ? nil : $0 } ?? false as Any, "hasRun": use.build != nil,
            "workers": use.workers, "hasText": text != nil, "copy": text ?? "", "file": use.source?.file ?? "",
            "first": first, "last": first + lines.count - 1,
            "newest": name(use.source?.build),
            "lines": lines.enumerated().map { index, pieces -> [String: Any] in
                let number = first + index
                let hit = shown.first { $0.line == number }
                return [
                    "number": number, "isHit": hit != nil, "isFirstHit": number == shown.first?.line,
                    "message": hit?.message ?? "", "isBegin": number == use.source?.line,
                    "pieces": pieces.map {
                        ["look": $0.look.rawValue, "isPlain": $0.look == .plain, "text": $0.text] as [String: Any]
                    },
                ]
            },
        ]
        values["failed"] = false
        if isFailed, let failed {
            values["failed"] =
                [
                    "label": failed.label, "href": failed.href, "message": failed.failure?.root.message ?? false as Any,
                    "line": shown.first?.line ?? false as Any, "worker": failed.worker ?? false as Any,
                ] as [String: Any]
        }
        return values
    }
}
