import Foundation
import PerdureEngine
import Postgres

/// What the database tells of a run: that it has closed, or that an update of it has come further.
///
/// All who wait share the one session of ``Notices``.
struct RunNews: Sendable {
    private let news: AsyncStream<Void>

    /// Listens while `body` runs.
    static func of(
        _ runID: UUID, in namespace: String, database: FrontendDatabase, notices: Notices,
        _ body: (RunNews) async throws -> Void
    ) async throws {
        let channel: String = try await database.row("select perdure.result_channel(\(namespace))").decode(at: 0)
        let (news, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let run = runID.text
        let listener = notices.add(channel, preparation: "select perdure.await_results(\(namespace))") { payload in
            // The run's id, and behind it that of an update.
            if payload.isEmpty || payload.hasPrefix(run) { continuation.yield() }
        }
        defer { notices.remove(listener, from: channel) }
        try await body(RunNews(news: news))
    }

    /// Until there is news, or some time has gone by.
    func wait(atMost time: Duration) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                var iterator = news.makeAsyncIterator()
                _ = await iterator.next()
            }
            group.addTask { try? await Task.sleep(for: time) }
            await group.next()
            group.cancelAll()
        }
    }
}
