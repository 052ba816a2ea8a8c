import CLibPQ

/// Something to be done on a connection: stages that are sent one after another, and what came back.
///
/// Lives on the event loop from the moment it is made.
class Operation {
    typealias Stage = (OpaquePointer) -> Bool
    enum Progress {
        case more, stageEnded
        /// The server wants data.
        case copying
        /// There is more, and it has not come yet.
        case waiting
        /// Out of step with the server: the connection is of no more use.
        case lost(PostgresError)
    }

    var continuation: CheckedContinuation<[ResultHandle], any Error>?
    var ticket: UInt64 = 0
    var stages: [Stage] = []
    var results: [ResultHandle] = []
    var error: PostgresError?
    var wasCancelled = false
    var wasRetried = false
    /// Whether there is data to put after what is on its way.
    var isPouring: Bool { false }

    func begin(on wire: Wire) {}
    func end(on wire: Wire) {}
    /// Forgets a statement whose plan is stale, and says whether there is one to prepare anew.
    func forgetPlan(on wire: Wire) -> Bool { false }
    /// Puts more data when all before it is on its way; false if there is no more.
    func pour(_ connection: OpaquePointer) -> Bool { false }

    func nextStage() -> Stage? { stages.isEmpty ? nil : stages.removeFirst() }

    func take(_ result: ResultHandle?, _ connection: OpaquePointer) -> Progress {
        guard let result else { return .stageEnded }
        switch PQresultStatus(result.pointer) {
        case PGRES_FATAL_ERROR, PGRES_BAD_RESPONSE:
            if error == nil { error = PostgresError(result: result.pointer) }
            stages = []
        case PGRES_COPY_IN:
            refuseCopy()
            PQputCopyEnd(connection, "not asked for")
            return .copying
        case PGRES_COPY_OUT, PGRES_COPY_BOTH:
            refuseCopy()
            return drain(connection)
        default: results.append(result)
        }
        return .more
    }

    private func refuseCopy() {
        if error == nil {
            error = PostgresError(.server, "COPY is not supported here", sqlState: "0A000", hint: "Use copyIn.")
        }
        stages = []
    }

    /// Drops what a COPY OUT has to say.
    private func drain(_ connection: OpaquePointer) -> Progress {
        var row: UnsafeMutablePointer<CChar>?
        while true {
            switch PQgetCopyData(connection, &row, 1) {
            case 1...: PQfreemem(row)
            case 0: return .waiting
            default: return .more
            }
        }
    }

    func finish(_ result: Result<[ResultHandle], PostgresError>) {
        continuation?.resume(with: result.mapError { $0 as any Error })
        continuation = nil
    }
}

/// Several statements without parameters, as the simple protocol takes them.
final class SimpleOperation: Operation {
    init(_ sql: String) {
        super.init()
        stages = [{ PQsendQuery($0, sql) == 1 }]
    }
}

/// One statement with its parameters, prepared the first time.
final class QueryOperation: Operation {
    private let query: PostgresQuery
    private var name: String?

    init(_ query: PostgresQuery) { self.query = query }

    override func begin(on wire: Wire) {
        guard wire.statements.isEnabled else {
            stages = [{ self.query.send(on: $0) }]
            return
        }
        let (name, isPrepared) = wire.statements.name(for: query)
        self.name = name
        if !isPrepared { stages.append { self.query.prepare(as: name, on: $0) } }
        stages.append {
            // What came back so far was about preparing.
            self.results = []
            wire.statements.didPrepare(name)
            return self.query.send(prepared: name, on: $0)
        }
    }

    override func forgetPlan(on wire: Wire) -> Bool {
        guard let name, let error else { return false }
        wire.statements.forget(name, after: error)
        return true
    }
}

/// Many statements in one round trip, each with a synchronisation point of its own.
final class PipelineOperation: Operation {
    private enum Name {
        /// Used without being prepared.
        case unnamed
        case prepared(String)
        /// Prepared in this pipeline.
        case new(String)
    }

