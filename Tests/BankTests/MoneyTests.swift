import Bank
import Foundation
import PerdureModel
import Testing

@Suite struct MoneyTests {
    @Test(arguments: [
        ("0", 0), ("-0", 0), ("1", 100), ("0.1", 10), ("0.29", 29), ("12.34", 1234), ("12.340", 1234), ("1e2", 100_00),
        ("1.25e1", 1250), ("125E-1", 1250), ("100.00", 100_00), ("-3.5", -350), ("0.01", 1), ("0e400", 0),
        ("1e+0", 100),
        ("1000000000000", 100_000_000_000_000), ("0.000", 0), ("1234567890.12", 123_456_789_012),
        ("1e13", 1_000_000_000_000_000), ("92233720368547758.07", .max), ("-92233720368547758.08", .min),
    ])
    func readsDigitsExactly(text: String, cents: Int64) throws {
        #expect(try Money(parsing: text) == Money(cents: cents))
    }

    @Test(arguments: [
        ("1.234", Money.Invalid.moreThanTwoDecimals), ("1e-3", .moreThanTwoDecimals), ("1e-400", .moreThanTwoDecimals),
        ("10.0000000000000000000000000000000000000000001", .moreThanTwoDecimals), ("1e400", .tooLarge),
        ("92233720368547758.08", .tooLarge), ("-92233720368547758.09", .tooLarge),
        ("99999999999999999999", .tooLarge), ("1e99999999999999999999", .tooLarge),
        ("NaN", .notANumber), ("Infinity", .notANumber), ("", .notANumber), (".5", .notANumber), ("1.", .notANumber),
        ("0x10", .notANumber), ("1 ", .notANumber), ("١", .notANumber), ("--1", .notANumber), ("1e", .notANumber),
    ])
    func refusesTheRest(text: String, reason: Money.Invalid) {
        #expect(throws: reason) { try Money(parsing: text) }
    }

    @Test(arguments: ["1e13", "1000000000000.01", "92233720368547758.07"])
    func movesNoMoreAtATimeThanItMay(text: String) throws {
        #expect(throws: Money.Invalid.tooLarge) { try Money.requested(text) }
    }

    @Test func staysWithinItsBits() {
        #expect(Money(cents: .max) + Money(cents: 1) == Money(cents: .max))
        #expect(Money(cents: .min) - Money(cents: 1) == Money(cents: .min))
        #expect(Money(cents: .min).grouped == "-92,233,720,368,547,758.08")
    }

    @Test(arguments: [(100_000, "1000.0"), (1250, "12.5"), (1205, "12.05"), (7, "0.07"), (0, "0.0"), (-350, "-3.5")])
    func writesAtLeastOneDecimal(cents: Int64, text: String) {
        #expect(Money(cents: cents).description == text)
    }

    /// Every amount of cents survives the way through JSON, whatever binary fractions make of it.
    @Test func codesExactly() throws {
        let amounts =
            (0...10_000).map { Money(cents: $0 * 7 + 1) } + [
                Money(cents: -1), .largest, Money(cents: .max), Money(cents: .min),
            ]
        let json = try JSONEncoder().encode(amounts)
        #expect(try JSONDecoder().decode([Money].self, from: json) == amounts)
    }

    @Test(arguments: ["1.001", "1e300", "\"1\"", "true", "null"])
    func decodesNothingElse(json: String) {
        #expect(throws: DecodingError.self) { try JSONDecoder().decode(Money.self, from: Data(json.utf8)) }
    }
}
