import Foundation
import WebCommon

/// What the transfer page reads from its environment.
struct TransferSettings: Sendable {
    var web: WebSettings
    /// Where the history pages are, for links.
    var historyURL: String
    /// The queue of the workers that run transfers.
    var taskQueue: String
    /// Where the account API is, for the transfers that are made without the engine.
    var accountAPI: String
    /// How long one of their calls may take.
    var accountAPITimeout: Duration
    /// Whether the page may crash workers and deploy bugs: a workshop wants that, and nothing else does.
    var isWorkshop: Bool

    /// Reads `TRANSFER_WEB_PORT` (5001), `HISTORY_WEB_URL` (http://127.0.0.1:8080), `PERDURE_TASK_QUEUE` (bank),
    /// `ACCOUNT_API_URL` (http://127.0.0.1:5000), `ACCOUNT_API_TIMEOUT_SECONDS` (5) and `BANK_WORKSHOP` (off), and
    /// what ``VisitorSettings`` does.
    init(environment: [String: String] = ProcessInfo.processInfo.environment) throws(StartupFailure) {
        func setting(_ name: String, _ value: String) -> String {
            environment[name].flatMap { $0.isEmpty ? nil : $0 } ?? value
        }
        web = try WebSettings(portVariable: "TRANSFER_WEB_PORT", defaultPort: 5001, environment: environment)
        web.visitors = try VisitorSettings(environment: environment)
        historyURL = setting("HISTORY_WEB_URL", "http://127.0.0.1:8080")
        taskQueue = setting("PERDURE_TASK_QUEUE", "bank")
        accountAPI = setting("ACCOUNT_API_URL", "http://127.0.0.1:5000")
        let timeout = setting("ACCOUNT_API_TIMEOUT_SECONDS", "5")
        guard let seconds = Double(timeout), seconds > 0, seconds <= 3600 else {
            throw StartupFailure(
                "ACCOUNT_API_TIMEOUT_SECONDS is \"\(timeout)\": set it to a number of seconds up to 3600")
        }
        accountAPITimeout = .seconds(seconds)
        let workshop = setting("BANK_WORKSHOP", "off")
        guard workshop == "on" || workshop == "off" else {
            throw StartupFailure("BANK_WORKSHOP is \"\(workshop)\": it is on or off")
        }
        isWorkshop = workshop == "on"
        while historyURL.hasSuffix("/") { historyURL.removeLast() }
        for (name, address) in [("HISTORY_WEB_URL", historyURL), ("ACCOUNT_API_URL", accountAPI)] {
            guard let url = URL(string: address), url.scheme == "http" || url.scheme == "https" else {
                throw StartupFailure(
                    "\(name) is \"\(address)\": set it to an address that begins with http:// or https://")
            }
        }
    }
}
