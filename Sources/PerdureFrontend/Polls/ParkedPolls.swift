import Foundation
import Synchronization

/// The polls that wait at one queue, in the order in which they came.
struct ParkedPolls: Sendable {
    typealias Answer = CheckedContinuation<ClaimedTask?, Never>

    private struct Poll {
        let worker: UUID
        let end: ContinuousClock.Instant
        let answer: Answer
        var isReserved = false
    }

    private var polls: [UInt64: Poll] = [:]
    private var last: UInt64 = 0
    private var all = Line()
    private var ofWorker: [UUID: Line] = [:]
    /// How many of each worker wait and are not reserved.
    private(set) var parked: [UUID: Int] = [:]
    private var isDraining = false

    mutating func nextID() -> UInt64 {
        last += 1
        return last
    }

    /// - Returns: false when polls are not parked any more.
    mutating func park(_ id: UInt64, worker: UUID, until end: ContinuousClock.Instant, answer: Answer) -> Bool {
        guard !isDraining else { return false }
        polls[id] = Poll(worker: worker, end: end, answer: answer)
        // Most ids leave their lines by being answered, not from the front.
        let polls = polls
        all.append(id, among: polls.count) { polls[$0] != nil }
        ofWorker[worker, default: Line()].append(id, among: polls.count) { polls[$0] != nil }
        parked[worker, default: 0] += 1
        return true
    }

    /// The oldest poll, of this worker or of any, is kept for a task until it is removed or put back.
    mutating func reserve(_ worker: UUID?) -> (id: UInt64, worker: UUID)? {
        while let id = next(worker) {
            // Lines also hold polls that are gone, or reserved through the other line.
            guard let poll = polls[id], !poll.isReserved else { continue }
            polls[id]?.isReserved = true
            count(poll.worker, by: -1)
            return (id, poll.worker)
        }
        return nil
    }

    private mutating func next(_ worker: UUID?) -> UInt64? {
        if let worker { ofWorker[worker]?.popFirst() } else { all.popFirst() }
    }

    /// - Returns: who is to be answered with nothing instead, because no poll is parked any more.
    mutating func putBack(_ id: UInt64) -> Answer? {
        guard let poll = polls[id], poll.isReserved else { return nil }
        guard !isDraining else { return remove(id) }
        polls[id]?.isReserved = false
        all.putBack(id)
        ofWorker[poll.worker, default: Line()].putBack(id)
        count(poll.worker, by: 1)
        return nil
    }

    mutating func remove(_ id: UInt64) -> Answer? {
        guard let poll = polls.removeValue(forKey: id) else { return nil }
        if !poll.isReserved { count(poll.worker, by: -1) }
        return poll.answer
    }

    mutating func removeAll(of worker: UUID) -> [Answer] {
        polls.filter { $0.value.worker == worker }.keys.compactMap { remove($0) }
    }

    /// Those whose time is over; a poll that is reserved is about to be answered.
    mutating func removeExpired() -> [Answer] {
        let now = ContinuousClock.now
        return polls.filter { $0.value.end <= now && !$0.value.isReserved }.keys.compactMap { remove($0) }
    }

    mutating func drain() -> [Answer] {
        isDraining = true
        return polls.filter { !$0.value.isReserved }.keys.compactMap { remove($0) }
    }

    private mutating func count(_ worker: UUID, by change: Int) {
        let count = parked[worker, default: 0] + change
        parked[worker] = count > 0 ? count : nil
        if count == 0, ofWorker[worker]?.isEmpty ?? false { ofWorker[worker] = nil }
    }
}

/// Ids in order, to take from the front.
private struct Line: Sendable {
    private var ids: [UInt64] = []
    private var head = 0

    var isEmpty: Bool { head == ids.count }

    mutating func append(_ id: UInt64, among count: Int, where isAlive: (UInt64) -> Bool) {
        if ids.count - head > 2 * count + 64 {
            ids = ids[head...].filter(isAlive)
            head = 0
        }
        ids.append(id)
    }

    mutating func popFirst() -> UInt64? {
        guard head < ids.count else { return nil }
        defer {
            head += 1
            if head > 64, head * 2 > ids.count {
                ids.removeFirst(head)
                head = 0
            }
        }
        return ids[head]
    }

    mutating func putBack(_ id: UInt64) {
        if head > 0 {
            head -= 1
            ids[head] = id
        } else {
            ids.insert(id, at: 0)
        }
    }
}
