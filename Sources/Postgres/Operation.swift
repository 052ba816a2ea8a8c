import CLibPQ

/// Something to be done on a connection: stages that are sent one after another, and what came back.
///
/// Lives on the wire's queue from the moment it is made.
class Operation {
    typealias Stage = (OpaquePointer) -> Bool
    enum Progress { case more, stageEnded, feeding }

    var continuation: CheckedContinuation<[ResultHandle], any Error>?
    var ticket: UInt64 = 0
    var stages: [Stage] = []
    var results: [ResultHandle] = []
    var error: PostgresError?
    var wasCancelled = false
    var wasRetried = false
    /// Goes on sending when the socket takes more.
    var feed: ((OpaquePointer) -> Void)?

    func begin(on wire: Wire) {}
    func end(on wire: Wire) {}
    /// Sets the stages up anew after a stale plan; false if there is nothing to try.
    func retry(on wire: Wire) -> Bool { false }

    func nextStage() -> Stage? { stages.isEmpty ? nil : stages.removeFirst() }

    func take(_ result: ResultHandle?, _ connection: OpaquePointer) -> Progress {
        guard let result else { return .stageEnded }
        switch PQresultStatus(result.pointer) {
        case PGRES_FATAL_ERROR, PGRES_BAD_RESPONSE:
            if error == nil { error = PostgresError(result: result.pointer) }
            stages = []
        case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
            error = PostgresError(.server, "COPY needs copyIn", sqlState: "0A000")
            PQputCopyEnd(connection, "not asked for")
        default: results.append(result)
        }
        return .more
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
        let (name, isNew, evicted) = wire.statements.name(for: query)
        self.name = name
        if let evicted { stages.append { PQsendQuery($0, "deallocate \(evicted)") == 1 } }
        if isNew { stages.append { self.query.prepare(as: name, on: $0) } }
        stages.append {
            // What came back so far was about preparing.
            self.results = []
            return self.query.send(prepared: name, on: $0)
        }
    }

    override func end(on wire: Wire) {
        if error != nil, let name {
            wire.statements.forgetIfUnproven(name)
        } else if let name {
            wire.statements.prove(name)
        }
    }

    override func retry(on wire: Wire) -> Bool {
        guard let name else { return false }
        let wasForgotten = error?.sqlState == "26000"
        wasRetried = true
        error = nil
        results = []
        wire.statements.forget(name)
        begin(on: wire)
        if !wasForgotten { stages.insert({ PQsendQuery($0, "deallocate \(name)") == 1 }, at: 0) }
        return true
    }
}

/// Many statements in one round trip, each with a synchronisation point of its own.
final class PipelineOperation: Operation {
    private let queries: [PostgresQuery]
    /// One of each statement, in order; the continuation's results are not used.
    private(set) var outcomes: [Result<ResultHandle, PostgresError>] = []
    private var last: Result<ResultHandle, PostgresError>?
    private var names: [String?] = []
    private let deliver: ([Result<ResultHandle, PostgresError>]) -> Void

    init(_ queries: [PostgresQuery], deliver: @escaping ([Result<ResultHandle, PostgresError>]) -> Void) {
        self.queries = queries
        self.deliver = deliver
    }

    override func begin(on wire: Wire) {
        // Statements that fall out of the cache are deallocated before, for a pipeline takes no simple queries.
        var prepared: [(name: String, isNew: Bool)?] = []
        for query in queries {
            guard wire.statements.isEnabled else {
                prepared.append(nil)
                continue
            }
            let (name, isNew, evicted) = wire.statements.name(for: query)
            if let evicted { stages.append { PQsendQuery($0, "deallocate \(evicted)") == 1 } }
            prepared.append((name, isNew))
        }
        names = prepared.map { $0?.name }
        stages.append { connection in
            guard PQenterPipelineMode(connection) == 1 else { return false }
            for (query, statement) in zip(self.queries, prepared) {
                if let statement {
                    if statement.isNew, !query.prepare(as: statement.name, on: connection) { return false }
                    guard query.send(prepared: statement.name, on: connection) else { return false }
                } else if !query.send(on: connection) {
                    return false
                }
                guard PQpipelineSync(connection) == 1 else { return false }
            }
            return true
        }
    }

