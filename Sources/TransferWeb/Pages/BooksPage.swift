import Bank
import Foundation
import WebCommon

/// The books: the proof that they balance, what everybody holds, what is missing, and the journal with the cause of
/// each entry.
struct BooksPage {
    let site: Site
    let books: Books
    let filter: Books.Filter
    let before: Int64?

    private static let pageSize = 50

    func html() async throws -> String {
        let proof = try await books.proof()
        let balances = try await books.balances()
        let stranded = try await books.stranded()
        let entries = try await books.entries(filter, before: before, limit: Self.pageSize)
        let held = balances.filter { $0.kind == "customer" }
        let isProven =
            proof.wrongEntries == 0 && proof.wrongBalances == 0 && proof.debits == proof.credits && proof.isConserved
        let durable = entries.filter { $0.cause != "none" }
        let tied = durable.count { $0.cause == "completed" || $0.cause == "pending" }
        var values: [String: Any] = [
            "is_proven": "\(isProven)",
            "verdict": isProven ? "Proven: debits equal credits" : "Wrong: the books do not balance",
            "debits": proof.debits.grouped, "credits": proof.credits.grouped,
            "wrong_entries": proof.wrongEntries, "wrong_balances": proof.wrongBalances,
            "balances": balances.map(balance),
            "held": held.reduce(Money(cents: 0)) { $0 + $1.balance }.grouped,
            "has_stranded": !stranded.isEmpty, "stranded": stranded.map(row),
            "entries": entries.map(row), "has_entries": !entries.isEmpty,
            "durable": durable.count, "tied": tied, "is_tied": tied == durable.count, "has_durable": !durable.isEmpty,
            "others": entries.count { $0.cause == "none" && ($0.kind == "withdrawal" || $0.kind == "deposit") },
            "next": false, "filtered": filter.account != nil || filter.transfer != nil || before != nil,
            "filter": filterInWords,
        ]
        if entries.count == Self.pageSize, let last = entries.last { values["next"] = address(before: last.id) }
        return site.render("books", at: .books, values)
    }

    private var filterInWords: String {
        var parts: [String] = []
        if let account = filter.account { parts.append("of \(accountName(account))") }
        if let transfer = filter.transfer { parts.append("of transfer \(transfer)") }
        if let before { parts.append("before number \(before)") }
        return parts.joined(separator: ", ")
    }

    private func address(before: Int64) -> String {
        var parts = ["before=\(before)"]
        if let account = filter.account { parts.append("account=\(account.escapedForAddress)") }
        if let transfer = filter.transfer { parts.append("transfer=\(transfer.escapedForAddress)") }
        return "/books?" + parts.joined(separator: "&")
    }

    private func balance(_ balance: Books.Balance) -> [String: Any] {
        let name =
            switch balance.kind {
            case "in_transit": "In transit"
            case "equity": "Equity, where the money came from"
            default: accountName(balance.account)
            }
        return [
            "name": name, "balance": balance.balance.grouped,
            "opening": balance.kind == "customer" ? balance.opening.grouped : "",
            "books": "/books?account=\(balance.account.escapedForAddress)",
        ]
    }

    private func row(_ stranded: Books.Stranded) -> [String: Any] {
        [
            "transfer": stranded.transfer.isEmpty ? "no transfer named" : stranded.transfer,
            "has_transfer": !stranded.transfer.isEmpty,
            "books": "/books?transfer=\(stranded.transfer.escapedForAddress)",
            "mode": stranded.mode.flatMap(TransferMode.init(rawValue:))?.name ?? "",
            "account": stranded.account.map(accountName) ?? "",
            "amount": Money(cents: abs(stranded.amount.cents)).grouped,
            "look": stranded.amount.cents > 0 ? "missing" : "doubled",
            "label": stranded.amount.cents > 0 ? "withdrawn, never deposited" : "deposited, never withdrawn",
        ]
    }

    private func row(_ entry: Books.Entry) -> [String: Any] {
        let kind =
            switch entry.kind {
            case "withdrawal": "Withdrawal"
            case "deposit": "Deposit"
            case "opening": "Opening"
            default: "Reset"
            }
        let mode = entry.mode.flatMap(TransferMode.init(rawValue:))
        let event = "\(entry.activityID ?? ""), event \(entry.scheduledEvent ?? 0)"
        let end = "event \(entry.endedEvent ?? 0)"
        let cause =
            switch entry.cause {
            case "completed": "\(event), done in \(end)"
            case "pending": "\(event), still under way"
            case "failed": "\(event), which failed in \(end)"
            case "unknown": "names a workflow that no history knows"
            default: mode == nil ? entry.memo.map(accountName) ?? "" : "no event: the process itself called"
            }
        var link: Any = false
        if let workflowID = entry.workflowID, let runID = entry.runID, let event = entry.scheduledEvent {
            link = site.history(workflowID, runID, event: event)
        }
        return [
            "id": entry.id, "time": clock(entry.time), "iso": entry.time.ISO8601Format(), "kind": kind,
            "refused": !entry.isPosted, "amount": entry.amount?.grouped ?? "",
            "postings": entry.postings.map { posting in
                [
                    "account": accountLabel(posting.account),
                    "debit": posting.amount.cents < 0 ? Money(cents: -posting.amount.cents).grouped : "",
                    "credit": posting.amount.cents > 0 ? posting.amount.grouped : "",
                ] as [String: Any]
            },
            "mode": mode?.name ?? "", "mode_id": mode?.rawValue ?? "", "has_mode": mode != nil,
            "has_transfer": entry.transferID != nil,
            "transfer": entry.transferID.map { "/books?transfer=\($0.escapedForAddress)" } ?? "",
            "cause": cause, "link": link, "is_wrong": entry.cause == "failed" || entry.cause == "unknown",
            "attempt": (entry.attempt ?? 1) > 1 ? "attempt \(entry.attempt ?? 1)" : "",
        ]
    }

    private func accountLabel(_ account: String) -> String {
        switch account {
        case "in_transit": "In transit"
        case "equity": "Equity"
        default: accountName(account)
        }
    }
}
