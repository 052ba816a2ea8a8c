import Foundation
import WebCommon

/// What the transfer page reads from its environment.
struct TransferSettings: Sendable {
    var web: WebSettings
    /// Where the history pages are, for links.
    var historyURL: String
    /// The queue of the workers that run transfers.
    var taskQueue: String

    /// Reads `TRANSFER_WEB_PORT` (5001), `HISTORY_WEB_URL` (http://127.0.0.1:8080) and `PERDURE_TASK_QUEUE` (bank).
    init(environment: [String: String] = ProcessInfo.processInfo.environment) throws(StartupFailure) {
        func setting(_ name: String, _ value: String) -> String {
            environment[name].flatMap { $0.isEmpty ? nil : $0 } ?? value
        }
        web = try WebSettings(portVariable: "TRANSFER_WEB_PORT", defaultPort: 5001, environment: environment)
        historyURL = setting("HISTORY_WEB_URL", "http://127.0.0.1:8080")
        taskQueue = setting("PERDURE_TASK_QUEUE", "bank")
        while historyURL.hasSuffix("/") { historyURL.removeLast() }
        guard let url = URL(string: historyURL), url.scheme == "http" || url.scheme == "https" else {
            throw StartupFailure(
                "HISTORY_WEB_URL is \"\(historyURL)\": set it to an address that begins with http:// or https://")
        }
    }
}