    private let queries: [PostgresQuery]
    /// One of each statement, in order; the continuation's results are not used.
    private var outcomes: [Result<ResultHandle, PostgresError>] = []
    private var last: Result<ResultHandle, PostgresError>?
    private var names: [Name] = []
    private var prepared: [String] = []
    private let deliver: ([Result<ResultHandle, PostgresError>]) -> Void

    init(_ queries: [PostgresQuery], deliver: @escaping ([Result<ResultHandle, PostgresError>]) -> Void) {
        self.queries = queries
        self.deliver = deliver
    }

    override func begin(on wire: Wire) {
        var new: Set<String> = []
        names = queries.map { query in
            guard wire.statements.isEnabled else { return .unnamed }
            let (name, isPrepared) = wire.statements.name(for: query)
            if isPrepared { return .prepared(name) }
            // Whether the first of several prepares well is not known yet, so the others do without.
            return new.insert(name).inserted ? .new(name) : .unnamed
        }
        stages = [send]
    }

    private func send(on connection: OpaquePointer) -> Bool {
        guard PQenterPipelineMode(connection) == 1 else { return false }
        for (query, name) in zip(queries, names) {
            let isSent =
                switch name {
                case .unnamed: query.send(on: connection)
                case .prepared(let name): query.send(prepared: name, on: connection)
                case .new(let name):
                    query.prepare(as: name, on: connection) && query.send(prepared: name, on: connection)
                }
            guard isSent, PQpipelineSync(connection) == 1 else { return false }
        }
        return true
    }

    override func take(_ result: ResultHandle?, _ connection: OpaquePointer) -> Progress {
        // Between the results of two statements libpq gives a nil.
        guard PQpipelineStatus(connection) != PQ_PIPELINE_OFF, let result else {
            return outcomes.count == queries.count ? .stageEnded : .more
        }
        switch PQresultStatus(result.pointer) {
        case PGRES_PIPELINE_SYNC:
            outcomes.append(last ?? .failure(PostgresError(.server, "the statement gave no result")))
            last = nil
            if outcomes.count == queries.count {
                PQexitPipelineMode(connection)
                return .stageEnded
            }
        case PGRES_FATAL_ERROR, PGRES_BAD_RESPONSE:
            if case .failure = last { break }
            let error = PostgresError(result: result.pointer)
            last = .failure(wasCancelled && error.sqlState == "57014" ? .cancelled : error)
        case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
            return .lost(PostgresError(.server, "COPY is not supported in a pipeline", sqlState: "0A000"))
        case PGRES_PIPELINE_ABORTED: break
        default:
            if case .failure = last { break }
            // The result of preparing comes first, and the statement's own takes its place.
            if last == nil, case .new(let name) = names[outcomes.count] { prepared.append(name) }
            last = .success(result)
        }
        return .more
    }

    override func end(on wire: Wire) {
        for name in prepared { wire.statements.didPrepare(name) }
        for (name, outcome) in zip(names, outcomes) {
            guard case .failure(let error) = outcome, error.isStalePlan, case .prepared(let name) = name else {
                continue
            }
            wire.statements.forget(name, after: error)
        }
        if error == nil { deliver(outcomes) }
    }
}

/// COPY … FROM STDIN.
final class CopyOperation: Operation {
    private var chunks: ArraySlice<[UInt8]>
    private var pouring = false
    override var isPouring: Bool { pouring }

    init(_ sql: String, chunks: [[UInt8]]) {
        self.chunks = chunks[...]
        super.init()
        stages = [{ PQsendQuery($0, sql) == 1 }]
    }

    override func take(_ result: ResultHandle?, _ connection: OpaquePointer) -> Progress {
        guard let result, PQresultStatus(result.pointer) == PGRES_COPY_IN else { return super.take(result, connection) }
        pouring = true
        return .copying
    }

