import Bank
import WebCommon

/// The same fifty transfers in three modes, side by side: one mark a transfer, and what the books say of the money.
struct ComparePage {
    let site: Site
    let comparison: Comparisons.Comparison?
    let mode: RealWorldMode

    private typealias Verdict = Comparisons.Verdict

    func html() -> String {
        var values: [String: Any] = [
            "mode_enabled": mode.isEnabled, "mode_note": mode.inWords, "has_comparison": comparison != nil,
            "size": Comparisons.usualSize, "usual": Comparisons.usualSize, "amount": Comparisons.usualAmount.grouped,
            "code": TransferMode.allCases.compactMap { mode in site.code[mode].map { listing(mode, $0) } },
        ]
        if let comparison {
            values["id"] = comparison.id
            values["size"] = comparison.size
            values["amount"] = comparison.amount.grouped
            values["is_running"] = comparison.isRunning
            values["start"] = clock(comparison.startedAt)
            values["modes"] = comparison.results.map { column($0, comparison) }
            let wrong = comparison.transfers.filter { $0.verdict.map { $0 != .correct } ?? false }
            values["has_wrong"] = !wrong.isEmpty
            values["wrong"] = wrong.map(row)
            values["legend"] = [Self.running] + Verdict.allCases.map(Self.look) + [Self.nothing]
        }
        return site.render("compare", at: .compare, values)
    }

    // MARK: One mode

    private func column(_ result: Comparisons.Result, _ comparison: Comparisons.Comparison) -> [String: Any] {
        let own = comparison.transfers.filter { $0.mode == result.mode }
        let across = 10
        let pitch = 26
        let marks = own.enumerated().map { place, transfer in
            let (column, line) = (place % across, place / across)
            var mark: [String: Any] = look(of: transfer)
            mark["x"] = column * pitch
            mark["y"] = line * pitch
            mark["title"] =
                "\(accountName(transfer.fromAccount)) to \(accountName(transfer.toAccount)): \(mark["label"] ?? "")"
            return mark
        }
        let lines = (own.count + across - 1) / across
        let wrong = Verdict.allCases.filter { $0 != .correct }.reduce(0) { $0 + (result.counts[$1] ?? 0) }
        return [
            "id": result.mode.rawValue, "name": result.mode.name, "about": Self.about(result.mode),
            "file": CodeListing.file(of: result.mode),
            "marks": marks, "width": across * pitch - 4, "height": max(lines, 1) * pitch - 4,
            "running": result.running, "completed": result.completed, "failed": result.failed,
            "correct": result.counts[.correct] ?? 0, "wrong": wrong, "is_wrong": wrong > 0,
            "missing": result.missing.grouped, "is_missing": result.missing.cents > 0,
            "doubled": result.doubled.grouped, "is_doubled": result.doubled.cents > 0,
            "repeated": result.repeated.grouped, "is_repeated": result.repeated.cents > 0,
            "unreported": result.counts[.unreported] ?? 0, "is_unreported": (result.counts[.unreported] ?? 0) > 0,
            "seconds": seconds(result.seconds),
            "summary":
                "\(result.completed) completed, \(result.failed) failed, \(result.running) under way; "
                + "the books are right for \(result.counts[.correct] ?? 0) and wrong for \(wrong).",
        ]
    }

    private func seconds(_ seconds: Double) -> String {
        seconds < 10 ? "\((seconds * 10).rounded() / 10) s" : "\(Int(seconds.rounded())) s"
    }

    private static func about(_ mode: TransferMode) -> String {
        switch mode {
        case .plain: "Four calls, one after the other."
        case .retrying: "Each call up to three times, the wait doubled."
        case .durable: "A workflow: retried until it works, whoever dies."
        }
    }

    private func listing(_ mode: TransferMode, _ code: CodeListing) -> [String: Any] {
        [
            "id": mode.rawValue, "name": mode.name, "file": code.file, "count": code.text.lines.count,
            "lines": code.text.lines.enumerated().map { number, pieces in
                [
                    "number": number + 1,
                    "pieces": pieces.map {
                        ["text": $0.text, "look": $0.look.rawValue, "is_plain": $0.look == .plain] as [String: Any]
                    },
                ] as [String: Any]
            },
        ]
    }

    // MARK: One transfer

    private static let running = ["look": "running", "label": "under way"]
    private static let nothing = ["look": "nothing", "label": "failed, and nothing moved"]

    private static func look(_ verdict: Verdict) -> [String: String] {
        let label =
            switch verdict {
            case .correct: "completed, and the books are right"
            case .missing: "money missing: more withdrawn than deposited"
            case .doubled: "money from nowhere: more deposited than withdrawn"
            case .repeated: "moved more than once"
            case .unreported: "moved, and reported as failed"
            }
        return ["look": verdict.rawValue, "label": label]
    }

    private func look(of transfer: Comparisons.ComparedTransfer) -> [String: String] {
        guard let verdict = transfer.verdict else { return Self.running }
        return verdict == .correct && transfer.status != "COMPLETED" ? Self.nothing : Self.look(verdict)
    }

    private func row(_ transfer: Comparisons.ComparedTransfer) -> [String: Any] {
        var row: [String: Any] = look(of: transfer)
        row["mode"] = transfer.mode.name
        row["from"] = accountName(transfer.fromAccount)
        row["to"] = accountName(transfer.toAccount)
        row["status"] =
            transfer.status == "LOST"
            ? "nothing: the process died" : transfer.status.lowercased().replacing("_", with: " ")
        row["withdrawn"] = transfer.withdrawn.grouped
        row["deposited"] = transfer.deposited.grouped
        row["books"] = "/books?transfer=\(transfer.transferID)"
        return row
    }
}
