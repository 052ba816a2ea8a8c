/// A wait that grows from a minimum to a maximum.
struct Backoff {
    let minimum: Duration
    let maximum: Duration
    let factor: Double
    private(set) var current: Duration

    init(from minimum: Duration, to maximum: Duration, factor: Double = 2) {
        self.minimum = minimum
        self.maximum = max(minimum, maximum)
        self.factor = factor
        current = minimum
    }

    /// The wait to make now; the one after it is longer by the factor.
    mutating func next() -> Duration {
        defer { current = min(current * factor, maximum) }
        return current
    }

    /// As ``next()``, and spread by a quarter either way, so that many who failed together do not come back together.
    mutating func nextSpread() -> Duration { next() * Double.random(in: 0.75...1.25) }

    mutating func reset() { current = minimum }
}
