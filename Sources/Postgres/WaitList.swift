/// Those who wait for something, first come first served; anyone can leave the queue early.
struct WaitList<Waiter> {
    private var waiters: [UInt64: Waiter] = [:]
    private var first: UInt64 = 0
    private var next: UInt64 = 0

    var count: Int { waiters.count }
    var isEmpty: Bool { waiters.isEmpty }

    /// A number for someone who may come to wait. Numbers say who came first.
    mutating func ticket() -> UInt64 {
        defer { next += 1 }
        return next
    }

    mutating func append(_ waiter: Waiter, ticket: UInt64) {
        waiters[ticket] = waiter
        // Whoever took a ticket may come when the search for the first has gone past it.
        first = min(first, ticket)
    }

    /// nil if it is not waiting (any more).
    mutating func remove(_ ticket: UInt64) -> Waiter? { waiters.removeValue(forKey: ticket) }

    /// Who has waited longest.
    mutating func peekFirst() -> (ticket: UInt64, waiter: Waiter)? {
        guard !waiters.isEmpty else {
            first = next
            return nil
        }
        while true {
            if let waiter = waiters[first] { return (first, waiter) }
            first += 1
        }
    }

    mutating func popFirst() -> (ticket: UInt64, waiter: Waiter)? {
        guard let found = peekFirst() else { return nil }
        waiters[found.ticket] = nil
        return found
    }

    mutating func removeAll() -> [Waiter] {
        defer { waiters = [:] }
        return waiters.sorted { $0.key < $1.key }.map(\.value)
    }
}
