extension Duration {
    /// Reads a duration as the contract writes it: seconds with an `s`, such as `10s` or `0.25s`.
    public init?(wire text: String) {
        guard text.utf8.last == UInt8(ascii: "s") else { return nil }
        var number = text.dropLast()
        let isNegative = number.first == "-"
        if isNegative { number = number.dropFirst() }
        let parts = number.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let whole = parts.first, let seconds = Self.digits(whole) else { return nil }
        var attoseconds: Int64 = 0
        if parts.count == 2 {
            guard parts[1].utf8.count <= 18, let fraction = Self.digits(parts[1]) else { return nil }
            attoseconds = fraction
            for _ in parts[1].utf8.count..<18 { attoseconds *= 10 }
        }
        self.init(secondsComponent: seconds, attosecondsComponent: attoseconds)
        if isNegative { self = .zero - self }
    }

    /// The contract's form, to the microsecond that PostgreSQL keeps: `10s`, `0.25s`.
    public var wire: String {
        let microseconds = wholeMicroseconds
        let sign = microseconds < 0 ? "-" : ""
        let (seconds, fraction) = microseconds.magnitude.quotientAndRemainder(dividingBy: 1_000_000)
        guard fraction > 0 else { return "\(sign)\(seconds)s" }
        var digits = String(String(fraction + 1_000_000).dropFirst())
        while digits.last == "0" { digits.removeLast() }
        return "\(sign)\(seconds).\(digits)s"
    }

    /// Whole microseconds; what is shorter is cut off. A duration too long for 64 bits is the longest there is.
    public var wholeMicroseconds: Int64 {
        let (seconds, attoseconds) = components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000)
        let (sum, overflowed) = product.addingReportingOverflow(attoseconds / 1_000_000_000_000)
        return overflow || overflowed ? (seconds < 0 ? .min : .max) : sum
    }

    private static func digits(_ text: Substring) -> Int64? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return Int64(text)
    }
}
