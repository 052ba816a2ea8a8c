import Postgres
import Synchronization

/// A batcher ended before a request was answered.
public struct BatcherEnded: Error {
    @inlinable public init() {}
}

/// What an error means to a set of requests that were sent together.
public enum SetTrouble: Sendable {
    /// Nothing is to be sent any more.
    case over
    /// It meets every set alike: the same set is sent again, later.
    case meetsAll
    /// It may come of one member, or of how many there are: the halves are sent again, later. One alone is sent again.
    case meetsSome
    /// A member is refused, and would be again: the halves are sent, down to that member, which learns of it.
    case refusesOne
}

/// Sends what is submitted in batches: while one is on its way the next one gathers. An idle batcher sends at once; a
/// busy one sends few, fat batches.
///
/// A batch that failed is sent again beside the next ones, in halves, so that a member that cannot be sent holds up
/// nobody. Failures one after the other are followed by growing pauses, so that a database that takes nothing is not
/// asked for each member all the time.
///
/// What is done for each member is inlinable, so that it is specialized in the modules that use it, as of
/// ``Settlement``.
public final class Batcher<Request: Sendable, Response: Sendable>: Sendable {
    @usableFromInline struct Item: Sendable {
        @usableFromInline let request: Request
        /// When it is given up, if the database answers at all.
        @usableFromInline let end: ContinuousClock.Instant?
        @usableFromInline let response: Settlement<Result<Response, any Error>>

        @inlinable init(
            request: Request, end: ContinuousClock.Instant?, response: Settlement<Result<Response, any Error>>
        ) {
            self.request = request
            self.end = end
            self.response = response
        }
    }

    /// Items that failed together.
    @usableFromInline struct Failed: Sendable {
        @usableFromInline var items: [Item]
        var error: any Error
        var due: ContinuousClock.Instant
        var retry = Backoff(from: .milliseconds(20), to: .seconds(1))
        var failures = 1

        @usableFromInline init(items: [Item], error: any Error, due: ContinuousClock.Instant, failures: Int = 1) {
            self.items = items
            self.error = error
            self.due = due
            self.failures = failures
        }
    }

    @usableFromInline struct State: Sendable {
        @usableFromInline var items: [Item] = []
        @usableFromInline var failed: [Failed] = []
        /// How many sets that failed are on their way again.
        var repeating = 0
        /// Grows with each failure until something is sent well.
        var pause = Backoff(from: .milliseconds(5), to: .seconds(1))
        var quietUntil = ContinuousClock.now
        @usableFromInline var hasEnded = false
    }

    /// So many sets that failed are sent again at a time: one that waits for a lock does not hold up the others.
    private static var lanes: Int { 3 }
    /// A set that met an error that meets all so often is halved all the same: it may be that it breaks the connection
    /// by itself.
    @usableFromInline static var patience: Int { 5 }

    @usableFromInline let limit: Int
    private let waitsForDatabase: Bool
    @usableFromInline let state = Mutex(State())
    @usableFromInline let wakeup = Wakeup()

    /// - Parameters:
    ///   - limit: so many requests are sent together at the most.
    ///   - waitsForDatabase: whether nobody is given up while the database cannot be reached.
    package init(limit: Int, waitsForDatabase: Bool = true) {
        self.limit = limit
        self.waitsForDatabase = waitsForDatabase
    }

    /// Waits for its batch to be sent and answered.
    ///
    /// - Parameter end: when it is given up, by this machine's clock, if the database answers and does not take it; nil
    ///   to try for as long as the batcher runs.
    /// - Throws: ``BatcherEnded``, or what sending threw for this request.
    @inlinable
    public func submit(_ request: Request, until end: ContinuousClock.Instant? = nil) async throws -> Response {
        let response = Settlement<Result<Response, any Error>>()
        let isAccepted = state.withLock { state in
            guard !state.hasEnded else { return false }
            state.items.append(Item(request: request, end: end, response: response))
            return true
        }
        guard isAccepted else { throw BatcherEnded() }
        wakeup.signal()
        return try await response.value.get()
    }

    /// Sends batches until the task is cancelled; then refuses what is left.
    ///
    /// - Parameters:
    ///   - key: requests of different keys are not sent together.
    ///   - judge: says what an error means.
    ///   - send: answers every request of a set, in order.
    @inlinable
    public func run<Key: Hashable>(
        by key: @escaping @Sendable (Request) -> Key, judge: @escaping @Sendable (any Error) -> SetTrouble,
        _ send: @escaping @Sendable ([Request]) async throws -> [Response]
    ) async {
        await withDiscardingTaskGroup { group in
            while !Task.isCancelled {
                for set in takeFailed() {
                    group.addTask {
                        await self.sendAgain(set, judge, send)
                        self.wakeup.signal()
                    }
                }
                let batch = takeBatch()
                guard !batch.isEmpty else {
                    await wakeup.sleep(atMost: nextLook())
                    continue
                }
                await withTaskExecutorPreference(Self.executor(forBatchOf: batch.count)) {
                    let first = key(batch[0].request)
                    if batch.allSatisfy({ key($0.request) == first }) {
                        await sendFirst(batch, judge, send)
                    } else {
                        for set in Dictionary(grouping: batch, by: { key($0.request) }).values {
                            await sendFirst(set, judge, send)
                        }
                    }
                }
            }
        }
        let rest = state.withLock { state in
            state.hasEnded = true
            defer { (state.items, state.failed) = ([], []) }
            return state.items + state.failed.flatMap(\.items)
        }
        for item in rest { item.response.settle(.failure(BatcherEnded())) }
    }

