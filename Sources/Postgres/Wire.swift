import CLibPQ
import Dispatch
import Foundation
import Logging
import Synchronization

/// One libpq connection and the event loop that owns it.
///
/// libpq is used in its non-blocking mode: statements are sent, the loop says when bytes have come, and whoever waits
/// is resumed. No thread ever waits for the server.
///
/// Unchecked because `PGconn` and all mutable state below are touched on the loop only, and before that on the queue of
/// the attempt to connect, which hands them over; every method that is called from elsewhere begins by going there.
final class Wire: @unchecked Sendable {
    private let loop = EventLoop.shared
    private let configuration: PostgresConfiguration
    private let logger: Logger

    private var connection: OpaquePointer?
    private var watch: EventLoop.Watch?
    /// What is watched.
    private var socket: Int32 = -1
    private var failure: PostgresError? {
        didSet { closed.store(failure != nil, ordering: .releasing) }
    }

    /// Whether nothing runs, outside of any transaction, as the last operation left it. Anybody may read it, without
    /// waiting for the loop.
    private let idle = Atomic(false)
    var isIdle: Bool { idle.load(ordering: .acquiring) }
    private let transaction = Atomic(PQTRANS_IDLE.rawValue)
    /// Whether a transaction is open, as the last operation left it.
    var transactionStatus: PostgresTransactionStatus {
        switch PGTransactionStatusType(transaction.load(ordering: .acquiring)) {
        case PQTRANS_INTRANS: .open
        case PQTRANS_INERROR: .failed
        default: .none
        }
    }
    private let closed = Atomic(false)
    var isClosed: Bool { closed.load(ordering: .acquiring) }

    private var current: Operation?
    private var waiting = WaitList<Operation>()
    /// While a cancel request is on its way nothing new is sent, or it could hit the next statement.
    private var cancelsUnderWay = 0

    var statements = StatementCache()
    private var listeners: [String: [UInt64: AsyncThrowingStream<PostgresNotification, any Error>.Continuation]] = [:]
    private var nextListener: UInt64 = 0

    init(_ configuration: PostgresConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
        statements.isEnabled = configuration.preparedStatements
    }

    // MARK: Connecting

