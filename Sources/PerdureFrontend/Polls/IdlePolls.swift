import Foundation
import Synchronization

/// Holds polls that no task can answer, as a queue without tasks would: until their time is over, the worker shuts
/// down or the client has gone.
final class IdlePolls: Sendable {
    private let polls = Mutex(ParkedPolls())

    /// - Parameter hasEnded: whether the worker shuts down; asked once the poll stands where ``endPolls(of:)`` finds
    ///   it.
    func poll(_ worker: UUID, atMost time: Duration, unless hasEnded: @Sendable () -> Bool) async {
        let id = polls.withLock { $0.nextID() }
        let end = Task {
            try await Task.sleep(for: time)
            self.end(id)
        }
        defer { end.cancel() }
        _ = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isParked = polls.withLock { $0.park(id, worker: worker, until: .now + time, answer: continuation) }
                guard isParked else { return continuation.resume(returning: nil) }
                if Task.isCancelled || hasEnded() { self.end(id) }
            }
        } onCancel: {
            self.end(id)
        }
    }

    private func end(_ id: UInt64) { polls.withLock { $0.remove(id) }?.resume(returning: nil) }

    /// Answers the worker's polls: it shuts down.
    func endPolls(of worker: UUID) {
        for answer in polls.withLock({ $0.removeAll(of: worker) }) { answer.resume(returning: nil) }
    }

    /// Answers all polls, and those that come.
    func drain() {
        for answer in polls.withLock({ $0.drain() }) { answer.resume(returning: nil) }
    }
}
