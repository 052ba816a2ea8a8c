import PerdureModel
import Postgres
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
    private let showsTasks: Bool

    /// Throws 400 for what is not an option of the table.
    init(_ fields: FormFields, path: String) throws {
        self.path = path
        func option<T: RawRepresentable<String>>(_ name: String, _ type: T.Type) throws -> T? {
            try fields[name].map { text in
                guard let option = T(rawValue: text) else {
                    throw WebError(.badRequest, "\(name) cannot be \"\(text.prefix(100))\" here")
                }
                return option
            }
        }
        enum Order: String { case ascending, descending }
        view = try option("view", View.self) ?? .grouped
        isDescending = try option("order", Order.self) == .descending
        kind = try option("kind", EventKind.self)
        text = fields["text"]
        func number(_ name: String) throws -> Int? {
            try fields[name].map { text in
                guard let number = Int(text), number > 0 else {
                    throw WebError(.badRequest, "\(name) is a number from 1, and \"\(text.prefix(100))\" is none")
                }
                return number
            }
        }
        page = try number("page") ?? 1
        event = try number("event")
        showsTasks = fields["tasks"] != nil
    }

    /// Whether workflow tasks that succeeded are left out, of which there are as many as of all else.
    private var foldsTasks: Bool {
        view == .grouped && kind == nil && text == nil && event == nil && !showsTasks
    }

    private func address(
        view: View? = nil, descending: Bool? = nil, kind: EventKind?? = nil, tasks: Bool? = nil, page: Int = 1
    ) -> String {
        let view = view ?? self.view
        let kind = kind ?? self.kind
        var fields: [String] = []
        if view != .grouped { fields.append("view=\(view.rawValue)") }
        if descending ?? isDescending { fields.append("order=descending") }
        if let kind { fields.append("kind=\(kind.rawValue)") }
        if let text { fields.append("text=\(text.escapedForAddress)") }
        if tasks ?? showsTasks { fields.append("tasks=1") }
        if page > 1 { fields.append("page=\(page)") }
        return path + (fields.isEmpty ? "" : "?" + fields.joined(separator: "&")) + "#history"
    }

    func values(for run: Run, pending: [PendingActivity], store: HistoryStore) async throws -> [String: Any] {
        let found: HistoryStore.EventPage
        var problem: String?
        do {
            found = try await store.eventPage(
                of: run, .init(kind: kind, text: text), isGrouped: view == .grouped, foldsTasks: foldsTasks,
                isDescending: isDescending, page: page, size: Self.pageSize, event: event)
        } catch let error as PostgresError where error.isOfData {
            found = HistoryStore.EventPage(groups: [], count: 0, page: 1, kinds: [], tasks: 0)
            problem = error.message
        }
        let events = try await store.events(of: run, ids: found.groups.flatMap { $0 }, .cut)
        let whole = Dictionary(events.map { ($0.id, $0) }) { first, _ in first }
        var values: [String: Any] = [
            "views": View.allCases.map {
                ["label": $0.label, "href": address(view: $0), "current": $0 == view] as [String: Any]
            },
            "isGrouped": view == .grouped, "isAll": view == .all, "isRaw": view == .raw,
            "isDescending": isDescending, "otherOrder": address(descending: !isDescending),
            "text": text ?? "", "kind": kind?.rawValue ?? false as Any,
            "viewName": view == .grouped ? false : view.rawValue as Any,
            "folded": foldsTasks && found.tasks > 0
                ? ["count": found.tasks, "isOne": found.tasks == 1, "href": address(tasks: true)] as [String: Any]
                : false as Any,
            "unfolded": view == .grouped && showsTasks ? address(tasks: false) : false as Any,
            "download": "\(path)/history.json", "path": path, "unreadable": problem ?? false as Any,
        ]
        values["kinds"] =
            [["label": "All", "href": address(kind: .some(nil)), "current": kind == nil] as [String: Any]]
            + found.kinds.map {
                ["label": $0.label, "href": address(kind: $0), "current": $0 == kind] as [String: Any]
            }

        switch view {
        case .grouped:
            let steps = Dictionary(Step.steps(of: events, pending: pending).map { ($0.id, $0) }) { first, _ in first }
            values["steps"] = found.groups.compactMap { group in
                group.first.flatMap { steps[$0] }.map { StepView.values($0, run: run, isRow: true) }
            }
        case .all:
            values["events"] = found.groups.compactMap { whole[$0[0]] }.map {
                StepView.event($0, run: run, isRow: true)
            }
        case .raw:
            values["json"] = found.groups.compactMap { whole[$0[0]] }.map(\.temporalJSON.indented)
                .joined(separator: ",\n")
        }
        values.merge(paging(found.page, of: found.count, view == .grouped ? "steps" : "events")) { $1 }
        return values
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
