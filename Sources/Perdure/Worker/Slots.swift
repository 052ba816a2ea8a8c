import Synchronization

/// How many tasks of a kind a worker may have at a time, and how many it has.
final class Slots: Sendable {
    private let limit: Int
    private let used = Mutex(0)

    init(limit: Int) { self.limit = limit }

    var free: Int { used.withLock { max(0, limit - $0) } }
    var inUse: Int { used.withLock { $0 } }

    func take(_ count: Int) { used.withLock { $0 += count } }
    func give() { used.withLock { $0 -= 1 } }
}
