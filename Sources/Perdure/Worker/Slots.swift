import Synchronization

/// How many tasks of a kind a worker may have at a time, and how many it has.
final class Slots: Sendable {
    private let limit: Int
    private let used = Mutex(0)

    init(limit: Int) { self.limit = limit }

    var free: Int { used.withLock { max(0, limit - $0) } }
    var inUse: Int { used.withLock { $0 } }

    func take(_ count: Int) { used.withLock { $0 += count } }
    func give(_ count: Int = 1) { used.withLock { $0 -= count } }

    /// Takes as many as are free, at most `count`.
    ///
    /// - Returns: how many it took.
    func takeFree(atMost count: Int) -> Int {
        used.withLock { used in
            let taken = max(0, min(count, limit - used))
            used += taken
            return taken
        }
    }
}
