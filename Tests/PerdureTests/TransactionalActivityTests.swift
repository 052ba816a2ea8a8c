import Foundation
import Logging
import PerdureEngine
import PerdureTesting
import Postgres
import Synchronization
import TestSupport
import Testing

@testable import Perdure

/// Writes a row, and then does what the test wants.
@ActivityContainer
private struct Books {
    let then: @Sendable (String, PostgresConnection) async throws -> String

    init(then: @escaping @Sendable (String, PostgresConnection) async throws -> String) { self.then = then }

    @Activity
    func book(_ label: String, in connection: PostgresConnection) async throws -> String {
        let attempt = ActivityExecutionContext.current?.info.attempt ?? 0
        try await connection.query("insert into booked (label, attempt) values (\(label), \(attempt))")
        return try await then(label, connection)
    }

    @Activity
    func greet(name: String) -> String { "hello \(name)" }
}

@Workflow
private struct Booking {
    struct Order: Codable {
        var label = "a"
        var seconds = 60
        var maximumAttempts = 5
        var greets = false
    }

    func run(context: WorkflowContext<Self>, input: Order) async throws -> String {
        var label = input.label
        let options = ActivityOptions(
            startToCloseTimeout: .seconds(input.seconds), cancellationType: .waitCancellationCompleted,
            retryPolicy: RetryPolicy(initialInterval: .milliseconds(10), maximumAttempts: input.maximumAttempts))
        if input.greets {
            label = try await context.executeActivity(Books.Activities.Greet.self, options: options, input: label)
        }
        label = try await context.executeActivity(Books.Activities.Book.self, options: options, input: label)
        if input.greets {
            label = try await context.executeActivity(Books.Activities.Greet.self, options: options, input: label)
        }
        return label
    }
}

private struct Reserve: SQLActivityDefinition {
    struct Order: Codable { var item: String, count: Int }
    struct Place: Codable, Equatable { var shelf: Int, item: String }
    typealias Input = Order
    typealias Output = Place
    static let function = "stock.Reserve"
}

private struct Sweep: SQLActivityDefinition {
    typealias Input = Void
    typealias Output = Void
    static let function = "sweep"
}

private struct Items: SQLActivityDefinition {
    typealias Input = Void
    typealias Output = [String]?
    static let function = "stock.items"
}

private struct Echo: SQLActivityDefinition {
    typealias Input = String
    typealias Output = String
    static let function = "lower"
}

@Workflow
private struct Stock {
    func run(context: WorkflowContext<Self>, input: Reserve.Order) async throws -> Reserve.Place {
        let options = ActivityOptions(
            startToCloseTimeout: .seconds(60),
            retryPolicy: RetryPolicy(
                initialInterval: .milliseconds(10), maximumAttempts: 3, nonRetryableErrorTypes: ["SO001"]))
        try await context.executeActivity(Sweep.self, options: options)
        guard try await context.executeActivity(Items.self, options: options) == nil else { throw CancellationError() }
        return try await context.executeActivity(Reserve.self, options: options, input: input)
    }
}

@Workflow
private struct Lower {
    func run(context: WorkflowContext<Self>, input: String) async throws -> String {
        try await context.executeActivity(
            Echo.self,
            options: .init(startToCloseTimeout: .seconds(60), retryPolicy: RetryPolicy(maximumAttempts: 1)),
            input: input)
    }
}

// One after the other, for each has many connections.
@Suite("Transactional activities", .serialized)
struct TransactionalActivityTests {
    private static let queue = "books"

