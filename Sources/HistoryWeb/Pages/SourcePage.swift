import Hummingbird
import PerdureModel
import WebCommon

/// `…/{run id}/source`: the code of the workflow, of its activities and of the files around them, as the workers that
/// ran it were built. `event`, `attempt` or `failure=task` choose a failure: the code that failed is shown, or the file
/// that the failure names where it names no line of that code, and the lines that it names stand out.
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
                    var chosen = Self.choose(uses, fields, failed)
                    var text = try await site.store.sourceText(chosen?.source?.hash)
                    let named = Self.files(uses, namedBy: failed, build: chosen?.build)
                    if let use = chosen, let file = named.first, fields["type"] == nil,
                        Self.lines(of: use, text, namedBy: failed).isEmpty
                    {
                        chosen = file
                        text = try await site.store.sourceText(file.source?.hash)
                    }
                    var values = RunPage.header(run, current: "source")
                    values["groups"] = Self.groups(uses, chosen: chosen, run: run)
                    values["isEmpty"] = chosen == nil
                    values["code"] = false
                    if let chosen {
                        let isHit = !Self.lines(of: chosen, text, namedBy: failed).isEmpty
                        let others = named.filter { !(isHit && $0.type == chosen.source?.file) }
                        values["code"] = Self.code(chosen, text: text, failed: failed, others: others, fields, run: run)
                    }
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
            throw WebError(
                .notFound, "this run has no event \(text); its history has \(RunPage.events(run.historyLength))")
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

    /// The files of a build that a failure names, in the order of their names.
    private static func files(_ uses: [RunCode], namedBy failed: Failed?, build: String?) -> [RunCode] {
        guard let failure = failed?.failure else { return [] }
        return uses.filter { $0.kind == .file && $0.build == build && !failure.lines(in: $0.type).isEmpty }
    }

    /// The lines of a text that a failure names, if it is the failure of this code.
    private static func lines(
        of use: RunCode, _ text: String?, namedBy failed: Failed?
    ) -> [(line: Int, message: String)] {
        guard let failed, use.kind == .file || failed.kind == use.kind && failed.type == use.type,
            let source = use.source, let text
        else { return [] }
        let last = source.firstLine + SwiftText(text).lines.count - 1
        return failed.failure?.lines(in: source.file).filter { (source.firstLine...last).contains($0.line) } ?? []
    }

    private static func groups(_ uses: [RunCode], chosen: RunCode?, run: Run) -> [[String: Any]] {
        [(RunCode.Kind.workflow, "Workflow"), (.activity, "Activities"), (.file, "Files")].compactMap { kind, label in
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
            return ["label": label, "links": links, "isFolded": kind == .file && chosen?.kind != .file]
        }
    }

    /// The address that shows a failure in a file.
    private static func address(of file: RunCode, _ fields: FormFields, _ run: Run) -> String {
        let failure = ["event", "attempt", "failure"].compactMap { name in
            fields[name].map { "\(name)=\($0.escapedForAddress)&" }
        }
        return "\(run.path)/source?\(failure.joined())kind=file&type=\(file.type.escapedForAddress)"
            + "&build=\((file.build ?? "").escapedForAddress)#failed-line"
    }

    private static func name(_ build: String?) -> String {
        switch build {
        case nil: "not run yet"
        case "": "no build id"
        case let build?: "build \(build)"
        }
    }

    private static func code(
        _ use: RunCode, text: String?, failed: Failed?, others: [RunCode], _ fields: FormFields, run: Run
    ) -> [String: Any] {
        let shown = lines(of: use, text, namedBy: failed)
        let isFailed = !shown.isEmpty || failed.map { $0.kind == use.kind && $0.type == use.type } ?? false
        let lines = SwiftText(text ?? "").lines
        let first = use.source?.firstLine ?? 1
        var values: [String: Any] = [
            "type": use.type, "isActivity": use.kind == .activity, "isFile": use.kind == .file,
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
                    "others": others.map { ["file": $0.type, "href": address(of: $0, fields, run)] },
                ] as [String: Any]
        }
        return values
    }
}