    override func take(_ result: ResultHandle?, _ connection: OpaquePointer) -> Progress {
        guard PQpipelineStatus(connection) != PQ_PIPELINE_OFF else { return super.take(result, connection) }
        // Between the results of two statements libpq gives a nil.
        guard let result else { return .more }
        switch PQresultStatus(result.pointer) {
        case PGRES_PIPELINE_SYNC:
            outcomes.append(last ?? .failure(PostgresError(.server, "the statement gave no result")))
            last = nil
            if outcomes.count == queries.count {
                PQexitPipelineMode(connection)
                return .stageEnded
            }
        case PGRES_FATAL_ERROR, PGRES_BAD_RESPONSE:
            if case .failure = last {} else { last = .failure(PostgresError(result: result.pointer)) }
        case PGRES_PIPELINE_ABORTED: break
        default: if case .failure = last {} else { last = .success(result) }
        }
        return .more
    }

    override func end(on wire: Wire) {
        for (name, outcome) in zip(names, outcomes) {
            guard let name else { continue }
            switch outcome {
            case .success: wire.statements.prove(name)
            case .failure: wire.statements.forgetIfUnproven(name)
            }
        }
        if error == nil { deliver(outcomes) }
    }
}

/// COPY … FROM STDIN.
final class CopyOperation: Operation {
    private var chunks: ArraySlice<[UInt8]>

    init(_ sql: String, chunks: [[UInt8]]) {
        self.chunks = chunks[...]
        super.init()
        stages = [{ PQsendQuery($0, sql) == 1 }]
    }

    override func take(_ result: ResultHandle?, _ connection: OpaquePointer) -> Progress {
        if let result, PQresultStatus(result.pointer) == PGRES_COPY_IN {
            feed = { [unowned self] in self.pour($0) }
            pour(connection)
            return .more
        }
        return super.take(result, connection)
    }

    private func pour(_ connection: OpaquePointer) {
        while let chunk = chunks.first {
            let sent = chunk.withUnsafeBytes {
                PQputCopyData(connection, $0.bindMemory(to: CChar.self).baseAddress, Int32(chunk.count))
            }
            guard sent == 1 else { break }
            chunks = chunks.dropFirst()
        }
        if chunks.isEmpty {
            feed = nil
            PQputCopyEnd(connection, nil)
            PQflush(connection)
        }
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
    private var names: [Key: String] = [:]
    private var keys: [String: Key] = [:]
    private var proven: Set<String> = []
    private var lastUse: [String: UInt64] = [:]
    private var uses: UInt64 = 0

    mutating func name(for query: PostgresQuery) -> (name: String, isNew: Bool, evicted: String?) {
        uses += 1
        let key = Key(sql: query.sql, types: query.binds.types)
        if let name = names[key] {
            lastUse[name] = uses
            return (name, false, nil)
        }
        var evicted: String?
        if names.count >= capacity, let oldest = lastUse.min(by: { $0.value < $1.value })?.key {
            evicted = proven.contains(oldest) ? oldest : nil
            forget(oldest)
        }
        let name = "p\(uses)"
        names[key] = name
        keys[name] = key
        lastUse[name] = uses
        return (name, true, evicted)
    }

    mutating func prove(_ name: String) { proven.insert(name) }

    /// A statement that failed before it ever succeeded may not have been prepared at all.
    mutating func forgetIfUnproven(_ name: String) { if !proven.contains(name) { forget(name) } }

    mutating func forget(_ name: String) {
        if let key = keys.removeValue(forKey: name) { names[key] = nil }
        lastUse[name] = nil
        proven.remove(name)
    }
}