    private func with(
        _ books: Books = Books { label, _ in label }, connections: Int = 4, lease: Duration = .seconds(10),
        fusesSteps: Bool = true, _ body: @Sendable (PerdureClient, TestDatabase) async throws -> Void
    ) async throws {
        var options = WorkerOptions(taskQueue: Self.queue)
        options.maxConcurrentTransactions = connections
        options.lease = lease
        options.fusesSteps = fusesSteps
        try await TestDatabase.with { [options] database in
            try await database.pool.query("create table booked (label text, attempt integer)")
            let worker = Worker(
                pool: database.pool, options: options, workflows: [Booking.self, Stock.self, Lower.self],
                activities: [Reserve(), Sweep(), Items(), Echo()], activityContainers: [books], logger: quiet)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await worker.run() }
                try await body(PerdureClient(pool: database.pool), database)
                group.cancelAll()
                try await group.waitForAll()
            }
        }
    }

    private func start(
        _ client: PerdureClient, _ order: Booking.Order = .init(), id: String = UUID().uuidString
    ) async throws -> WorkflowHandle<Booking> {
        try await client.startWorkflow(
            type: Booking.self, options: WorkflowOptions(id: id, taskQueue: Self.queue), input: order)
    }

    /// The attempts whose rows were committed.
    private func attempts(_ database: TestDatabase) async throws -> [Int] {
        try await database.pool.query("select attempt from booked order by attempt").map { try $0.decode(at: 0) }
    }

    /// What the activity threw that a run has failed by.
    private func cause(of error: WorkflowFailedError) throws -> ApplicationError {
        let activity = try #require(error.failure.error as? ActivityError)
        return try #require(activity.cause as? ApplicationError)
    }

    /// What the activity of a run failed with for good.
    private func failure(_ handle: WorkflowHandle<Booking>) async throws -> ApplicationError {
        let error = try await #require(throws: WorkflowFailedError.self) { try await handle.result() }
        return try cause(of: error)
    }

    @Test("What it writes and its completion are one transaction")
    func together() async throws {
        let pool = Settlement<PostgresPool>()
        let books = Books { label, _ async throws in
            let other = await pool.value
            // Nobody sees the row before.
            #expect(try await other.query("select 1 from booked").isEmpty)
            return label + "!"
        }
        try await with(books) { client, database async throws in
            pool.settle(database.pool)
            let handle = try await start(client)
            #expect(try await handle.result() == "a!")
            #expect(try await attempts(database) == [1])
            let events = try await database.pool.query(
                """
                select e ->> 'eventType' from perdure.history h, jsonb_array_elements(to_jsonb(h.events)) e
                where h.xmin = (select xmin from booked)
                """
            ).map { try $0.decode(String.self, at: 0) }
            #expect(events.contains("ActivityTaskCompleted"), "\(events)")
        }
    }

    @Test("An attempt that throws leaves nothing behind, and the next one comes by policy")
    func rolledBack() async throws {
        let books = Books { label, _ async throws in
            guard ActivityExecutionContext.current?.info.attempt == 3 else {
                throw ApplicationError(message: "not yet", type: "NotYet")
            }
            return label
        }
        try await with(books) { client, database async throws in
            let handle = try await start(client)
            #expect(try await handle.result() == "a")
            #expect(try await attempts(database) == [3])
            let started = try await handle.fetchHistory().first { $0.eventType == .activityTaskStarted }
            #expect(started?.attributes["attempt"] == 3)
            #expect(started?.attributes["lastFailure"]?["applicationFailureInfo"]?["type"] == "NotYet")
        }
    }

    @Test("An attempt whose connection breaks leaves nothing behind, and the next one does it once")
    func brokenConnection() async throws {
        let pool = Settlement<PostgresPool>()
        let books = Books { label, connection in
            if ActivityExecutionContext.current?.info.attempt == 1 {
                let server = try await connection.query("select pg_backend_pid()")[0].decode(Int32.self, at: 0)
                try await pool.value.query("select pg_terminate_backend(\(server))")
            }
            return label
        }
        try await with(books) { client, database async throws in
            pool.settle(database.pool)
            #expect(try await start(client).result() == "a")
            #expect(try await attempts(database) == [2])
        }
    }

    @Test(
        "An attempt whose commit was not answered is neither done again nor reported as failed", .timeLimit(.minutes(5))
    )
    func unansweredCommit() async throws {
        try await PrivateServer.with { server in
            try await Migrator(
                root: checkout, configuration: PostgresConfiguration(server.url), logger: quiet
            ).migrate()
            let pool = PostgresPool(PostgresConfiguration(server.url), maximumConnections: 8, logger: quiet)
            try await pool.query("create table booked (label text, attempt integer)")
            let commits = Settlement<Int32>()
            let calls = Mutex(0)
            let books = Books { label, connection in
                calls.withLock { $0 += 1 }
                // From here on commits wait for a standby that there is not.
                try await pool.query("alter system set synchronous_standby_names = 'nobody'")
                try await pool.query("select pg_reload_conf()")
                Task { try await pool.query("create table probe ()") }
                try await eventually("commits wait") {
                    try await pool.query(
                        "select 1 from pg_stat_activity where wait_event = 'SyncRep' and query ~ 'table probe'"
                    ).count == 1
                }
                commits.settle(try await connection.query("select pg_backend_pid()")[0].decode(Int32.self, at: 0))
                return label
            }
            let worker = PostgresPool(PostgresConfiguration(server.url), maximumConnections: 8, logger: quiet)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    try await Worker(
                        pool: worker, options: WorkerOptions(taskQueue: Self.queue), workflows: [Booking.self],
                        activityContainers: [books], logger: quiet
                    ).run()
                }
                let handle = try await start(PerdureClient(pool: worker), .init(maximumAttempts: 1))
                let server = await commits.value
                try await eventually("the activity's commit waits") {
                    try await pool.query(
                        "select 1 from pg_stat_activity where wait_event = 'SyncRep' and pid = \(server)"
                    ).count == 1
                }
                try await pool.query("select pg_terminate_backend(\(server))")
                try await pool.query("alter system reset synchronous_standby_names")
                try await pool.query("select pg_reload_conf()")
                #expect(try await handle.result() == "a")
                #expect(calls.withLock { $0 } == 1)
                #expect(try await pool.query("select 1 from booked").count == 1)
                #expect(try await pool.query("select 1 from perdure.violations() v").isEmpty)
                group.cancelAll()
                try await group.waitForAll()
            }
            await worker.close()
            await pool.close()
        }
    }

    @Test("An attempt whose record or commit met a database that was unwell is done once, as the same attempt")
    func unwellCommit() async throws {
        try await with { client, database async throws in
            // At the commit, when the code has returned: the first two times.
            try await database.pool.withConnection {
                try await $0.simpleQuery(
                    """
                    create sequence commits;
                    create function refuse() returns trigger language plpgsql as $$
                    begin
                        if nextval('commits') <= 2 then raise exception 'unwell' using errcode = '53100'; end if;
                        return null;
                    end $$;
                    create constraint trigger refuse after insert on booked deferrable initially deferred
                    for each row execute function refuse();
                    """)
            }
            let handle = try await start(client, .init(maximumAttempts: 1))
            #expect(try await handle.result() == "a")
            #expect(try await attempts(database) == [1])
        }
    }

    @Test("What an attempt did that does not count any more is rolled back")
    func lost() async throws {
        let run = Settlement<WorkflowHandle<Booking>>()
        let hasReturned = Settlement<Void>()
        let books = Books { label, _ async throws in
            // Nobody tells the attempt: it ends well, and late.
            try await run.value.terminate()
            hasReturned.settle(())
            return label
        }
        try await with(books) { client, database async throws in
            let handle = try await start(client)
            run.settle(handle)
            await #expect(throws: WorkflowFailedError.self) { try await handle.result() }
            await hasReturned.value
            try await noTransactionIsOpen(database)
            #expect(try await attempts(database) == [])
        }
    }

    @Test("An attempt that takes too long is rolled back, though its code goes on")
    func late() async throws {
        let isOver = Settlement<Void>()
        let books = Books { label, _ async throws in
            if ActivityExecutionContext.current?.info.attempt == 1 { await isOver.value }
            return label
        }
        try await with(books) { client, database async throws in
            #expect(try await start(client, .init(seconds: 1, maximumAttempts: 50)).result() == "a")
            // The second, unless the machine is so busy that it was late, too.
            let counted = try await attempts(database)
            #expect(counted.count == 1 && counted != [1], "\(counted)")
            isOver.settle(())
            try await noTransactionIsOpen(database)
            #expect(try await attempts(database) == counted)
        }
    }

    private func noTransactionIsOpen(_ database: TestDatabase) async throws {
        try await eventually("no transaction is open") {
            try await database.pool.query(
                """
                select 1 from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'
                """
            ).isEmpty
        }
    }

    @Test("A canceled attempt is rolled back and says that it was canceled")
    func canceled() async throws {
        let isWaiting = Settlement<Void>()
        let books = Books { label, connection in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    while true {
                        try ActivityExecutionContext.current?.heartbeat()
                        try await Task.sleep(for: .milliseconds(20))
                    }
                }
                isWaiting.settle(())
                defer { group.cancelAll() }
                try await connection.query("select pg_sleep(600)")
            }
            return label
        }
        try await with(books) { client, database async throws in
            let handle = try await start(client)
            await isWaiting.value
            try await handle.cancel()
            let error = try await #require(throws: WorkflowFailedError.self) { try await handle.result() }
            #expect(error.status == .canceled)
            #expect(try await handle.fetchHistory().contains { $0.eventType == .activityTaskCanceled })
            #expect(try await attempts(database) == [])
        }
    }

    @Test("A statement's error that was swallowed fails the attempt, which says so")
    func swallowedError() async throws {
        let books = Books { label, connection in
            _ = try? await connection.query("selekt")
            return label
        }
        try await with(books) { client, database async throws in
            let error = try await failure(start(client, .init(maximumAttempts: 2)))
            #expect(error.type == "TransactionFailed")
            #expect(try await attempts(database) == [])
        }
    }

    @Test("A transaction within it is refused before anything is committed; a savepoint is not")
    func nested() async throws {
        let books = Books { label, connection in
            if label == "savepoint" {
                try await connection.simpleQuery("savepoint here")
                _ = try? await connection.query("selekt")
                try await connection.simpleQuery("rollback to here")
            } else {
                try await connection.transaction { _ in }
            }
            return label
        }
        try await with(books) { client, database async throws in
            let error = try await failure(start(client, .init(maximumAttempts: 1)))
            #expect(error.message.contains("a transaction is open on this connection already"))
            #expect(try await attempts(database) == [])
            #expect(try await start(client, .init(label: "savepoint")).result() == "savepoint")
            #expect(try await attempts(database) == [1])
        }
    }

    @Test("One that ends the transaction itself fails for good, because another attempt would do it again")
    func endedTransaction() async throws {
        let books = Books { label, connection in
            try await connection.simpleQuery("commit")
            return label
        }
        try await with(books) { client, database async throws in
            let error = try await failure(start(client))
            #expect(error.type == "TransactionEnded")
            #expect(error.isNonRetryable)
            #expect(try await attempts(database) == [1])
        }
    }

    @Test("A result that the database refuses takes back what was done")
    func refusedResult() async throws {
        try await with(Books { _, _ in String(repeating: "x", count: 3 << 20) }) { client, database async throws in
            let error = try await failure(start(client))
            #expect(error.type == "ResultRefused")
            #expect(try await attempts(database) == [])
        }
    }

    @Test("So many run at a time as there are connections for them, and the worker's own go on beside")
    func connections() async throws {
        let running = Mutex((now: 0, most: 0))
        let books = Books { label, connection in
            running.withLock { $0 = ($0.now + 1, max($0.most, $0.now + 1)) }
            defer { running.withLock { $0.now -= 1 } }
            try await connection.query("select pg_sleep(0.02)")
            return label
        }
        try await with(books, connections: 2) { client, database async throws in
            var handles: [WorkflowHandle<Booking>] = []
            for _ in 0..<30 { handles.append(try await start(client)) }
            for handle in handles { #expect(try await handle.result() == "a") }
            #expect(try await attempts(database) == Array(repeating: 1, count: 30))
            #expect(running.withLock { $0.most } == 2)
        }
    }

    @Test("An attempt that gets no connection is handed back, and does not count")
    func noConnection() async throws {
        let isOver = Settlement<Void>()
        let books = Books { label, _ in
            if label == "long" { await isOver.value }
            return label
        }
        try await with(books, connections: 1, lease: .seconds(3)) { client, database async throws in
            let long = try await start(client, .init(label: "long"))
            try await eventually("it has the connection") {
                try await database.pool.query(
                    """
                    select 1 from pg_stat_activity where datname = current_database() and state = 'idle in transaction'
                    """
                ).count == 1
            }
            let handle = try await start(client)
            try await eventually("its attempt was handed back") {
                try await database.pool.query(
                    "select 1 from perdure.activity_tasks where attempt = 1 and attempt_scheduled_at > scheduled_at"
                ).count == 1
            }
            isOver.settle(())
            #expect(try await long.result() == "long")
            #expect(try await handle.result() == "a")
            #expect(try await attempts(database) == [1, 1])
        }
    }

    @Test(
        "Its history is, event for event, that of any other activity, whether steps are fused or not",
        arguments: [true, false])
    func history(fuses: Bool) async throws {
        try await with(fusesSteps: fuses) { client, database async throws in
            let handle = try await start(client, .init(greets: true))
            #expect(try await handle.result() == "hello hello a")
            let history = try await handle.fetchHistory()
            let step: [EventType] = [
                .workflowTaskScheduled, .workflowTaskStarted, .workflowTaskCompleted, .activityTaskScheduled,
                .activityTaskStarted, .activityTaskCompleted,
            ]
            #expect(
                history.map(\.eventType)
                    == [.workflowExecutionStarted] + step + step + step
                    + [
                        .workflowTaskScheduled, .workflowTaskStarted, .workflowTaskCompleted,
                        .workflowExecutionCompleted,
                    ])
            try await WorkflowReplayer(workflows: [Booking.self]).replayWorkflow(history: history)
        }
    }

    @Test("Outside of a worker it does not run")
    func outside() async throws {
        let error = await #expect(throws: ApplicationError.self) { try await Echo().run(input: "A") }
        #expect(error?.message.contains("only a worker can run it") == true)
    }

    // MARK: SQL activities

    private func prepareStock(_ database: TestDatabase) async throws {
        for statement in [
            "create schema stock",
            "create table stock.reserved (item text, count integer)",
            """
            create function stock."Reserve"(wish jsonb, out shelf integer, out item text) language plpgsql as $$ begin
                insert into stock.reserved values (wish ->> 'item', (wish ->> 'count')::integer);
                if wish ->> 'item' = 'moon' then
                    raise exception 'no such item' using errcode = 'SO001', hint = 'Ask for the sun.';
                end if;
                shelf := 7; item := wish ->> 'item';
            end $$
            """,
            "create function sweep() returns void language sql as 'delete from stock.reserved'",
            "create function stock.items() returns setof text language sql as 'select item from stock.reserved'",
        ] { try await database.pool.simple(statement) }
    }

    private func reserve(_ item: String, _ client: PerdureClient) async throws -> WorkflowHandle<Stock> {
        try await client.startWorkflow(
            type: Stock.self, options: WorkflowOptions(id: "s", taskQueue: Self.queue),
            input: .init(item: item, count: 2))
    }

    @Test("A function of the database is an activity: its input is jsonb, its result what it returns")
    func sqlActivity() async throws {
        try await with { client, database async throws in
            try await prepareStock(database)
            let handle = try await reserve("it's", client)
            #expect(try await handle.result() == .init(shelf: 7, item: "it's"))
            let same = try await database.pool.query(
                "select 1 from stock.reserved r join perdure.history h on h.xmin = r.xmin where r.item = 'it''s'")
            #expect(same.count == 1)
        }
    }

    @Test("What it raises is the attempt's failure, with its SQLSTATE as the type, and takes back what it did")
    func sqlError() async throws {
        try await with { client, database async throws in
            try await prepareStock(database)
            let handle = try await reserve("moon", client)
            let error = try await #require(throws: WorkflowFailedError.self) { try await handle.result() }
            let cause = try cause(of: error)
            #expect(cause.type == "SO001")
            #expect(cause.message == "no such item. Hint: Ask for the sun.")
            #expect(cause.stackTrace.contains("Reserve\"(jsonb) line 4"), "\(cause.stackTrace)")
            #expect(try await database.pool.query("select 1 from stock.reserved").isEmpty)
        }
    }

    @Test("A function that does not exist for jsonb, and several rows, get errors that say so")
    func sqlMistakes() async throws {
        try await with { client, database async throws in
            try await prepareStock(database)
            let lower = try await client.startWorkflow(
                type: Lower.self, options: WorkflowOptions(id: "l", taskQueue: Self.queue), input: "A")
            let missing = try await #require(throws: WorkflowFailedError.self) { try await lower.result() }
            #expect(try cause(of: missing).type == "42883")

            try await database.pool.simple("create or replace function sweep() returns void language sql as ''")
            try await database.pool.simple("insert into stock.reserved values ('a', 1), ('b', 1)")
            let stock = try await reserve("sun", client)
            let rows = try await #require(throws: WorkflowFailedError.self) { try await stock.result() }
            #expect(try cause(of: rows).message.hasPrefix("stock.items returned 2 rows"))
        }
    }
}

extension PostgresPool {
    fileprivate func simple(_ sql: String) async throws { try await withConnection { try await $0.simpleQuery(sql) } }
}
