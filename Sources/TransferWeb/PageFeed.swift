import Foundation
import Logging
import PerdureModel
import WebCommon

/// What all open pages follow: it asks the database once for all of them, and not at all while there are none.
///
/// It asks four times a second while something moves, then less and less often, down to once a second. A new viewer
/// gets everything; after that everybody gets what changed, and is told of each reading that found nothing new, so that
/// a page knows how old it is.
actor PageFeed {
    private let transfers: Transfers
    private let logger: Logger

    private struct Viewer {
        let continuation: AsyncStream<ServerSentEvent>.Continuation
        /// Whether it knows what all others know.
        var isCurrent = false
    }

    private var viewers: [UUID: Viewer] = [:]
    private var polling: Task<Void, Never>?
    private var waiting: Task<Void, Never>?
    private var interval = PageFeed.shortest

    private var parts: [String: String] = [:]
    private var documents: [UUID: String] = [:]
    private var closed: Set<UUID> = []
    private var order: [UUID] = []
    /// When what is known was read.
    private var readAt: ContinuousClock.Instant?
    /// Counts changes. It begins anywhere, so that it is another one after a restart.
    private var change = UInt32.random(in: 0 ... .max)

    private static let shortest = Duration.milliseconds(250)
    private static let longest = Duration.seconds(1)

    init(_ transfers: Transfers, logger: Logger) {
        self.transfers = transfers
        self.logger = logger
    }

    /// Everything at once, and then the changes, until the stream is let go.
    func events() -> AsyncStream<ServerSentEvent> {
        // A viewer that is this far behind is cut off; the browser comes back and gets everything anew.
        let (stream, continuation) = AsyncStream.makeStream(
            of: ServerSentEvent.self, bufferingPolicy: .bufferingOldest(32))
        let id = UUID()
        // Entered before anything is read, so that leaving, whenever it is, comes after.
        viewers[id] = Viewer(continuation: continuation)
        continuation.onTermination = { _ in Task { await self.remove(id) } }
        if polling == nil {
            polling = Task { await self.poll() }
        } else if let readAt, readAt.duration(to: .now) < Self.longest, !parts.isEmpty {
            welcome()
        } else {
            nudge()
        }
        return stream
    }

    /// How many pages follow.
    var viewerCount: Int { viewers.count }

    /// Whether the database is asked.
    var isPolling: Bool { polling != nil }

    /// Something was just changed: look now, not at the next turn.
    func nudge() {
        interval = Self.shortest
        waiting?.cancel()
    }

    private func remove(_ id: UUID) {
        viewers[id] = nil
        guard viewers.isEmpty else { return }
        polling?.cancel()
        polling = nil
    }

    private func poll() async {
        while !Task.isCancelled {
            await refresh()
            let pause = Task { [interval] in _ = try? await Task.sleep(for: interval) }
            waiting = pause
            await withTaskCancellationHandler {
                await pause.value
            } onCancel: {
                pause.cancel()
            }
        }
    }

    private func refresh() async {
        let began = ContinuousClock.now
        do {
            let state = try await transfers.pageState()
            let shown = try await transfers.shown(knownClosed: Array(closed))
            // Whoever comes after the last one has left is served by a loop of their own.
            guard !Task.isCancelled else { return }
            readAt = began
            tell(apply(parts: state, shown: shown))
        } catch {
            guard !Task.isCancelled else { return }
            logger.warning("the page's state could not be read: \(error)")
            interval = Self.longest
            // What was shown may have changed when the database is back: everybody gets everything then.
            parts = [:]
            readAt = nil
            let reason =
                WebError(database: error)?.message ?? "the server cannot read the bank's state; its log says why"
            let data: JSON = ["error": .string(reason.prefix(1).uppercased() + reason.dropFirst())]
            send(ServerSentEvent(event: "trouble", data: data.text))
        }
    }

    /// Takes what was read, and returns what of it is new.
    private func apply(parts new: [String: String], shown: [Transfers.Entry]) -> (
        parts: [String], runs: [UUID], all: Bool
    ) {
        let all = parts.isEmpty
        let changedParts = new.keys.sorted().filter { new[$0] != parts[$0] }
        parts = new
        var changedRuns: [UUID] = []
        for entry in shown {
            if let document = entry.document, documents[entry.runID] != document {
                documents[entry.runID] = document
                changedRuns.append(entry.runID)
            }
            if !entry.isRunning { closed.insert(entry.runID) }
        }
        order = shown.map(\.runID)
        let known = Set(order)
        documents = documents.filter { known.contains($0.key) }
        closed.formIntersection(known)

        let isBusy = shown.contains { $0.isRunning }
        let ceiling = isBusy ? Self.shortest * 2 : Self.longest
        interval = changedParts.isEmpty && changedRuns.isEmpty ? min(interval * 1.5, ceiling) : Self.shortest
        return (changedParts, changedRuns, all)
    }

    private func tell(_ found: (parts: [String], runs: [UUID], all: Bool)) {
        if found.all || !found.parts.isEmpty || !found.runs.isEmpty { change &+= 1 }
        if found.all {
            for id in viewers.keys { viewers[id]?.isCurrent = false }
        } else if found.parts.isEmpty && found.runs.isEmpty {
            send(message("live", parts: [], runs: []))
        } else {
            send(message("change", parts: found.parts, runs: found.runs))
        }
        welcome()
    }

    /// Gives everything to those who know nothing yet.
    private func welcome() {
        guard viewers.contains(where: { !$0.value.isCurrent }) else { return }
        let snapshot = message("snapshot", parts: parts.keys.sorted(), runs: order)
        for (id, viewer) in viewers where !viewer.isCurrent {
            viewers[id]?.isCurrent = true
            send(snapshot, to: id)
        }
    }

    private func message(_ event: String, parts names: [String], runs: [UUID]) -> ServerSentEvent {
        let age = readAt.map { $0.duration(to: .now).milliseconds } ?? 0
        var members = ["\"now\":\(Date().timeIntervalSince1970)", "\"age\":\(age)", "\"look\":\(change)"]
        if event != "live" {
            members += names.map { "\(JSON.string($0).text):\(parts[$0] ?? "null")" }
            members.append("\"transfers\":\(runs.compactMap { documents[$0] }.jsonArray)")
        }
        return ServerSentEvent(event: event, data: "{\(members.joined(separator: ","))}")
    }

    /// Tells those who know what was before.
    private func send(_ event: ServerSentEvent) {
        for (id, viewer) in viewers where viewer.isCurrent || event.event == "trouble" { send(event, to: id) }
    }

    private func send(_ event: ServerSentEvent, to id: UUID) {
        guard let viewer = viewers[id], case .dropped = viewer.continuation.yield(event) else { return }
        viewer.continuation.finish()
        remove(id)
    }
}
