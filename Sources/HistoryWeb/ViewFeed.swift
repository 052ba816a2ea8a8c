import Foundation
import Logging
import PerdureModel
import WebCommon

/// What is on the screens of all viewers: each view is looked at once for all who have it on theirs, and not at all
/// while nobody has.
///
/// Who follows a view is told of every look, whether or not it found a change, so that a page knows how old it is. Few
/// looks are under way at a time, so that views without number leave connections for pages; they are late then, and
/// pages say so.
actor ViewFeed {
    private struct View {
        let view: LiveView
        var viewers: Set<UUID> = []
        var last: (mark: String, at: ContinuousClock.Instant)?
        var looking: Task<Void, Never>?
    }

    private struct Viewer {
        let continuation: AsyncStream<ServerSentEvent>.Continuation
        let views: [String]
        /// Set for who wants to hear of changes only: the mark that was told last.
        var seen: String??
    }

    private let mark: @Sendable (LiveView) async throws -> String
    private let pause: Duration
    private let logger: Logger
    private var views: [String: View] = [:]
    private var viewers: [UUID: Viewer] = [:]
    private var free: Int
    private var waiting: [CheckedContinuation<Void, Never>] = []
    private var isInTrouble = false

    /// - Parameters:
    ///   - looks: how many may be under way at a time.
    ///   - mark: a text that is another one once a view would show something else.
    init(
        pause: Duration = .milliseconds(700), looks: Int = 2, logger: Logger = Logger(label: "history-web"),
        mark: @escaping @Sendable (LiveView) async throws -> String
    ) {
        self.pause = pause
        self.logger = logger
        self.mark = mark
        free = looks
    }

    /// How many streams and how many views are followed.
    var load: (viewers: Int, views: Int) { (viewers.count, views.count) }

    /// Every look at the views, until the stream is let go: `{"view", "mark", "age"}`, the age in milliseconds.
    func looks(at followed: [LiveView]) -> AsyncStream<ServerSentEvent> { follow(followed, seen: nil) }

    /// The changes of a view, until the stream is let go.
    ///
    /// - Parameter seen: the mark of what the viewer knows; nil for what there is now.
    func changes(of view: LiveView, since seen: String?) -> AsyncStream<ServerSentEvent> {
        follow([view], seen: .some(seen))
    }

    private func follow(_ followed: [LiveView], seen: String??) -> AsyncStream<ServerSentEvent> {
        // A viewer that is this far behind is cut off; the browser comes back.
        let (stream, continuation) = AsyncStream.makeStream(
            of: ServerSentEvent.self, bufferingPolicy: .bufferingOldest(64))
        let id = UUID()
        let addresses = followed.map(\.address)
        viewers[id] = Viewer(continuation: continuation, views: addresses, seen: seen)
        continuation.onTermination = { _ in Task { await self.remove(id) } }
        for (address, view) in zip(addresses, followed) {
            views[address, default: View(view: view)].viewers.insert(id)
            if let (mark, at) = views[address]?.last { tell(id, address, mark, at) }
            if views[address]?.looking == nil {
                views[address]?.looking = Task { await self.look(at: view, address) }
            }
        }
        return stream
    }

    private func remove(_ id: UUID) {
        guard let viewer = viewers.removeValue(forKey: id) else { return }
        for address in viewer.views {
            views[address]?.viewers.remove(id)
            guard let view = views[address], view.viewers.isEmpty else { continue }
            view.looking?.cancel()
            views[address] = nil
        }
    }

    private func look(at view: LiveView, _ address: String) async {
        while !Task.isCancelled {
            await takeTurn()
            if !Task.isCancelled { await lookOnce(at: view, address) }
            giveTurn()
            try? await Task.sleep(for: pause)
        }
    }

    private func lookOnce(at view: LiveView, _ address: String) async {
        let began = ContinuousClock.now
        do {
            let mark = try await mark(view)
            guard !Task.isCancelled, views[address] != nil else { return }
            isInTrouble = false
            views[address]?.last = (mark, began)
            for id in views[address]?.viewers ?? [] { tell(id, address, mark, began) }
        } catch {
            guard !Task.isCancelled else { return }
            views[address]?.last = nil
            // Once: a database that is away is away for every view.
            if !isInTrouble { logger.warning("the changes of \(address.prefix(300)) cannot be read: \(error)") }
            isInTrouble = true
        }
    }

    private func tell(_ id: UUID, _ address: String, _ mark: String, _ at: ContinuousClock.Instant) {
        guard var viewer = viewers[id] else { return }
        let event: ServerSentEvent
        if let seen = viewer.seen {
            viewer.seen = .some(mark)
            viewers[id] = viewer
            guard let seen, seen != mark else { return }
            event = ServerSentEvent(event: "change", data: "{}", id: mark)
        } else {
            let data: JSON = [
                "view": .string(address), "mark": .string(mark),
                "age": .number("\(at.duration(to: .now).milliseconds)"),
            ]
            event = ServerSentEvent(event: "look", data: data.text)
        }
        guard case .dropped = viewer.continuation.yield(event) else { return }
        viewer.continuation.finish()
        remove(id)
    }

    private func takeTurn() async {
        guard free == 0 else {
            free -= 1
            return
        }
        await withCheckedContinuation { waiting.append($0) }
    }

    private func giveTurn() {
        if waiting.isEmpty { free += 1 } else { waiting.removeFirst().resume() }
    }
}