    @usableFromInline static func executor(forBatchOf count: Int) -> any TaskExecutor {
        count > 8 ? globalConcurrentExecutor : EventLoop.shared
    }

    @inlinable
    func takeBatch() -> [Item] {
        state.withLock { state in
            let batch = Array(state.items.prefix(limit))
            state.items.removeFirst(batch.count)
            return batch
        }
    }

    /// Sends a set for the first time. While nothing can be sent it stays here, and more gathers.
    @inlinable
    func sendFirst(
        _ items: [Item], _ judge: (any Error) -> SetTrouble, _ send: ([Request]) async throws -> [Response]
    ) async {
        var retry = Backoff(from: .milliseconds(20), to: .seconds(1))
        var items = items
        for failures in 1... {
            do {
                let responses = try await send(items.map(\.request))
                settle(items, responses)
                return
            } catch {
                let trouble = judge(error)
                guard case .meetsAll = trouble, failures < Self.patience else {
                    return settle(Failed(items: items, error: error, due: .now, failures: failures), trouble)
                }
                items = keepTimely(items, error)
                if items.isEmpty { return }
                try? await Task.sleep(for: retry.nextSpread())
            }
        }
    }

    @usableFromInline
    func sendAgain(
        _ failed: Failed, _ judge: (any Error) -> SetTrouble, _ send: ([Request]) async throws -> [Response]
    ) async {
        defer { state.withLock { $0.repeating -= 1 } }
        do {
            let responses = try await send(failed.items.map(\.request))
            settle(failed.items, responses)
            state.withLock { state in
                state.pause.reset()
                state.quietUntil = .now
            }
        } catch {
            var failed = failed
            failed.error = error
            failed.failures += 1
            state.withLock { $0.quietUntil = .now + $0.pause.nextSpread() }
            settle(failed, judge(error))
        }
    }

    @inlinable
    func settle(_ items: [Item], _ responses: [Response]) {
        for (item, response) in zip(items, responses) { item.response.settle(.success(response)) }
        for item in items.dropFirst(responses.count) { item.response.settle(.failure(BatcherEnded())) }
    }

    /// Lets a set that failed wait until it is sent again, whole or in halves; or answers it.
    @usableFromInline
    func settle(_ failed: Failed, _ trouble: SetTrouble) {
        var failed = failed
        switch trouble {
        case .over: return answer(failed.items, failed.error)
        case .refusesOne where failed.items.count == 1: return answer(failed.items, failed.error)
        case .refusesOne: failed.due = .now
        case .meetsSome, .meetsAll:
            failed.items = keepTimely(failed.items, failed.error)
            if failed.items.isEmpty { return }
            failed.due = .now + (failed.items.count == 1 ? failed.retry.nextSpread() : .zero)
        }
        var sets = [failed]
        if failed.items.count > 1 {
            if case .meetsAll = trouble, failed.failures < Self.patience {
                sets[0].due = .now + sets[0].retry.nextSpread()
            } else {
                let middle = failed.items.count / 2
                sets = [Array(failed.items[..<middle]), Array(failed.items[middle...])].map {
                    Failed(items: $0, error: failed.error, due: failed.due, failures: 1)
                }
            }
        }
        state.withLock { [sets] in $0.failed += sets }
        wakeup.signal()
    }

    private func answer(_ items: [Item], _ error: any Error) {
        for item in items { item.response.settle(.failure(error)) }
    }

    /// Answers those whose time is over. While the database cannot be reached it gives nobody up either, so nobody's
    /// time is, unless whoever waits has a time of his own.
    @usableFromInline
    func keepTimely(_ items: [Item], _ error: any Error) -> [Item] {
        if waitsForDatabase, (error as? PostgresError)?.cause == .unreachable { return items }
        let now = ContinuousClock.now
        var timely: [Item] = []
        for item in items {
            if item.end.map({ $0 <= now }) ?? false {
                item.response.settle(.failure(error))
            } else {
                timely.append(item)
            }
        }
        return timely
    }

    /// The sets whose time has come to be sent again.
    @usableFromInline
    func takeFailed() -> [Failed] {
        let now = ContinuousClock.now
        let waiting = state.withLock { state -> [Failed] in
            guard !state.failed.isEmpty else { return [] }
            defer { state.failed = [] }
            return state.failed
        }
        if waiting.isEmpty { return [] }
        // Most wait for a while, and some are over before their turn comes.
        let timely = waiting.compactMap { failed -> Failed? in
            var failed = failed
            failed.items = keepTimely(failed.items, failed.error)
            return failed.items.isEmpty ? nil : failed
        }
        return state.withLock { state in
            var due: [Failed] = []
            for failed in timely.sorted(by: { $0.due < $1.due }) {
                // One at a time while all fails.
                let isHeldBack = state.quietUntil > now || state.repeating > 0 && state.pause.isLong
                if failed.due <= now, state.repeating < Self.lanes, !isHeldBack {
                    state.repeating += 1
                    due.append(failed)
                } else {
                    state.failed.append(failed)
                }
            }
            return due
        }
    }

    @usableFromInline
    func nextLook() -> Duration {
        state.withLock { state in
            guard let due = state.failed.map(\.due).min() else { return .seconds(3600) }
            // A set that comes back from being sent again says so itself.
            if state.repeating >= Self.lanes || state.repeating > 0 && state.pause.isLong { return .seconds(1) }
            return max(max(due, state.quietUntil) - .now, .milliseconds(1))
        }
    }
}
