import Foundation

/// How far back a worker looks for what there is to do, by kind of work and shard.
///
/// What is done stays in an index by time until vacuum removes it, which the snapshot of a forgotten transaction
/// forbids, and each pass over the index steps over it. But all that came before a pass that left nothing is done. So a
/// pass need look back only that far, and some more for what was on its way; and one over everything finds what became
/// visible late, or was handed back. While that takes as little as it usually does, it is made nearly each time.
struct Lookback {
    /// How much longer than a pass a transaction may take, from the time that it gives its tasks until it commits,
    /// without its tasks having to wait for a pass over everything.
    private static let overlap: TimeInterval = 0.5
    /// A pass over everything is made when this many times as long as the last one took has gone by.
    private static let restFactor = 50.0

    /// When the last pass that left nothing was asked for, by the database's clock.
    private var leftNothingAt: Date?
    private var nextOverAll = ContinuousClock.now

    /// Since when to look now, by the database's clock; nil for everything.
    func since(at now: ContinuousClock.Instant = .now) -> Date? {
        now < nextOverAll ? leftNothingAt?.addingTimeInterval(-Self.overlap) : nil
    }

    /// Notes a pass that has ended.
    mutating func passed(
        since: Date?, askedAt: Date?, leftNothing: Bool, took: Duration, at now: ContinuousClock.Instant = .now
    ) {
        if since == nil { nextOverAll = now + took * Self.restFactor }
        if leftNothing, let askedAt { leftNothingAt = askedAt }
    }
}
