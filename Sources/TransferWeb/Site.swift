import Foundation
import WebCommon

/// What all pages share: templates, public files, the way around.
struct Site: Sendable {
    let files: StaticFiles
    let historyURL: String
    let isWorkshop: Bool
    /// Whether nothing can be changed.
    let isReadOnly: Bool
    /// Where this page is, for commands that people copy.
    let address: String
    let tour: Tour
    /// The code of the modes.
    let code: [TransferMode: CodeListing]
    private let templates: PageTemplates

    /// Where the build puts the templates and the public files.
    static var resources: URL { Bundle.module.resourceURL ?? Bundle.module.bundleURL }

    /// - Parameter resources: the folder that holds `Templates`, `Public`, `Workshop` and the code of the modes.
    init(resources: URL, settings: TransferSettings) throws {
        files = try StaticFiles(folder: resources.appendingPathComponent("Public"))
        templates = try PageTemplates(folder: resources.appendingPathComponent("Templates"))
        tour = try Tour(folder: resources.appendingPathComponent("Workshop"))
        code = try Dictionary(
            uniqueKeysWithValues: TransferMode.allCases.map { ($0, try CodeListing(of: $0, in: resources)) })
        historyURL = settings.historyURL
        isReadOnly = settings.web.visitors.isReadOnly
        isWorkshop = settings.isWorkshop && !isReadOnly
        let host = ["0.0.0.0", "::", "*"].contains(settings.web.host) ? "127.0.0.1" : settings.web.host
        address = "http://\(host):\(settings.web.port)"
    }

    /// The pages, in the order of the navigation.
    enum Place: String, CaseIterable {
        case transfers = "/"
        case compare = "/compare"
        case workers = "/workers"
        case books = "/books"
        case tour = "/tour"

        var label: String {
            switch self {
            case .transfers: "Transfers"
            case .compare: "Compare"
            case .workers: "Break it"
            case .books: "Books"
            case .tour: "Workshop"
            }
        }
    }

    func render(_ template: String, at place: Place, _ values: [String: Any]) -> String {
        var values = values
        values["history_url"] = historyURL
        values["is_read_only"] = isReadOnly
        values["navigation"] = Place.allCases.map { each in
            ["href": each.rawValue, "label": each.label, "current": each == place] as [String: Any]
        }
        return templates.render(template, values)
    }

    /// Where the history pages show a run, or one of its events.
    func history(_ workflowID: String, _ runID: String, event: Int64? = nil) -> String {
        let run =
            "\(historyURL)/namespaces/default/workflows/\(workflowID.segmentOfAddress)/\(runID.segmentOfAddress)"
        return event.map { "\(run)#event-\($0)" } ?? run
    }
}

/// How pages write times: `14:03:59`, in UTC.
func clock(_ date: Date) -> String {
    let seconds = Int(date.timeIntervalSince1970.rounded(.down)) % 86_400
    func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
    return "\(two(seconds / 3600)):\(two(seconds / 60 % 60)):\(two(seconds % 60))"
}
