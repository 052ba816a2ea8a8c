import Bank
import Foundation
import WebCommon

/// The page as it is before its script runs: balances, sums and the form.
struct TransferPage: Sendable {
    let files: StaticFiles
    private let templates: PageTemplates
    private let ledger: Ledger
    private let historyURL: String

    /// Where the build puts the templates and the public files.
    static var resources: URL { Bundle.module.resourceURL ?? Bundle.module.bundleURL }

    /// - Parameter resources: the folder that holds `Templates` and `Public`.
    init(resources: URL, ledger: Ledger, historyURL: String) throws {
        files = try StaticFiles(folder: resources.appendingPathComponent("Public"))
        templates = try PageTemplates(folder: resources.appendingPathComponent("Templates"))
        self.ledger = ledger
        self.historyURL = historyURL
    }

    func html() async throws -> String {
        let mode = try await ledger.realWorldMode()
        let totals = try await ledger.totals()
        let accounts: [[String: Any]] = try await ledger.balances().map { account, balance in
            let letter = account.replacing("account_", with: "")
            return [
                "id": account, "letter": String(letter.prefix(2)), "name": "Account \(letter)",
                "balance": balance.grouped,
            ]
        }
        return templates.render(
            "page",
            [
                "accounts": accounts, "customers": totals.customers.grouped, "in_transit": totals.inTransit.grouped,
                "all": (totals.customers + totals.inTransit).grouped, "conserved": "\(totals.isConserved)",
                "verdict": totals.isConserved
                    ? "Unchanged: exactly the \(totals.expected.grouped) that was put in"
                    : "Wrong: \(totals.expected.grouped) was put in",
                "mode_enabled": "\(mode.isEnabled)", "mode_note": Self.describe(mode), "history_url": historyURL,
            ] as [String: Any])
    }

    private static func describe(_ mode: RealWorldMode) -> String {
        func percent(_ share: Double) -> String { "\((share * 1000).rounded() / 10)".replacing(".0", with: "") + " %" }
        let seconds = "\(Double(mode.hang.components.seconds))".replacing(".0", with: "")
        return
            "\(percent(mode.hangRate)) of calls to the accounts hang for \(seconds) s, \(percent(mode.errorRate)) fail, "
            + "\(percent(mode.lostAnswerShare)) of those after the money has moved."
    }
}

extension Money {
    /// For people: `1,000.00`.
    var grouped: String {
        let (whole, rest) = cents.magnitude.quotientAndRemainder(dividingBy: 100)
        var digits = String(whole)
        var place = digits.count - 3
        while place > 0 {
            digits.insert(",", at: digits.index(digits.startIndex, offsetBy: place))
            place -= 3
        }
        return "\(cents < 0 ? "-" : "")\(digits).\(rest < 10 ? "0" : "")\(rest)"
    }
}
