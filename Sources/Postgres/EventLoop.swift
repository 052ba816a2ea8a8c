import CLibPQ
import Foundation
import Synchronization

/// A thread that waits for sockets and for points in time, and runs what these bring about.
///
/// It also is a task executor: a task that prefers it goes on where the answer that it waited for is read, and sends
/// its next statement from there, without any change of threads. What runs on it must be short and must not block, for
/// all connections and timers of the process wait meanwhile.
///
/// Unchecked because `watches` and what belongs to it are touched by the loop's thread only, `thread` is written before
/// `init` returns, and everything else is locked.
package final class EventLoop: TaskExecutor, @unchecked Sendable {
    /// That of this process. It never ends.
    package static let shared = EventLoop(name: "perdure-io")

    private enum Work {
        case job(UnownedJob)
        case call(@Sendable () -> Void)
    }

    private struct State {
        var work: [Work] = []
        var timers = Timers()
        /// Whether the thread waits, or is about to, and has to be woken; and until when it will.
        var isAsleep = false
        var sleepsUntil: ContinuousClock.Instant?
        var isStopped = false

        /// Whether the thread has to be woken, and that by the caller alone.
        mutating func takeSleeper() -> Bool {
            defer { isAsleep = false }
            return isAsleep
        }
    }

    private let state = Mutex(State())
    private var thread = pthread_self()
    private let wakeup: (read: Int32, write: Int32)

    private var watches: [Watch] = []
    /// One for each of `watches`, after that of the wake-up, unless they have changed.
    private var descriptors: [pollfd] = []
    private var watchesHaveChanged = true

    package init(name: String) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { fatalError("no pipe for an event loop: \(String(cString: strerror(errno)))") }
        for end in ends {
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
        }
        wakeup = (ends[0], ends[1])
        let started = DispatchSemaphore(value: 0)
        let thread = Thread { [self] in
            Thread.current.name = name
            self.thread = pthread_self()
            started.signal()
            run()
        }
        thread.stackSize = 4 << 20
        thread.start()
        started.wait()
    }

    // Not when the thread ends: somebody may be about to wake it.
    deinit {
        close(wakeup.read)
        close(wakeup.write)
    }

    // MARK: From anywhere

    /// Whether the caller runs on the loop's thread.
    package var isCurrent: Bool { pthread_equal(thread, pthread_self()) != 0 }

    package func enqueue(_ job: consuming ExecutorJob) { submit(.job(UnownedJob(job))) }

    /// Runs `body` on the loop's thread, after what was submitted before.
    package func execute(_ body: @escaping @Sendable () -> Void) { submit(.call(body)) }

    /// Runs `body` on the loop's thread, at once if the caller is there.
    package func perform(_ body: @escaping @Sendable () -> Void) {
        if isCurrent { body() } else { execute(body) }
    }

    /// A point in time at which something is to be done.
    package struct Timer: Sendable { fileprivate let id: UInt64 }

    /// Runs `body` on the loop's thread when the time has come, unless it is cancelled before.
    package func schedule(
        at deadline: ContinuousClock.Instant, _ body: @escaping @Sendable () -> Void
    ) -> Timer {
        let (timer, wakes) = state.withLock { state in
            let timer = Timer(id: state.timers.insert(deadline, body))
            let isSooner = state.sleepsUntil.map { deadline < $0 } ?? true
            return (timer, isSooner && state.takeSleeper())
        }
        if wakes { wake() }
        return timer
    }

    /// - Returns: false when it is too late: the body has run, runs or is about to.
    @discardableResult
    package func cancel(_ timer: Timer) -> Bool { state.withLock { $0.timers.remove(timer.id) } }

    /// Ends the thread when it has run what was submitted before. What is submitted later does not run.
    package func stop() {
        let wakes = state.withLock { state in
            state.isStopped = true
            return state.takeSleeper()
        }
        if wakes { wake() }
    }

    private func submit(_ work: Work) {
        let wakes = state.withLock { state in
            state.work.append(work)
            return state.takeSleeper()
        }
        if wakes { wake() }
    }

    private func wake() {
        var byte: UInt8 = 1
        // A full pipe wakes as well.
        _ = write(wakeup.write, &byte, 1)
    }

    // MARK: On the loop's thread

    /// A descriptor whose readiness is told, as long as it lasts: once more after each call of `handler` that leaves
    /// something to be read, a hang-up included.
    package final class Watch {
        fileprivate let descriptor: Int32
        fileprivate var handler: ((_ readable: Bool, _ writable: Bool) -> Void)?
        fileprivate weak var loop: EventLoop?

        /// Whether to tell when it can be written to, too.
        package var wantsWriting = false {
            didSet { if wantsWriting != oldValue { loop?.watchesHaveChanged = true } }
        }

        fileprivate init(
            _ descriptor: Int32, _ loop: EventLoop, _ handler: @escaping (_ readable: Bool, _ writable: Bool) -> Void
        ) {
            self.descriptor = descriptor
            self.loop = loop
            self.handler = handler
        }

        /// Nothing is told any more. The descriptor may be closed then.
        package func cancel() {
            guard handler != nil else { return }
            handler = nil
            loop?.watches.removeAll { $0 === self }
            loop?.watchesHaveChanged = true
        }
    }

    /// Tells when a descriptor can be read, from the loop's thread and to it.
    package func watch(
        _ descriptor: Int32, _ handler: @escaping (_ readable: Bool, _ writable: Bool) -> Void
    ) -> Watch {
        precondition(isCurrent)
        let watch = Watch(descriptor, self, handler)
        watches.append(watch)
        watchesHaveChanged = true
        return watch
    }

    private func run() {
        var batch: [Work] = []
        var sinceLook = 0
        while true {
            let (timeout, isOver) = state.withLock { state -> (Duration?, Bool) in
                swap(&batch, &state.work)
                var timeout: Duration?
                if let next = state.timers.first {
                    let now = ContinuousClock.now
                    if next <= now { batch += state.timers.takeDue(now).map(Work.call) }
                    timeout = next - now
                }
                guard batch.isEmpty else { return (.zero, false) }
                if state.isStopped { return (.zero, true) }
                state.isAsleep = true
                state.sleepsUntil = state.timers.first
                return (timeout, false)
            }
            if isOver { break }
            if batch.isEmpty {
                look(timeout)
                sinceLook = 0
                continue
            }
            for work in batch {
                switch work {
                case .job(let job): job.runSynchronously(on: asUnownedTaskExecutor())
                case .call(let body): body()
                }
            }
            sinceLook += batch.count
            batch.removeAll(keepingCapacity: true)
            // However much there is to do, sockets have their turn.
            if sinceLook >= 64 {
                look(.zero)
                sinceLook = 0
            }
        }
    }

    /// Waits until a socket is ready or the time is over, and tells those who watch.
    private func look(_ timeout: Duration?) {
        if watchesHaveChanged {
            descriptors = [pollfd(fd: wakeup.read, events: Int16(POLLIN), revents: 0)]
            for watch in watches {
                let events = watch.wantsWriting ? POLLIN | POLLOUT : POLLIN
                descriptors.append(pollfd(fd: watch.descriptor, events: Int16(events), revents: 0))
            }
            watchesHaveChanged = false
        }
        let ready = Self.poll(&descriptors, timeout)
        state.withLock { $0.isAsleep = false }
        guard ready > 0 else { return }
        if descriptors[0].revents != 0 {
            var bytes: UInt64 = 0
            while read(wakeup.read, &bytes, 8) == 8 {}
        }
        // Handlers may begin and cancel watches.
        let found = zip(watches, descriptors.dropFirst()).filter { $1.revents != 0 }
        for (watch, descriptor) in found {
            let events = Int32(descriptor.revents)
            // The end of a connection is there to be read.
            watch.handler?(events & ~POLLOUT != 0, events & POLLOUT != 0)
        }
    }

    private static func poll(_ descriptors: inout [pollfd], _ timeout: Duration?) -> Int32 {
        // Time in which the machine sleeps does not count, so look at the clock now and then.
        let wait = min(max(timeout ?? .seconds(60), .zero), .seconds(60)).components
        #if os(Linux)
            var time = timespec(tv_sec: Int(wait.seconds), tv_nsec: Int(wait.attoseconds / 1_000_000_000))
            return ppoll(&descriptors, nfds_t(descriptors.count), &time, nil)
        #else
            let milliseconds = wait.seconds * 1000 + (wait.attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
            return Foundation.poll(&descriptors, nfds_t(descriptors.count), Int32(milliseconds))
        #endif
    }
}

