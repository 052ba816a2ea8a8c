import Foundation
import Logging
import WebCommon

/// What all open pages follow: it asks the database once for all of them, and not at all while there are none.
///
/// It asks four times a second while something moves, then less and less often, down to every two seconds. A new viewer
/// gets everything; after that everybody gets what changed.
actor PageFeed {
    private let transfers: Transfers
    private let logger: Logger

    private var viewers: [UUID: AsyncStream<ServerSentEvent>.Continuation] = [:]
    private var polling: Task<Void, Never>?
    private var waiting: Task<Void, Never>?
    private var interval = PageFeed.shortest

    private var parts: [String: String] = [:]
    private var documents: [UUID: String] = [:]
    private var closed: Set<UUID> = []
    private var order: [UUID] = []

    private static let shortest = Duration.milliseconds(250)
    private static let longest = Duration.seconds(2)

    init(_ transfers: Transfers, logger: Logger) {
        self.transfers = transfers
        self.logger = logger
    }

    /// Everything at once, and then the changes, until the stream is let go.
    nonisolated func events() -> AsyncStream<ServerSentEvent> {
        // A viewer that is this far behind is cut off; the browser comes back and gets everything anew.
        let (stream, continuation) = AsyncStream.makeStream(
            of: ServerSentEvent.self, bufferingPolicy: .bufferingOldest(32))
        let id = UUID()
        continuation.onTermination = { _ in Task { await self.remove(id) } }
        Task { await self.add(id, continuation) }
        return stream
    }

    /// Something was just changed: look now, not at the next turn.
    func nudge() {
        interval = Self.shortest
        waiting?.cancel()
    }

    private func add(_ id: UUID, _ continuation: AsyncStream<ServerSentEvent>.Continuation) async {
        if viewers.isEmpty { await refresh() }
        // No step back to the executor between the snapshot and the entry: no change is missed or told twice.
        if !parts.isEmpty { continuation.yield(snapshot()) }
        viewers[id] = continuation
        if polling == nil { polling = Task { await self.poll() } }
    }

    private func remove(_ id: UUID) {
        viewers[id] = nil
        guard viewers.isEmpty else { return }
        polling?.cancel()
        polling = nil
    }

    private func poll() async {
        while !Task.isCancelled {
            let pause = Task { [interval] in _ = try? await Task.sleep(for: interval) }
            waiting = pause
            await withTaskCancellationHandler {
                await pause.value
            } onCancel: {
                pause.cancel()
            }
            guard !Task.isCancelled else { return }
            await refresh()
        }
    }

    private func refresh() async {
        do {
            let state = try await transfers.pageState()
            let shown = try await transfers.shown(knownClosed: Array(closed))
            tell(apply(parts: state, shown: shown))
        } catch is CancellationError {
        } catch {
            logger.warning("the page's state could not be read: \(error)")
            interval = Self.longest
            // What was shown may have changed when the database is back: everybody gets everything then.
            parts = [:]
            send(ServerSentEvent(event: "trouble", data: #"{"error":"The database cannot be reached"}"#))
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

    private func tell(_ change: (parts: [String], runs: [UUID], all: Bool)) {
        if change.all { return send(snapshot()) }
        if change.parts.isEmpty && change.runs.isEmpty { return }
        send(message("change", parts: change.parts, runs: change.runs))
    }

    private func snapshot() -> ServerSentEvent { message("snapshot", parts: parts.keys.sorted(), runs: order) }

    private func message(_ event: String, parts names: [String], runs: [UUID]) -> ServerSentEvent {
        var members = [JSONValue.Member(name: "now", value: .number("\(Date().timeIntervalSince1970)"))]
        members += names.map { .init(name: $0, value: .raw(parts[$0] ?? "null")) }
        members.append(.init(name: "transfers", value: .array(runs.compactMap { documents[$0].map(JSONValue.raw) })))
        return ServerSentEvent(event: event, data: JSONValue.object(members).text)
    }

    private func send(_ event: ServerSentEvent) {
        for (id, continuation) in viewers {
            if case .dropped = continuation.yield(event) {
                viewers[id] = nil
                continuation.finish()
            }
        }
    }
}
