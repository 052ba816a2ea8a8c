import Foundation
import Synchronization

/// The live runs of a worker, least recently used out first. One task at a time holds a run; others that want it wait.
final class RunCache<Run: Sendable>: Sendable {
    private struct Entry {
        var run: Run?
        var lastUse: UInt64
        var isHeld: Bool
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    private enum Acquisition {
        case acquired(Run?)
        case wait
    }

    private struct State {
        var entries: [UUID: Entry] = [:]
        var liveRuns = 0
        var uses: UInt64 = 0
        /// Runs in the order of their uses; what has been used again since is skipped.
        var order: [(run: UUID, use: UInt64)] = []
        var orderStart = 0

        mutating func takeOverflow(limit: Int) -> [Run] {
            var evicted: [Run] = []
            while liveRuns > limit, orderStart < order.count {
                let (runID, use) = order[orderStart]
                orderStart += 1
                guard let entry = entries[runID], entry.lastUse == use, !entry.isHeld, let run = entry.run else {
                    continue
                }
                entries[runID] = nil
                liveRuns -= 1
                evicted.append(run)
            }
            // A few runs that are used all the time must not grow the order for ever.
            if order.count > 8 * (entries.count + 64) {
                order = order[orderStart...].filter { entries[$0.run]?.lastUse == $0.use }
                orderStart = 0
            }
            return evicted
        }
    }

    private let limit: Int
    private let state = Mutex(State())

    init(limit: Int) { self.limit = limit }

    var count: Int { state.withLock { $0.liveRuns } }

    /// Takes a run out for its holder alone, nil when it is not cached; every call must be followed by
    /// ``release(_:_:)``.
    func acquire(_ runID: UUID) async -> Run? {
        while true {
            let next = state.withLock { state -> Acquisition in
                guard var entry = state.entries[runID] else {
                    state.entries[runID] = Entry(run: nil, lastUse: 0, isHeld: true)
                    return .acquired(nil)
                }
                guard !entry.isHeld else { return .wait }
                entry.isHeld = true
                let run = entry.run
                entry.run = nil
                if run != nil { state.liveRuns -= 1 }
                state.entries[runID] = entry
                return .acquired(run)
            }
            if case .acquired(let run) = next { return run }
            await withCheckedContinuation { continuation in
                let isFree = state.withLock { state in
                    guard state.entries[runID]?.isHeld == true else { return true }
                    state.entries[runID]?.waiters.append(continuation)
                    return false
                }
                if isFree { continuation.resume() }
            }
        }
    }

    /// Takes a run out, if it is there and nobody holds it; then it must be followed by ``release(_:_:)``.
    func acquireIfCached(_ runID: UUID) -> Run? {
        state.withLock { state in
            guard let entry = state.entries[runID], !entry.isHeld, let run = entry.run else { return nil }
            state.entries[runID]?.isHeld = true
            state.entries[runID]?.run = nil
            state.liveRuns -= 1
            return run
        }
    }

    /// Gives a run back, or nil to forget it.
    ///
    /// - Returns: the runs that leave the cache for it, to be evicted.
    func release(_ runID: UUID, _ run: Run?) -> [Run] {
        let (waiters, evicted) = state.withLock { state -> ([CheckedContinuation<Void, Never>], [Run]) in
            let waiters = state.entries[runID]?.waiters ?? []
            guard let run, limit > 0 else {
                state.entries[runID] = nil
                return (waiters, run.map { [$0] } ?? [])
            }
            state.uses += 1
            state.entries[runID] = Entry(run: run, lastUse: state.uses, isHeld: false)
            state.order.append((runID, state.uses))
            state.liveRuns += 1
            return (waiters, state.takeOverflow(limit: limit))
        }
        for waiter in waiters { waiter.resume() }
        return evicted
    }

    /// Takes out every run that nobody holds, to be evicted.
    func removeAll() -> [Run] {
        state.withLock { state in
            let runs = state.entries.values.compactMap(\.run)
            state.entries = state.entries.filter { $0.value.isHeld }
            state.order = []
            state.orderStart = 0
            state.liveRuns = 0
            return runs
        }
    }
}
