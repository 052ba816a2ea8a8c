import Foundation
import Logging
import Metrics
import PerdureEngine
import Postgres
public import ServiceLifecycle
import Synchronization

/// Runs workflows and activities of one task queue, until it is told to stop.
///
/// A worker holds a lease in the database. What it has claimed is its own as long as it renews that; should it lose it,
/// it drops all that it held, which others take over, and registers again under a new id. While the database is away it
/// keeps trying, and reports what has ended meanwhile when the database is back.
///
/// A graceful shutdown claims no more, lets activities finish for ``WorkerOptions/gracefulShutdownTimeout``, and hands
/// back the rest; cancelling the task that runs the worker hands everything back at once.
public final class Worker: Service {
    private let engine: Engine
    private let options: WorkerOptions
    private let code: WorkerCode
    private let logger: Logger

    init(pool: PostgresPool, options: WorkerOptions, code: WorkerCode, logger: Logger) {
        engine = Engine(pool: pool)
        self.options = options
        self.code = code
        var logger = logger
        logger[metadataKey: "namespace"] = "\(options.namespace)"
        logger[metadataKey: "task_queue"] = "\(options.taskQueue)"
        self.logger = logger
    }

    /// Works until a graceful shutdown or cancellation.
    ///
    /// - Throws: ``EngineError`` when the engine refuses this worker, as for a namespace that does not exist or a
    ///   database that is not migrated; `PostgresError` for one that it may not use. Once the worker has worked there
    ///   it waits for better times instead.
    public func run() async throws {
        let metrics = WorkerMetrics(
            namespace: options.namespace, taskQueue: options.taskQueue,
            factory: options.metricsFactory ?? MetricsSystem.factory)
        let threads = WorkflowThreads(
            deadlockTimeout: options.deadlockTimeout, logger: logger, writtenOffThreads: metrics.writtenOffThreads)
        let transactions = PostgresPool(
            engine.pool.configuration, maximumConnections: options.maxConcurrentTransactions,
            acquireTimeout: options.lease, logger: logger)
        let result: Result<Void, any Error>
        do { result = .success(try await run(threads, transactions, metrics)) } catch { result = .failure(error) }
        await threads.stop()
        await transactions.close()
        try result.get()
    }

    private func run(
        _ threads: WorkflowThreads, _ transactions: PostgresPool, _ metrics: WorkerMetrics
    ) async throws {
        let stop = StopSwitch()
        try await withGracefulShutdownHandler {
            var retry = Backoff(from: .milliseconds(100), to: .seconds(5))
            var hasWorked = false
            while !stop.isOn, !Task.isCancelled {
                do {
                    let session = WorkerSession(
                        engine: engine, options: options, code: code, shards: try await engine.shards(),
                        logger: logger, metrics: metrics, threads: threads, transactions: transactions)
                    stop.attach(session)
                    defer { hasWorked = hasWorked || session.hasClaimed.load(ordering: .relaxed) }
                    if try await session.run() == .stopped { return }
                    retry.reset()
                } catch let error where error.mayPass || (hasWorked && error.meetsAllAlike) {
                    logger.warning(
                        "The worker cannot register; it tries again", metadata: ["error": "\(error)"])
                    await stop.sleep(atMost: retry.nextSpread())
                } catch is CancellationError {
                    return
                } catch let error as PostgresError where error.kind == .cancelled {
                    return
                }
            }
        } onGracefulShutdown: {
            stop.turnOn()
        }
    }
}

/// Carries a graceful shutdown to the session there is, or to the next one.
private final class StopSwitch: Sendable {
    private let state = Mutex<(isOn: Bool, session: WorkerSession?)>((false, nil))
    private let wakeup = Wakeup()

    var isOn: Bool { state.withLock { $0.isOn } }

    func attach(_ session: WorkerSession) {
        let isOn = state.withLock { state in
            state.session = session
            return state.isOn
        }
        if isOn { session.drain() }
    }

    func turnOn() {
        let session = state.withLock { state in
            state.isOn = true
            return state.session
        }
        wakeup.signal()
        session?.drain()
    }

    func sleep(atMost duration: Duration) async { await wakeup.sleep(atMost: duration) }
}