    /// Connects on a queue of the attempt's own, because libpq looks up names and computes proofs of passwords
    /// meanwhile.
    func connect() async throws {
        let attempt = ConnectAttempt()
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                attempt.queue.async {
                    attempt.continuation = continuation
                    self.start(attempt)
                }
            }
        } onCancel: {
            attempt.queue.async {
                attempt.isCancelled = true
                self.abandon(attempt, .cancelled)
            }
        }
    }

    private func start(_ attempt: ConnectAttempt) {
        if attempt.isCancelled { return abandon(attempt, .cancelled) }
        do {
            connection = try configuration.start()
        } catch let error as PostgresError {
            return abandon(attempt, error)
        } catch {
            return abandon(attempt, PostgresError(.connection, "\(error)"))
        }
        PQsetErrorVerbosity(connection, PQERRORS_VERBOSE)
        PQsetNoticeReceiver(
            connection,
            { wire, result in
                guard let wire, let result else { return }
                // The wire is there: it is what calls libpq.
                Unmanaged<Wire>.fromOpaque(wire).takeUnretainedValue().log(PostgresError(result: result))
            }, Unmanaged.passUnretained(self).toOpaque())
        let seconds = configuration.connectTimeout.components
        let timeout = Double(seconds.seconds) + Double(seconds.attoseconds) / 1e18
        attempt.queue.asyncAfter(deadline: .now() + timeout) { [weak self] in
            guard let self, !attempt.isDone else { return }
            self.abandon(
                attempt,
                PostgresError(
                    .connection, "no connection to \(self.configuration) within \(self.configuration.connectTimeout)",
                    hint: "Is the server running and reachable?"))
        }
        guard PQstatus(connection) != CONNECTION_BAD else {
            return abandon(attempt, PostgresError(connection: connection))
        }
        wait(forReading: false, attempt)
    }

    private func advance(_ attempt: ConnectAttempt) {
        guard !attempt.isDone, let connection else { return }
        switch PQconnectPoll(connection) {
        case PGRES_POLLING_READING: wait(forReading: true, attempt)
        case PGRES_POLLING_WRITING: wait(forReading: false, attempt)
        case PGRES_POLLING_OK:
            PQsetErrorVerbosity(connection, PQERRORS_DEFAULT)
            PQsetnonblocking(connection, 1)
            // A descriptor of the loop's own. libpq closes its socket as soon as it finds the connection lost, and the
            // next one may get the same number while the loop still watches it: that one would hear nothing of its
            // server.
            let socket = fcntl(PQsocket(connection), F_DUPFD_CLOEXEC, 0)
            guard socket >= 0 else {
                let reason = String(cString: strerror(errno))
                return abandon(attempt, PostgresError(.connection, "the connection cannot be watched: \(reason)"))
            }
            let continuation = attempt.handOver()
            loop.execute {
                self.watch(socket)
                self.idle.store(true, ordering: .releasing)
                continuation?.resume()
            }
        default: abandon(attempt, PostgresError(connection: connection))
        }
    }

    /// libpq may close its socket in the next poll, so that comes only after the source has let go of it.
    private func wait(forReading: Bool, _ attempt: ConnectAttempt) {
        let socket = PQsocket(connection)
        guard let connection, socket >= 0 else { return abandon(attempt, PostgresError(connection: connection)) }
        let source: any DispatchSourceProtocol =
            forReading
            ? DispatchSource.makeReadSource(fileDescriptor: socket, queue: attempt.queue)
            : DispatchSource.makeWriteSource(fileDescriptor: socket, queue: attempt.queue)
        let pointer = SendablePointer(connection)
        source.setEventHandler { source.cancel() }
        source.setCancelHandler {
            attempt.source = nil
            if attempt.isDone { PQfinish(pointer.value) } else { self.advance(attempt) }
        }
        attempt.source = source
        source.resume()
    }

    private func abandon(_ attempt: ConnectAttempt, _ error: PostgresError) {
        guard !attempt.isDone else { return }
        failure = error
        attempt.finish(.failure(error))
        if let source = attempt.source { source.cancel() } else { PQfinish(connection) }
        connection = nil
    }

    private func watch(_ socket: Int32) {
        watch = loop.watch(socket) { [weak self] readable, writable in
            if writable { self?.writable() }
            if readable { self?.readable() }
        }
        self.socket = socket
    }

    // MARK: Statements

    /// Runs an operation when its turn comes, and cancels it in the server if the task is cancelled.
    func run(_ makeOperation: @escaping @Sendable () -> Operation) async throws -> [ResultHandle] {
        let token = CancellationToken()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                loop.perform {
                    let operation = makeOperation()
                    operation.continuation = continuation
                    self.submit(operation, token)
                }
            }
        } onCancel: {
            loop.execute { self.cancel(token) }
        }
    }

    private func submit(_ operation: Operation, _ token: CancellationToken) {
        if let failure { return operation.finish(.failure(failure)) }
        if token.isCancelled { return operation.finish(.failure(.cancelled)) }
        let ticket = waiting.ticket()
        token.ticket = ticket
        operation.ticket = ticket
        waiting.append(operation, ticket: ticket)
        idle.store(false, ordering: .releasing)
        advance()
    }

    private func cancel(_ token: CancellationToken) {
        token.isCancelled = true
        guard let ticket = token.ticket else { return }
        if let operation = waiting.remove(ticket) {
            operation.finish(.failure(.cancelled))
        } else if let current, current.ticket == ticket, let request = PQgetCancel(connection) {
            current.wasCancelled = true
            cancelsUnderWay += 1
            let request = SendablePointer(request)
            // PQcancel opens a connection of its own and waits for it.
            DispatchQueue.global().async {
                var message = [CChar](repeating: 0, count: 256)
                _ = PQcancel(request.value, &message, 256)
                PQfreeCancel(request.value)
                self.loop.execute {
                    self.cancelsUnderWay -= 1
                    self.advance()
                }
            }
        }
    }

    private func advance() {
        while current == nil, cancelsUnderWay == 0, failure == nil, let connection, !waiting.isEmpty {
            // In a transaction a failure would break it.
            if PQtransactionStatus(connection) == PQTRANS_IDLE, let garbage = statements.takeGarbage() {
                current = DeallocateOperation(garbage)
            } else {
                current = waiting.popFirst()?.waiter
            }
            current?.begin(on: self)
            sendNextStage(connection)
        }
    }

    private func sendNextStage(_ connection: OpaquePointer) {
        guard let operation = current else { return }
        guard let stage = operation.nextStage() else { return finishCurrent(connection) }
        guard stage(connection) else {
            // Nothing was sent: libpq refused the arguments, or the connection is gone.
            let error = PostgresError(connection: connection)
            if PQstatus(connection) == CONNECTION_BAD || PQpipelineStatus(connection) != PQ_PIPELINE_OFF {
                return fail(error)
            }
            operation.stages = []
            operation.error = error
            return finishCurrent(connection)
        }
        flush(connection)
    }

    private func finishCurrent(_ connection: OpaquePointer) {
        guard let operation = current else { return }
        if let error = operation.error, error.isStalePlan, operation.forgetPlan(on: self), !operation.wasRetried,
            PQtransactionStatus(connection) == PQTRANS_IDLE
        {
            operation.wasRetried = true
            operation.error = nil
            operation.results = []
            operation.begin(on: self)
            return sendNextStage(connection)
        }
        current = nil
        operation.end(on: self)
        // Before whoever waits for the operation goes on.
        let status = PQtransactionStatus(connection)
        transaction.store(status.rawValue, ordering: .releasing)
        idle.store(waiting.isEmpty && status == PQTRANS_IDLE, ordering: .releasing)
        if let error = operation.error {
            operation.finish(.failure(operation.wasCancelled && error.sqlState == "57014" ? .cancelled : error))
        } else {
            operation.finish(.success(operation.results))
        }
        advance()
    }

    // MARK: The socket

    private func flush(_ connection: OpaquePointer) {
        while true {
            switch PQflush(connection) {
            case 0: if current?.pour(connection) != true { return }
            case 1:
                watch?.wantsWriting = true
                return
            default: return fail(PostgresError(connection: connection))
            }
        }
    }

    private func writable() {
        watch?.wantsWriting = false
        guard let connection else { return }
        flush(connection)
        takeResults(connection)
    }

    private func readable() {
        guard let connection else { return }
        guard PQconsumeInput(connection) == 1 else {
            // What the server said before it hung up tells more.
            return fail(current?.error ?? PostgresError(connection: connection))
        }
        if watch?.wantsWriting == true { flush(connection) }
        takeResults(connection)
        // Last, for what came behind the results is read only now.
        takeNotifications()
    }

    private func takeResults(_ connection: OpaquePointer) {
        while let operation = current, PQisBusy(connection) == 0 {
            let result = PQgetResult(connection).map(ResultHandle.init)
            switch operation.take(result, connection) {
            case .more: break
            case .stageEnded: sendNextStage(connection)
            case .copying:
                flush(connection)
                // What the server said meanwhile is read only after the end of the data, and may be all that it says.
                if operation.isPouring { return }
            case .waiting: return
            case .lost(let error): return fail(error)
            }
            if PQstatus(connection) == CONNECTION_BAD {
                return fail(operation.error ?? PostgresError(connection: connection))
            }
        }
        if current == nil, PQstatus(connection) == CONNECTION_BAD { fail(PostgresError(connection: connection)) }
    }

    private func takeNotifications() {
        while let connection, let pointer = PQnotifies(connection) {
            let notification = PostgresNotification(
                channel: String(cString: pointer.pointee.relname), payload: String(cString: pointer.pointee.extra),
                processID: pointer.pointee.be_pid)
            PQfreemem(pointer)
            for listener in (listeners[notification.channel] ?? [:]).values { listener.yield(notification) }
        }
    }

    /// The connection is lost or closed: everybody who waits for it learns so.
    private func fail(_ error: PostgresError) {
        guard failure == nil else { return }
        var error = error
        if error.kind == .server { error.kind = .connection }
        failure = error
        idle.store(false, ordering: .releasing)
        PQsetNoticeReceiver(connection, { _, _ in }, nil)
        watch?.cancel()
        watch = nil
        if let lost = connection.map(SendablePointer.init) {
            // Whoever found it lost still uses it.
            loop.execute { [socket] in
                PQfinish(lost.value)
                Foundation.close(socket)
            }
        }
        connection = nil
        if error.kind != .closed { logger.debug("connection lost", metadata: ["error": "\(error)"]) }
        let inFlight = current
        current = nil
        inFlight?.finish(.failure(error))
        for operation in waiting.removeAll() { operation.finish(.failure(error)) }
        for listener in listeners.values.flatMap(\.values) { listener.finish(throwing: error) }
        listeners = [:]
    }

    private func log(_ notice: PostgresError) {
        logger.log(
            level: notice.severity == "WARNING" ? .warning : .debug, "\(notice.message)",
            metadata: notice.hint.map { ["hint": "\($0)"] })
    }

    func close() async {
        await withCheckedContinuation { continuation in
            loop.perform {
                self.fail(.closed)
                continuation.resume()
            }
        }
    }

    /// Closes it when the loop comes to it.
    func closeSoon() { loop.execute { self.fail(.closed) } }

    // MARK: What the connection knows of itself

    /// What the loop alone knows; waits for its turn, not for the server.
    func inspect<T: Sendable>(_ body: @escaping @Sendable (OpaquePointer?) -> T) async -> T {
        await withCheckedContinuation { continuation in
            loop.perform { continuation.resume(returning: body(self.connection)) }
        }
    }

    /// Whether the connection is good, idle and outside of any transaction, as far as one can know without asking the
    /// server.
    func isReusable() async -> Bool {
        await inspect { connection in
            guard let connection, self.failure == nil, self.current == nil,
                PQtransactionStatus(connection) == PQTRANS_IDLE
            else {
                return false
            }
            // A server that went away has closed its end: the socket is readable and has nothing to say.
            guard PQconsumeInput(connection) == 1, PQstatus(connection) == CONNECTION_OK else {
                self.fail(PostgresError(connection: connection))
                return false
            }
            self.takeNotifications()
            return true
        }
    }

    func addListener(
        _ channel: String, _ continuation: AsyncThrowingStream<PostgresNotification, any Error>.Continuation
    ) {
        loop.execute {
            if let failure = self.failure { return continuation.finish(throwing: failure) }
            let id = self.nextListener
            self.nextListener += 1
            self.listeners[channel, default: [:]][id] = continuation
            continuation.onTermination = { _ in self.loop.execute { self.listeners[channel]?[id] = nil } }
        }
    }

    func removeListeners(_ channel: String) {
        loop.execute {
            for listener in (self.listeners.removeValue(forKey: channel) ?? [:]).values { listener.finish() }
        }
    }
}

/// A pointer on its way to the one place that uses it next.
///
/// Unchecked because it is only moved, never shared: the sender does not touch it again.
struct SendablePointer: @unchecked Sendable {
    let value: OpaquePointer
    init(_ value: OpaquePointer) { self.value = value }
}

/// Touched on the loop only, which is why it may be captured by handlers from elsewhere.
private final class CancellationToken: @unchecked Sendable {
    var ticket: UInt64?
    var isCancelled = false
}

/// One attempt to connect. Unchecked because all but the queue is touched on the queue only.
private final class ConnectAttempt: @unchecked Sendable {
    let queue = DispatchQueue(label: "perdure.connect")
    var continuation: CheckedContinuation<Void, any Error>?
    var source: (any DispatchSourceProtocol)?
    var isCancelled = false
    var isDone: Bool { continuation == nil }

    /// Leaves to the caller to say that it has succeeded.
    func handOver() -> CheckedContinuation<Void, any Error>? {
        defer { continuation = nil }
        return continuation
    }

    func finish(_ result: Result<Void, any Error>) {
        continuation?.resume(with: result)
        continuation = nil
    }
}
