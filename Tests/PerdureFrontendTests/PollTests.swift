import Foundation
import PerdureEngine
import Testing

@testable import PerdureFrontend

@Suite("Polls and task tokens")
struct PollTests {
    @Test("A token says all that it was made of")
    func token() throws {
        var token = TaskToken(
            namespace: "näme", shard: 7, worker: UUID(), queue: "q", workflowID: "w\u{1F}1", workflowType: "T",
            runID: UUID(), scheduledEventID: .max, attempt: 3, queryID: UUID(), previous: 12)
        token.queries = [UUID(), UUID()]
        let read = try TaskToken(["taskToken": token.json])
        #expect(read.namespace == token.namespace)
        #expect(read.shard == token.shard)
        #expect(read.worker == token.worker)
        #expect(read.queue == token.queue)
        #expect(read.workflowID == token.workflowID)
        #expect(read.workflowType == token.workflowType)
        #expect(read.key == token.key)
        #expect(read.queryID == token.queryID)
        #expect(read.previous == token.previous)
        #expect(read.queries == token.queries)
    }

    @Test("A token that is not ours is refused", arguments: ["", "AA==", "e30=", "not base64"])
    func foreignToken(text: String) {
        #expect(throws: CallError.self) { try TaskToken(["taskToken": .string(text)]) }
    }

    @Test("A token that is cut short is refused")
    func shortToken() throws {
        let token = TaskToken(
            namespace: "n", shard: 0, worker: UUID(), queue: "q", workflowID: "w", runID: UUID(), scheduledEventID: 5,
            attempt: 1)
        let bytes = try #require(Data(base64Encoded: token.json.stringValue ?? ""))
        for count in 0..<bytes.count {
            let cut = bytes.prefix(count).base64EncodedString()
            #expect(throws: CallError.self) { try TaskToken(["taskToken": .string(cut)]) }
        }
    }

    @Test("A poll that is reserved is nobody else's, and waits on when it is put back")
    func reservation() async {
        let polls = Shared(ParkedPolls())
        let worker = UUID()
        let other = UUID()
        async let answer: ClaimedTask? = withCheckedContinuation { continuation in
            polls.withLock { polls in
                let id = polls.nextID()
                let isParked = polls.park(id, worker: worker, until: .now + .seconds(60), answer: continuation)
                #expect(isParked)
            }
        }
        while polls.withLock({ $0.parked.isEmpty }) { await Task.yield() }
        polls.withLock { polls in
            let others = polls.reserve(other)
            #expect(others == nil)
            let reserved = polls.reserve(nil)
            #expect(reserved?.worker == worker)
            let twice = polls.reserve(worker)
            #expect(twice == nil)
            let isParked = !polls.parked.isEmpty
            #expect(!isParked)
            let expired = polls.removeExpired()
            #expect(expired.isEmpty)
            let refused = polls.putBack(reserved?.id ?? 0)
            #expect(refused == nil)
            let again = polls.reserve(worker)
            #expect(again?.id == reserved?.id)
            // A process that ends lets no poll wait on.
            let drained = polls.drain()
            #expect(drained.isEmpty)
            let ended = polls.putBack(again?.id ?? 0)
            #expect(ended != nil)
            ended?.resume(returning: nil)
        }
        let task = await answer
        #expect(task == nil)
    }

    @Test("Polls are answered in the order in which they came, and lines forget those that are gone")
    func order() async {
        let polls = Shared(ParkedPolls())
        let worker = UUID()
        await withTaskGroup(of: Void.self) { group in
            for number in 1...500 {
                group.addTask {
                    _ = await withCheckedContinuation { continuation in
                        _ = polls.withLock {
                            $0.park(UInt64(number), worker: worker, until: .now + .seconds(60), answer: continuation)
                        }
                    }
                }
                while polls.withLock({ $0.parked[worker] ?? 0 }) < (number > 2 ? 3 : number) { await Task.yield() }
                if number > 2 {
                    let oldest = polls.withLock { polls in
                        let poll = polls.reserve(number.isMultiple(of: 2) ? worker : nil)
                        polls.remove(poll?.id ?? 0)?.resume(returning: nil)
                        return poll?.id
                    }
                    #expect(oldest == UInt64(number - 2))
                }
            }
            for answer in polls.withLock({ $0.removeAll(of: worker) }) { answer.resume(returning: nil) }
        }
        let isEmpty = polls.withLock { $0.parked.isEmpty }
        #expect(isEmpty)
    }

    @Test("A poll that no task answers ends with its time, its worker, its client and its server")
    func idle() async throws {
        let polls = IdlePolls()
        let long = Duration.seconds(60)
        let began = ContinuousClock.now
        await polls.poll(UUID(), atMost: .milliseconds(50)) { false }
        #expect(began + .milliseconds(50) <= .now)
        // Its worker had ended before it came.
        await polls.poll(UUID(), atMost: long) { true }

        func parked(_ worker: UUID, while act: (Task<Void, Never>) -> Void) async {
            let (isParked, parks) = AsyncStream<Void>.makeStream()
            let poll = Task {
                await polls.poll(worker, atMost: long) {
                    parks.yield()
                    return false
                }
            }
            for await _ in isParked { break }
            act(poll)
            await poll.value
        }
        let worker = UUID()
        await parked(worker) { _ in polls.endPolls(of: worker) }
        await parked(worker) { $0.cancel() }
        await parked(worker) { _ in polls.drain() }
        // None is parked any more.
        await polls.poll(worker, atMost: long) { false }
        #expect(began + long > .now)
    }
}
