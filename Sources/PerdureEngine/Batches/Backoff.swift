/// A wait that grows from a minimum to a maximum.
public struct Backoff: Sendable {
    public let minimum: Duration
    public let maximum: Duration
    public let factor: Double
    public private(set) var current: Duration

    public init(from minimum: Duration, to maximum: Duration, factor: Double = 2) {
        self.minimum = minimum
        self.maximum = max(minimum, maximum)
        self.factor = factor
        current = minimum
    }

    /// The wait to make now; the one after it is longer by the factor.
    public mutating func next() -> Duration {
        defer { current = min(current * factor, maximum) }
        return current
    }

    /// As ``next()``, and spread by a quarter either way, so that many who failed together do not come back together.
    public mutating func nextSpread() -> Duration { next() * Double.random(in: 0.75...1.25) }

    public mutating func reset() { current = minimum }

    /// Whether the last wait was the longest, or near to it.
    public var isLong: Bool { current >= maximum / 4 }
}
