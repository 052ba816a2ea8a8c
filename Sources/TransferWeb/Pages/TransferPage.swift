import Bank
import WebCommon

/// The page as it is before its script runs: balances, sums and the form.
struct TransferPage: Sendable {
    private let site: Site
    private let ledger: Ledger

    init(_ site: Site, _ ledger: Ledger) {
        self.site = site
        self.ledger = ledger
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
        let isWhole = totals.isConserved && totals.missing.cents == 0 && totals.surplus.cents == 0
        return site.render(
            "page", at: .transfers,
            [
                "accounts": accounts, "customers": totals.customers.grouped,
                "in_transit": (totals.inTransit - totals.missing + totals.surplus).grouped,
                "missing": totals.missing.grouped, "is_missing": totals.missing.cents > 0,
                "surplus": totals.surplus.grouped, "is_surplus": totals.surplus.cents > 0,
                "all": (totals.customers + totals.inTransit).grouped, "conserved": "\(isWhole)",
                "verdict": verdict(totals), "mode_enabled": "\(mode.isEnabled)", "mode_note": mode.inWords,
                "modes": TransferMode.allCases.map { ["id": $0.rawValue, "name": $0.name, "checked": $0 == .durable] },
            ])
    }

    private func verdict(_ totals: Ledger.Totals) -> String {
        guard totals.isConserved else { return "Wrong: \(totals.expected.grouped) was put in" }
        var wrong: [String] = []
        if totals.missing.cents > 0 { wrong.append("\(totals.missing.grouped) is missing") }
        if totals.surplus.cents > 0 { wrong.append("\(totals.surplus.grouped) came from nowhere") }
        guard wrong.isEmpty else { return wrong.joined(separator: ", ") }
        return "Unchanged: exactly the \(totals.expected.grouped) that was put in"
    }
}

extension RealWorldMode {
    /// The rates, for people.
    var inWords: String {
        func percent(_ share: Double) -> String { "\((share * 1000).rounded() / 10)".replacing(".0", with: "") + " %" }
        let seconds = "\(Double(hang.components.seconds))".replacing(".0", with: "")
        return
            "\(percent(hangRate)) of calls to the accounts hang for \(seconds) s, \(percent(errorRate)) fail, "
            + "\(percent(lostAnswerShare)) of those after the money has moved."
    }
}

/// How pages name an account: `Account A`.
func accountName(_ id: String) -> String { id.replacing("account_", with: "Account ") }
