import Foundation
import Synchronization

/// Who polled which queue in the last five minutes, and what was handed out in the last thirty seconds: what a
/// description of a task queue tells.
final class PollerHistory: Sendable {
    struct Poller: Sendable {
        let identity: String
        let buildID: String
        var lastAccess: Date
    }

    private struct Queue {
        var pollers: [String: Poller] = [:]
        /// Tasks that were handed out, by second.
        var handedOut: [Int64: Int] = [:]
    }

    private static let memory = 300.0
    private static let window: Int64 = 30

    private struct State {
        var queues: [PollQueue: Queue] = [:]
        var cleaned = Date.distantPast
    }

    private let state = Mutex(State())

    func polled(_ queue: PollQueue, identity: String, buildID: String, at time: Date = Date()) {
        state.withLock { state in
            Self.clean(&state, time)
            let poller = Poller(identity: identity, buildID: buildID, lastAccess: time)
            state.queues[queue, default: Queue()].pollers[identity] = poller
        }
    }

    func handedOut(_ queue: PollQueue, at time: Date = Date()) {
        state.withLock { state in
            state.queues[queue, default: Queue()].handedOut[Int64(time.timeIntervalSince1970), default: 0] += 1
        }
    }

    /// The pollers of a queue, latest first.
    func pollers(of queue: PollQueue, at time: Date = Date()) -> [Poller] {
        let pollers = state.withLock { $0.queues[queue].map { Array($0.pollers.values) } ?? [] }
        return pollers.filter { $0.lastAccess > time - Self.memory }.sorted { $0.lastAccess > $1.lastAccess }
    }

    /// Tasks a second, over the last thirty.
    func rate(of queue: PollQueue, at time: Date = Date()) -> Double {
        let first = Int64(time.timeIntervalSince1970) - Self.window
        let counts = state.withLock { $0.queues[queue]?.handedOut ?? [:] }
        return Double(counts.reduce(0) { $1.key > first ? $0 + $1.value : $0 }) / Double(Self.window)
    }

    /// Forgets, each half minute, what nobody asks for any more.
    private static func clean(_ state: inout State, _ time: Date) {
        guard state.cleaned < time - 30 else { return }
        state.cleaned = time
        let first = Int64(time.timeIntervalSince1970) - window
        state.queues = state.queues.compactMapValues { queue in
            var queue = queue
            queue.pollers = queue.pollers.filter { $0.value.lastAccess > time - memory }
            queue.handedOut = queue.handedOut.filter { $0.key > first }
            return queue.pollers.isEmpty && queue.handedOut.isEmpty ? nil : queue
        }
    }
}
