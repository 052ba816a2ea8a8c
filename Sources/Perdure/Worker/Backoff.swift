/// A wait that doubles from a minimum to a maximum.
struct Backoff {
    let minimum: Duration
    let maximum: Duration
    private(set) var current: Duration

    init(from minimum: Duration, to maximum: Duration) {
        self.minimum = minimum
        self.maximum = max(minimum, maximum)
        current = minimum
    }

    /// The wait to make now; the one after it is twice as long.
    mutating func next() -> Duration {
        defer { current = min(current * 2, maximum) }
        return current
    }

    /// As ``next()``, and spread by a quarter either way, so that many who failed together do not come back together.
    mutating func nextSpread() -> Duration { next() * Double.random(in: 0.75...1.25) }

    mutating func reset() { current = minimum }
}
