import Foundation
import Logging
import PerdureEngine
import Postgres
import Synchronization

/// Hands what calls bring to a function of the engine that takes sets, by a batcher for each shard: at once when it is
/// idle, and everything that has gathered when it is busy.
final class Sender: Sendable {
    private typealias ShardBatcher = Batcher<JSON, JSON>

    /// A client waits no longer for a call that is no poll.
    private static let patience = Duration.seconds(9)
    /// Members of a set, at most.
    private static let limit = 200

    private let database: FrontendDatabase
    private let statement: @Sendable (_ shard: Int16, _ items: JSON) -> PostgresQuery
    private let batchers = Mutex<[Int16: ShardBatcher]>([:])
    private let started = AsyncStream<ShardBatcher>.makeStream()
    private let logger: Logger

    /// - Parameter statement: the call of a function that gives place and answer of each item.
    init(
        database: FrontendDatabase, logger: Logger,
        _ statement: @escaping @Sendable (_ shard: Int16, _ items: JSON) -> PostgresQuery
    ) {
        self.database = database
        self.logger = logger
        self.statement = statement
    }

    /// What the engine answers for one item.
    ///
    /// - Throws: what the engine refused, or that the database did not take it in time.
    func send(_ item: JSON, to shard: Int16) async throws -> JSON {
        let batcher = batchers.withLock { batchers in
            if let batcher = batchers[shard] { return batcher }
            let batcher = ShardBatcher(limit: Self.limit, waitsForDatabase: false)
            batchers[shard] = batcher
            started.continuation.yield(batcher)
            return batcher
        }
        let answer = try await batcher.submit(item, until: .now + Self.patience)
        if let error = answer["error"] {
            let error = PostgresError(
                .server, error.text("message"), sqlState: error.text("code"), detail: error.given("detail"),
                hint: error.given("hint"))
            throw EngineError(error) ?? error
        }
        return answer
    }

    /// Sends until the task is cancelled.
    func run() async {
        await withDiscardingTaskGroup { group in
            for await batcher in started.stream {
                guard let shard = batchers.withLock({ $0.first { $0.value === batcher }?.key }) else { continue }
                group.addTask {
                    await batcher.run(by: { _ in shard }, judge: self.trouble) { items in
                        try await self.answers(to: items, of: shard)
                    }
                }
            }
            group.cancelAll()
        }
    }

    private func answers(to items: [JSON], of shard: Int16) async throws -> [JSON] {
        var answers = [JSON](repeating: ["outcome": "lost"], count: items.count)
        for row in try await database.rows(statement(shard, .array(items))) {
            let place = Int(try row.decode(Int32.self, at: 0))
            guard answers.indices.contains(place - 1) else { continue }
            answers[place - 1] = try row.decode(JSON.self, at: 1)
        }
        return answers
    }

    private func trouble(_ error: any Error) -> SetTrouble {
        if error is CancellationError || (error as? PostgresError)?.cause == .cancelled { return .over }
        // Clients of all namespaces share a set, so that one without a namespace is refused alone.
        if (error as? EngineError)?.code == .namespaceNotFound { return .refusesOne }
        if error.meetsAllAlike { return .meetsAll }
        if error is EngineError || !error.mayPass { return .refusesOne }
        logger.debug("A set is sent again", metadata: ["error": "\(error)"])
        return .meetsSome
    }
}

extension Sender {
    /// What workers report: see `perdure.take_reports`.
    static func ofReports(_ database: FrontendDatabase, logger: Logger) -> Sender {
        Sender(database: database, logger: logger) { shard, items in
            "select place, answer from perdure.take_reports(\(shard), \(items))"
        }
    }

    /// What clients ask for: see `perdure.take_requests`.
    static func ofRequests(_ database: FrontendDatabase, logger: Logger) -> Sender {
        Sender(database: database, logger: logger) { shard, items in
            "select place, answer from perdure.take_requests(\(shard), \(items))"
        }
    }
}
