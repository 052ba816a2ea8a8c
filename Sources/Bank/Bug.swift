import Foundation
import Perdure

/// Mistakes of a careless colleague, shipped by `PERDURE_BANK_BUG`, so that you can watch what becomes of the transfers
/// that meet them: they wait, and a worker without the bug finishes them.
public enum Bug: String, Sendable, CaseIterable {
    /// The receipt's number is cut out of the balance. It worked on the colleague's machine, whose accounts were full.
    case workflow
    /// The deposit's answer is read as a whole number. It was one in the colleague's test.
    case activity

    /// The bug that this process was built with, so to speak; nil for none.
    public static let shipped = ProcessInfo.processInfo.environment["PERDURE_BANK_BUG"].flatMap(Bug.init)

    struct MissingReceiptNumber: TracedError, CustomStringConvertible {
        let balance: Money
        let stackTrace: String
        var description: String { "cannot make a receipt number of \(balance) at \(stackTrace)" }

        init(balance: Money, file: String = #fileID, line: Int = #line) {
            self.balance = balance
            stackTrace = "\(file):\(line)"
        }
    }

    static func inWorkflow(_ result: TransferResult) throws {
        guard shipped == .workflow, let balance = result.fromAccountStartingBalance else { return }
        let digits = "\(balance)".filter { $0 != "." }
        // Eight digits, the colleague thought.
        guard digits.count >= 8 else { throw MissingReceiptNumber(balance: balance) }
    }

    static func inActivity(_ balance: Money) throws {
        guard shipped == .activity else { return }
        guard Int("\(balance)") != nil else {
            throw ApplicationError(
                message: "cannot read the balance \"\(balance)\" as a whole number", type: "BalanceFormatError")
        }
    }
}
