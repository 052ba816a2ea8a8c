import Bank
import Foundation
import Perdure
import Postgres

/// What the worker reads from its environment; `.env.example` explains each.
struct BankWorkerSettings: Sendable {
    var worker: WorkerOptions
    var accountAPI: String
    var accountAPITimeout: Duration

    init(environment: [String: String] = ProcessInfo.processInfo.environment) throws(StartupFailure) {
        func setting(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
        func seconds(_ name: String, _ standard: Double) throws(StartupFailure) -> Duration {
            guard let text = setting(name) else { return .seconds(standard) }
            guard let seconds = Double(text), seconds > 0, seconds <= 86_400 else {
                throw StartupFailure("\(name) is \"\(text)\": set it to a number of seconds, above 0 and up to 86400")
            }
            return .seconds(seconds)
        }
        worker = WorkerOptions(
            namespace: setting("PERDURE_NAMESPACE") ?? "default", taskQueue: setting("PERDURE_TASK_QUEUE") ?? "bank",
            buildID: setting("PERDURE_BUILD_ID") ?? "")
        worker.sourceFiles = moduleSources
        worker.lease = try seconds("PERDURE_LEASE_SECONDS", 10)
        accountAPITimeout = try seconds("ACCOUNT_API_TIMEOUT_SECONDS", 5)
        accountAPI = setting("ACCOUNT_API_URL") ?? "http://127.0.0.1:5000"
        guard let url = URL(string: accountAPI), url.scheme == "http" || url.scheme == "https", url.host() != nil else {
            throw StartupFailure(
                "ACCOUNT_API_URL is \"\(accountAPI)\": set it to an address that begins with http:// or https://")
        }
        if let bug = setting("PERDURE_BANK_BUG"), Bug(rawValue: bug) == nil {
            let known = Bug.allCases.map(\.rawValue).joined(separator: " or ")
            throw StartupFailure("PERDURE_BANK_BUG is \"\(bug)\": set it to \(known), or leave it out")
        }
    }
}

/// Why the worker could not start, in one line that says what to do.
struct StartupFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }

    init(_ error: PostgresError) {
        switch error.cause {
        case .missingObject:
            self.init("the database is not migrated (\(error.message)): run perdure migrate, or start_services.sh")
        case .permission where error.kind != .configuration:
            self.init("the database refuses: \(error.message); set DATABASE_URL or the PG* variables")
        default:
            self.init("the database cannot be used: \(error.message); set DATABASE_URL or the PG* variables")
        }
    }
}
