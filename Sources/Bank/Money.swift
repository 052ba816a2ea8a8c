import Foundation

/// An amount of money, to the cent. Never a floating point number on its way in or out.
public struct Money: Sendable, Hashable, Comparable {
    public var cents: Int64

    public init(cents: Int64) { self.cents = cents }

    /// The largest amount that one movement may have: 1,000,000,000,000.00.
    public static let largest = Money(cents: 100_000_000_000_000)

    public static func < (left: Money, right: Money) -> Bool { left.cents < right.cents }
    /// What is beyond 64 bits of cents stays at their end: a page that adds up broken books does not end the program.
    public static func + (left: Money, right: Money) -> Money {
        let (sum, isOver) = left.cents.addingReportingOverflow(right.cents)
        return Money(cents: isOver ? (left.cents < 0 ? .min : .max) : sum)
    }

    public static func - (left: Money, right: Money) -> Money {
        let (difference, isOver) = left.cents.subtractingReportingOverflow(right.cents)
        return Money(cents: isOver ? (left.cents < 0 ? .min : .max) : difference)
    }
}

extension Money {
    /// Why a number is no amount.
    public enum Invalid: Error, Sendable, Hashable, CustomStringConvertible {
        case missing
        case notANumber
        case notPositive
        case moreThanTwoDecimals
        case tooLarge

        public var description: String {
            switch self {
            case .missing: "the amount is missing"
            case .notANumber: "the amount must be a number"
            case .notPositive: "the amount must be greater than zero"
            case .moreThanTwoDecimals: "the amount must not have more than two decimals"
            case .tooLarge: "the amount must be at most \(Money.largest)"
            }
        }
    }

    /// Reads a JSON number by its digits: `12.5` and `1.25e1` are 1250 cents, `0.1` is 10 and never 9.999…. Takes
    /// what a ledger can hold, 64 bits of cents: a balance may be above what one movement may have.
    public init(parsing text: String) throws(Invalid) {
        var rest = text[...]
        let isNegative = rest.first == "-"
        if isNegative { rest = rest.dropFirst() }

        var exponent = 0
        if let mark = rest.firstIndex(where: { $0 == "e" || $0 == "E" }) {
            var written = rest[rest.index(after: mark)...]
            let shrinks = written.first == "-"
            if shrinks || written.first == "+" { written = written.dropFirst() }
            guard Self.areDigits(written) else { throw .notANumber }
            // An exponent of more than eight digits is beyond any amount, whichever one it is.
            exponent = Int(written.drop { $0 == "0" }.prefix(9)) ?? 0
            if shrinks { exponent = -exponent }
            rest = rest[..<mark]
        }

        let parts = rest.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.allSatisfy(Self.areDigits) else { throw .notANumber }
        let fraction = parts.count > 1 ? String(parts[1]) : ""
        var digits = Array((parts[0] + fraction).drop { $0 == "0" })
        guard !digits.isEmpty else {
            self.init(cents: 0)
            return
        }
        // The amount is digits x 10^(zeros - 2).
        var zeros = exponent - fraction.count + 2
        while digits.last == "0" {
            digits.removeLast()
            zeros += 1
        }
        guard zeros >= 0 else { throw .moreThanTwoDecimals }
        guard digits.count + zeros <= 19,
            let cents = Int64((isNegative ? "-" : "") + String(digits) + String(repeating: "0", count: zeros))
        else { throw .tooLarge }
        self.init(cents: cents)
    }

    /// The amount that a caller asks to move. Throws for nothing, zero and less too.
    /// - Parameter jsonNumber: the digits of a JSON number.
    public static func requested(_ jsonNumber: String?) throws(Invalid) -> Money {
        guard let jsonNumber else { throw .missing }
        let amount = try Money(parsing: jsonNumber)
        guard amount.cents > 0 else { throw .notPositive }
        guard amount <= .largest else { throw .tooLarge }
        return amount
    }

    private static func areDigits(_ text: Substring) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { (0x30...0x39).contains($0) }
    }
}

extension Money: CustomStringConvertible {
    /// The amount as a JSON number with at least one decimal, as the account API writes it: `1000.0`, `12.34`.
    public var description: String {
        let (whole, rest) = cents.magnitude.quotientAndRemainder(dividingBy: 100)
        let decimals = rest % 10 == 0 ? "\(rest / 10)" : rest < 10 ? "0\(rest)" : "\(rest)"
        return "\(cents < 0 ? "-" : "")\(whole).\(decimals)"
    }
}

extension Money {
    /// For people: `1,000.00`.
    public var grouped: String {
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

/// In JSON an amount is a number, so that people read it in a workflow's history as they wrote it.
extension Money: Codable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let number = try container.decode(Decimal.self)
        do {
            try self.init(parsing: number.description)
        } catch {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "\(error)")
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(Decimal(cents) / 100)
    }
}