/// What is to be done when, the soonest first.
private struct Timers {
    private var heap: [(deadline: ContinuousClock.Instant, id: UInt64)] = []
    /// Those that are not cancelled.
    private var bodies: [UInt64: @Sendable () -> Void] = [:]
    private var next: UInt64 = 0

    mutating func insert(_ deadline: ContinuousClock.Instant, _ body: @escaping @Sendable () -> Void) -> UInt64 {
        next += 1
        bodies[next] = body
        heap.append((deadline, next))
        rise(heap.count - 1)
        return next
    }

    mutating func remove(_ id: UInt64) -> Bool {
        guard bodies.removeValue(forKey: id) != nil else { return false }
        // Cancelled ones go when their time comes, or when they are the most.
        if heap.count > 2 * bodies.count + 64 {
            heap.removeAll { bodies[$0.id] == nil }
            // In order it is a heap.
            heap.sort { Self.comesFirst($0, $1) }
        }
        return true
    }

    /// When the soonest is due.
    var first: ContinuousClock.Instant? {
        mutating get {
            while let top = heap.first {
                if bodies[top.id] != nil { return top.deadline }
                removeTop()
            }
            return nil
        }
    }

    mutating func takeDue(_ now: ContinuousClock.Instant) -> [@Sendable () -> Void] {
        var due: [@Sendable () -> Void] = []
        while let top = heap.first, top.deadline <= now {
            removeTop()
            if let body = bodies.removeValue(forKey: top.id) { due.append(body) }
        }
        return due
    }

    private static func comesFirst(
        _ one: (deadline: ContinuousClock.Instant, id: UInt64), _ other: (deadline: ContinuousClock.Instant, id: UInt64)
    ) -> Bool {
        one.deadline == other.deadline ? one.id < other.id : one.deadline < other.deadline
    }

    private mutating func rise(_ start: Int) {
        var place = start
        while place > 0, Self.comesFirst(heap[place], heap[(place - 1) / 2]) {
            heap.swapAt(place, (place - 1) / 2)
            place = (place - 1) / 2
        }
    }

    private mutating func removeTop() {
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var place = 0
        while true {
            let children = (2 * place + 1)..<min(2 * place + 3, max(heap.count, 2 * place + 1))
            guard let child = children.min(by: { Self.comesFirst(heap[$0], heap[$1]) }),
                Self.comesFirst(heap[child], heap[place])
            else { return }
            heap.swapAt(place, child)
            place = child
        }
    }
}
