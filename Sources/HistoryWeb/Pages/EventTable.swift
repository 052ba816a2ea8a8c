import WebCommon

/// The events of a run as a table: grouped by step, one by one, or as JSON, narrowed down by kind and text.
struct EventTable {
    enum View: String, CaseIterable {
        case grouped, all, raw

        var label: String {
            switch self {
            case .grouped: "Grouped"
            case .all: "All events"
            case .raw: "JSON"
            }
        }
    }

    private static let pageSize = 100

    private let path: String
    private let view: View
    private let isDescending: Bool
    private let kind: EventKind?
    private let text: String?
    private let page: Int
    private let event: Int?

    /// Throws 400 for what is not an option of the table.
    init(_ fields: FormFields, path: String) throws {
        self.path = path
        func option<T: RawRepresentable<String>>(_ name: String, _ type: T.Type) throws -> T? {
            try fields[name].map { text in
                guard let option = T(rawValue: text) else {
                    throw WebError(.badRequest, "\(name) cannot be \"\(text)\" here")
                }
                return option
            }
        }
        enum Order: String { case ascending, descending }
        view = try option("view", View.self) ?? .grouped
        isDescending = try option("order", Order.self) == .descending
        kind = try option("kind", EventKind.self)
        text = fields["text"]
        page = max(1, fields["page"].flatMap { Int($0) } ?? 1)
        event = fields["event"].flatMap { Int($0) }
    }

    private func address(view: View? = nil, descending: Bool? = nil, kind: EventKind?? = nil, page: Int = 1) -> String {
        let view = view ?? self.view
        let kind = kind ?? self.kind
        var fields: [String] = []
        if view != .grouped { fields.append("view=\(view.rawValue)") }
        if descending ?? isDescending { fields.append("order=descending") }
        if let kind { fields.append("kind=\(kind.rawValue)") }
        if let text { fields.append("text=\(text.escapedForAddress)") }
        if page > 1 { fields.append("page=\(page)") }
        return path + (fields.isEmpty ? "" : "?" + fields.joined(separator: "&")) + "#history"
    }

    private func matches(_ event: HistoryEvent) -> Bool {
        guard let text else { return true }
        return String(event.id) == text || event.type.localizedCaseInsensitiveContains(text)
            || event.subject?.localizedCaseInsensitiveContains(text) == true
            || event.attributes.text.localizedCaseInsensitiveContains(text)
    }

    func values(for run: Run, steps: [Step], store: HistoryStore) async throws -> [String: Any] {
        let chosen = steps.filter { step in
            (kind == nil || step.kind == kind) && (text == nil || step.events.contains(where: matches))
        }
        var values: [String: Any] = [
            "views": View.allCases.map {
                ["label": $0.label, "href": address(view: $0), "current": $0 == view] as [String: Any]
            },
            "isGrouped": view == .grouped, "isAll": view == .all, "isRaw": view == .raw,
            "isDescending": isDescending, "otherOrder": address(descending: !isDescending),
            "text": text ?? "", "kind": kind?.rawValue ?? false as Any,
            "viewName": view == .grouped ? false : view.rawValue as Any,
            "download": "\(path)/history.json", "path": path,
        ]
        let kinds = EventKind.allCases.filter { kind in steps.contains { $0.kind == kind } }
        values["kinds"] =
            [["label": "All", "href": address(kind: .some(nil)), "current": kind == nil] as [String: Any]]
            + kinds.map { ["label": $0.label, "href": address(kind: $0), "current": $0 == kind] as [String: Any] }

        switch view {
        case .grouped:
            let (shown, page) = slice(chosen) { step in step.events.contains { $0.id == event } }
            let whole = try await whole(shown.flatMap { $0.events.map(\.id) }, of: run, store)
            values["steps"] = shown.map { StepView.values($0, whole: whole, run: run) }
            values.merge(paging(page, of: chosen.count, "steps")) { $1 }
        case .all:
            let events = chosen.flatMap(\.events).filter(matches).sorted { $0.id < $1.id }
            let (shown, page) = slice(events) { $0.id == event }
            let whole = try await whole(shown.map(\.id), of: run, store)
            values["events"] = shown.map { StepView.event(whole[$0.id] ?? $0, run: run) }
            values.merge(paging(page, of: events.count, "events")) { $1 }
        case .raw:
            let ids = chosen.flatMap { $0.events.map(\.id) }.sorted()
            let (shown, page) = slice(ids) { $0 == event }
            let whole = try await whole(shown, of: run, store)
            values["json"] = shown.compactMap { whole[$0] }.map { TemporalHistory.json($0).indented }.joined(
                separator: ",\n")
            values.merge(paging(page, of: ids.count, "events")) { $1 }
        }
        return values
    }

    private func whole(_ ids: [Int], of run: Run, _ store: HistoryStore) async throws -> [Int: HistoryEvent] {
        guard !ids.isEmpty else { return [:] }
        return Dictionary(uniqueKeysWithValues: try await store.events(of: run, ids: ids).map { ($0.id, $0) })
    }

    /// The elements on the page that was asked for, or on the one that holds the event that was asked for.
    private func slice<Element>(_ ascending: [Element], holds: (Element) -> Bool) -> ([Element], page: Int) {
        let elements = isDescending ? ascending.reversed() : ascending
        let last = max(1, (elements.count + Self.pageSize - 1) / Self.pageSize)
        var page = min(page, last)
        if event != nil, let place = elements.firstIndex(where: holds) { page = place / Self.pageSize + 1 }
        let first = (page - 1) * Self.pageSize
        return (Array(elements[min(first, elements.count)..<min(first + Self.pageSize, elements.count)]), page)
    }

    private func paging(_ page: Int, of count: Int, _ noun: String) -> [String: Any] {
        let last = max(1, (count + Self.pageSize - 1) / Self.pageSize)
        return [
            "count": count, "noun": noun, "isNothing": count == 0, "page": page, "lastPage": last, "hasPages": last > 1,
            "previousPage": page > 1 ? address(page: page - 1) : false as Any,
            "nextPage": page < last ? address(page: page + 1) : false as Any,
        ]
    }
}