    override func pour(_ connection: OpaquePointer) -> Bool {
        guard pouring else { return false }
        if !wasCancelled, let chunk = chunks.popFirst() {
            return chunk.withUnsafeBytes {
                PQputCopyData(connection, $0.bindMemory(to: CChar.self).baseAddress, Int32(chunk.count)) == 1
            }
        }
        pouring = false
        return PQputCopyEnd(connection, wasCancelled ? "the task was cancelled" : nil) == 1
    }
}

/// Drops prepared statements that nobody will use again. Nobody waits for it, and what fails does not matter: a
/// statement that is gone already.
final class DeallocateOperation: Operation {
    init(_ names: [String]) {
        super.init()
        stages = names.map { name in { PQsendQuery($0, "deallocate \(name)") == 1 } }
    }

    override func take(_ result: ResultHandle?, _ connection: OpaquePointer) -> Progress {
        result == nil ? .stageEnded : .more
    }
}

extension PostgresQuery {
    func prepare(as name: String, on connection: OpaquePointer) -> Bool {
        binds.withArrays { count, types, _, _, _ in PQsendPrepare(connection, name, sql, count, types) == 1 }
    }
    func send(prepared name: String, on connection: OpaquePointer) -> Bool {
        binds.withArrays { count, _, values, lengths, formats in
            PQsendQueryPrepared(connection, name, count, values, lengths, formats, 1) == 1
        }
    }
    func send(on connection: OpaquePointer) -> Bool {
        binds.withArrays { count, types, values, lengths, formats in
            PQsendQueryParams(connection, sql, count, types, values, lengths, formats, 1) == 1
        }
    }
}

/// The names under which statements are prepared on one connection; the one used longest ago makes way.
struct StatementCache {
    private struct Key: Hashable {
        let sql: String
        let types: [UInt32]
    }
    var isEnabled = true
    private let capacity = 256
    /// Behind a pooler a name could be that of another client's statement. So no two connections share names, and such
    /// a statement is missing instead of being the wrong one.
    private let prefix = "p" + String(UInt64.random(in: 0 ... .max), radix: 36) + "_"
    private var names: [Key: String] = [:]
    private var keys: [String: Key] = [:]
    private var prepared: Set<String> = []
    private var lastUse: [String: UInt64] = [:]
    private var uses: UInt64 = 0
    /// In the server, and not needed any more.
    private var garbage: [String] = []

    mutating func name(for query: PostgresQuery) -> (name: String, isPrepared: Bool) {
        uses += 1
        let key = Key(sql: query.sql, types: query.binds.types)
        if let name = names[key] {
            lastUse[name] = uses
            return (name, prepared.contains(name))
        }
        if names.count >= capacity, let oldest = lastUse.min(by: { $0.value < $1.value })?.key { remove(oldest) }
        let name = prefix + String(uses)
        names[key] = name
        keys[name] = key
        lastUse[name] = uses
        return (name, false)
    }

    mutating func didPrepare(_ name: String) {
        // It may have made way meanwhile.
        if keys[name] == nil { garbage.append(name) } else { prepared.insert(name) }
    }

    /// Forgets a statement whose plan is stale.
    mutating func forget(_ name: String, after error: PostgresError) {
        guard error.sqlState == "26000" else { return remove(name) }
        // The server forgot it: somebody said `deallocate all` or `discard all`, so the others are gone too.
        (names, keys, prepared, lastUse, garbage) = ([:], [:], [], [:], [])
    }

    private mutating func remove(_ name: String) {
        if let key = keys.removeValue(forKey: name) { names[key] = nil }
        lastUse[name] = nil
        if prepared.remove(name) != nil { garbage.append(name) }
    }

    /// What to drop from the server, once it is worth the round trips.
    mutating func takeGarbage() -> [String]? {
        guard garbage.count >= 32 else { return nil }
        defer { garbage = [] }
        return garbage
    }
}
