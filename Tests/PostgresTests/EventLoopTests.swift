import Foundation
import Synchronization
import TestSupport
import Testing

@testable import Postgres

@Suite struct EventLoopTests {
    /// A loop for one test.
    private func withLoop(_ body: (EventLoop) async throws -> Void) async rethrows {
        let loop = EventLoop(name: "test-loop")
        defer { loop.stop() }
        try await body(loop)
    }

    @Test func `what is submitted runs on its thread, in order`() async {
        await withLoop { loop in
            let numbers = Log<Int>()
            await withCheckedContinuation { continuation in
                for number in 0..<1000 {
                    loop.execute {
                        numbers.append(loop.isCurrent ? number : -1)
                        if number == 999 { continuation.resume() }
                    }
                }
            }
            #expect(numbers.all == Array(0..<1000))
            #expect(!loop.isCurrent)
        }
    }

    @Test func `on its thread a call runs at once, and elsewhere there`() async {
        await withLoop { loop in
            let order = Log<String>()
            await withCheckedContinuation { continuation in
                loop.execute {
                    loop.execute {
                        order.append("submitted")
                        continuation.resume()
                    }
                    loop.perform { order.append("performed") }
                }
            }
            #expect(order.all == ["performed", "submitted"])
            #expect(await withCheckedContinuation { done in loop.perform { done.resume(returning: loop.isCurrent) } })
        }
    }

    @Test func `a task that prefers it stays there, its children too, and a task of its own does not`() async {
        await withLoop { loop in
            await withTaskExecutorPreference(loop) {
                #expect(loop.isCurrent)
                await Task.yield()
                #expect(loop.isCurrent)
                async let child = loop.isCurrent
                #expect(await child)
                #expect(await Task { loop.isCurrent }.value == false)
                #expect(loop.isCurrent)
            }
            #expect(!loop.isCurrent)
        }
    }

    @Test func `timers go off in the order of their times`() async {
        await withLoop { loop in
            let order = Log<Int>()
            let start = ContinuousClock.now
            await withCheckedContinuation { continuation in
                for number in [3, 1, 4, 0, 2] {
                    _ = loop.schedule(at: start + .milliseconds(10 * number)) {
                        order.append(start.duration(to: .now) < .milliseconds(10 * number) ? -1 : number)
                        if number == 4 { continuation.resume() }
                    }
                }
            }
            #expect(order.all == [0, 1, 2, 3, 4])
        }
    }

    @Test func `a sooner timer shortens a long sleep, and one that is cancelled does not go off`() async {
        await withLoop { loop in
            let long = loop.schedule(at: .now + .seconds(3600)) {}
            let late = Log<Int>()
            let cancelled = loop.schedule(at: .now + .milliseconds(5)) { late.append(1) }
            #expect(loop.cancel(cancelled))
            #expect(!loop.cancel(cancelled))
            await withCheckedContinuation { continuation in
                _ = loop.schedule(at: .now + .milliseconds(20)) { continuation.resume() }
            }
            #expect(late.all.isEmpty)
            #expect(loop.cancel(long))
        }
    }

    @Test(.timeLimit(.minutes(5))) func `thousands of timers, most of them cancelled`() async throws {
        try await withLoop { loop in
            let fired = Log<Int>()
            let timers = (0..<20_000).map { number in
                loop.schedule(at: .now + .milliseconds(20 + number * 7919 % 50)) { fired.append(number) }
            }
            let kept = timers.enumerated().filter { $0.offset % 100 == 0 || !loop.cancel($0.element) }.map(\.offset)
            try await eventually("they go off") { fired.all.count >= kept.count }
            #expect(fired.all.sorted() == kept)
        }
    }

    @Test(.timeLimit(.minutes(5))) func `no wake-up is lost`() async {
        await withLoop { loop in
            // Each goes to sleep and comes back as often as it can, from within and from outside.
            await withTaskGroup(of: Void.self) { group in
                for number in 0..<8 {
                    group.addTask {
                        for turn in 0..<1000 {
                            await withCheckedContinuation { continuation in
                                if (turn + number) % 5 == 0 {
                                    _ = loop.schedule(at: .now + .microseconds(turn % 300)) { continuation.resume() }
                                } else {
                                    loop.execute { continuation.resume() }
                                }
                            }
                        }
                    }
                    group.addTask(executorPreference: loop) {
                        for _ in 0..<1000 { await Task { await Task.yield() }.value }
                    }
                }
            }
        }
    }

    @Test func `what can be read is told until it is read, and what was said before a hang-up too`() async throws {
        try await withLoop { loop in
            let (near, far) = try sockets()
            let heard = Log<UInt8>()
            let hungUp = Flag()
            await on(loop) {
                let box = WatchBox()
                box.watch = loop.watch(near) { readable, _ in
                    var byte: UInt8 = 0
                    guard readable else { return }
                    // One at a time, so that the rest has to be told again.
                    if read(near, &byte, 1) == 1 { return heard.append(byte) }
                    box.watch?.cancel()
                    box.watch = nil
                    close(near)
                    hungUp.set()
                }
            }
            _ = write(far, [1, 2, 3] as [UInt8], 3)
            close(far)
            try await eventually("the end is told") { hungUp.isSet }
            #expect(heard.all == [1, 2, 3])
        }
    }

    @Test func `a descriptor that comes again belongs to who watches it now`() async throws {
        try await withLoop { loop in
            for round in 0..<50 {
                let (near, far) = try sockets()
                let box = WatchBox()
                let heard = Log<UInt8>()
                await on(loop) {
                    box.watch = loop.watch(near) { _, _ in
                        var byte: UInt8 = 0
                        if read(near, &byte, 1) == 1 { heard.append(byte) }
                    }
                }
                _ = write(far, [UInt8(round)], 1)
                try await eventually("it is told") { heard.all == [UInt8(round)] }
                await on(loop) {
                    box.watch?.cancel()
                    close(near)
                }
                close(far)
            }
        }
    }

    @Test func `what can be written is told only on demand`() async throws {
        try await withLoop { loop in
            let (near, far) = try sockets()
            defer {
                close(near)
                close(far)
            }
            let box = WatchBox()
            let told = Log<Bool>()
            await on(loop) {
                box.watch = loop.watch(near) { readable, writable in
                    told.append(writable && !readable)
                    box.watch?.wantsWriting = false
                }
            }
            for _ in 0..<10 { await on(loop) {} }
            #expect(told.all.isEmpty)
            await on(loop) { box.watch?.wantsWriting = true }
            try await eventually("it is told") { !told.all.isEmpty }
            for _ in 0..<10 { await on(loop) {} }
            #expect(told.all == [true])
            await on(loop) { box.watch?.cancel() }
        }
    }

    private func sockets() throws -> (Int32, Int32) {
        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        return (ends[0], ends[1])
    }

    private func on(_ loop: EventLoop, _ body: @escaping @Sendable () -> Void) async {
        await withCheckedContinuation { continuation in
            loop.execute {
                body()
                continuation.resume()
            }
        }
    }
}

/// What happened, in order.
private final class Log<Element: Sendable>: Sendable {
    private let elements = Mutex<[Element]>([])
    var all: [Element] { elements.withLock { $0 } }
    func append(_ element: Element) { elements.withLock { $0.append(element) } }
}

private final class Flag: Sendable {
    private let value = Atomic(false)
    var isSet: Bool { value.load(ordering: .acquiring) }
    func set() { value.store(true, ordering: .releasing) }
}

/// Unchecked because a test touches it on the loop only.
private final class WatchBox: @unchecked Sendable {
    var watch: EventLoop.Watch?
}
