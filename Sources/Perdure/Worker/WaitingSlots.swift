import PerdureEngine
import Synchronization

/// How many things of a kind a worker does at a time; who comes when all are taken waits for one, first come first
/// served.
final class WaitingSlots: Sendable {
    private struct State {
        var free: Int
        var waiters: [Settlement<Bool>] = []
    }

    private let state: Mutex<State>

    init(limit: Int) { state = Mutex(State(free: max(1, limit))) }

    /// - Parameter timeout: how long to wait at the most.
    /// - Returns: whether one was taken; it is to be given back.
    func take(for timeout: Duration?) async -> Bool {
        let wait = state.withLock { state -> Settlement<Bool>? in
            if state.free > 0 {
                state.free -= 1
                return nil
            }
            let wait = Settlement<Bool>()
            state.waiters.append(wait)
            return wait
        }
        guard let wait else { return true }
        let timer = timeout.map { timeout in
            Task {
                try? await Task.sleep(for: timeout)
                wait.settle(false)
            }
        }
        defer { timer?.cancel() }
        return await withTaskCancellationHandler {
            await wait.value
        } onCancel: {
            wait.settle(false)
        }
    }

    func give() {
        while true {
            let next = state.withLock { state -> Settlement<Bool>? in
                guard !state.waiters.isEmpty else {
                    state.free += 1
                    return nil
                }
                return state.waiters.removeFirst()
            }
            // One that does not wait any more is passed over.
            guard let next, !next.settle(true) else { return }
        }
    }
}
