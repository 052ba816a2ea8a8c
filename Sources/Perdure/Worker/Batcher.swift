import Postgres
import Synchronization

/// A batcher ended before a request was answered.
struct BatcherEnded: Error {}

/// Sends what is submitted in batches: while one is on its way the next one gathers. An idle batcher sends at once; a
/// busy one sends few, fat batches.
final class Batcher<Request: Sendable, Response: Sendable>: Sendable {
    private struct Item {
        let request: Request
        let response: Settlement<Result<Response, any Error>>
    }

    private struct State {
        var items: [Item] = []
        var hasEnded = false
    }

    private let limit: Int
    private let state = Mutex(State())
    private let wakeup = Wakeup()

    init(limit: Int) { self.limit = limit }

    /// Waits for its batch to be sent and answered.
    ///
    /// - Throws: ``BatcherEnded``, or what sending threw for this request.
    func submit(_ request: Request) async throws -> Response {
        let response = Settlement<Result<Response, any Error>>()
        let isAccepted = state.withLock { state in
            guard !state.hasEnded else { return false }
            state.items.append(Item(request: request, response: response))
            return true
        }
        guard isAccepted else { throw BatcherEnded() }
        wakeup.signal()
        return try await response.value.get()
    }

    /// Sends batches until the task is cancelled; then refuses what is left.
    ///
    /// - Parameter send: answers every request of a batch, in order.
    func run(_ send: ([Request]) async -> [Result<Response, any Error>]) async {
        while !Task.isCancelled {
            let batch = state.withLock { state in
                let batch = Array(state.items.prefix(limit))
                state.items.removeFirst(batch.count)
                return batch
            }
            guard !batch.isEmpty else {
                await wakeup.sleep(atMost: .seconds(3600))
                continue
            }
            let executor: any TaskExecutor =
                WorkerSession.isCrowd(batch.count) ? globalConcurrentExecutor : EventLoop.shared
            let answers = await withTaskExecutorPreference(executor) { await send(batch.map(\.request)) }
            for (item, answer) in zip(batch, answers) { item.response.settle(answer) }
        }
        let rest = state.withLock { state in
            state.hasEnded = true
            defer { state.items = [] }
            return state.items
        }
        for item in rest { item.response.settle(.failure(BatcherEnded())) }
    }
}
