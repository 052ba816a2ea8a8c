import Foundation
import PerdureEngine

/// What a worker names a task by: all that the engine wants to know to take its end.
struct TaskToken: Sendable {
    /// Which of the tasks that a worker holds it is.
    struct Key: Hashable, Sendable {
        let runID: UUID
        let scheduledEventID: Int64
        let attempt: Int32
    }

    let namespace: String
    let shard: Int16
    let worker: UUID
    /// The queue on which the worker got it, or the run's for an activity that came with a workflow task.
    let queue: String
    let workflowID: String
    /// Of a workflow task, for the activities that come with its end.
    var workflowType = ""
    let runID: UUID
    let scheduledEventID: Int64
    let attempt: Int32
    var queryID: UUID?
    /// The `WorkflowTaskStarted` of the workflow task before: where its worker goes back to if the task leaves no
    /// event.
    var previous: Int64 = 0
    /// The queries that came with a workflow task.
    var queries: [UUID] = []

    var key: Key { Key(runID: runID, scheduledEventID: scheduledEventID, attempt: attempt) }

    /// As the engine's functions name a task that is held.
    func held(_ kind: PollQueue.Kind) -> JSON {
        [
            "kind": .string(kind.rawValue), "runId": .string(runID.uuidString),
            "scheduledEventId": .number(scheduledEventID),
        ]
    }
}

// MARK: - As bytes

extension TaskToken {
    private static let version: UInt8 = 1

    /// As a field of bytes in JSON.
    var json: JSON {
        var bytes: [UInt8] = [Self.version]
        func append(_ number: some FixedWidthInteger) {
            withUnsafeBytes(of: number.bigEndian) { bytes.append(contentsOf: $0) }
        }
        func append(_ id: UUID) { withUnsafeBytes(of: id.uuid) { bytes.append(contentsOf: $0) } }
        func append(_ text: String) {
            append(UInt16(clamping: text.utf8.count))
            bytes.append(contentsOf: text.utf8)
        }
        append(shard)
        append(worker)
        append(runID)
        append(scheduledEventID)
        append(attempt)
        append(previous)
        append(namespace)
        append(queue)
        append(workflowID)
        append(workflowType)
        append(UInt8(queryID == nil ? 0 : 1))
        if let queryID { append(queryID) }
        for query in queries { append(query) }
        return .string(Data(bytes).base64EncodedString())
    }

    init(_ request: JSON) throws {
        guard let data = Data(base64Encoded: request.text("taskToken")), let token = Self.read(Array(data)) else {
            throw CallError.invalidArgument("Invalid task token: it is not one that this server gave.")
        }
        self = token
    }

    private static func read(_ bytes: [UInt8]) -> TaskToken? {
        var rest = bytes[...]
        func take(_ count: Int) -> ArraySlice<UInt8>? {
            guard rest.count >= count else { return nil }
            defer { rest = rest.dropFirst(count) }
            return rest.prefix(count)
        }
        func number<Number: FixedWidthInteger>(_: Number.Type) -> Number? {
            take(MemoryLayout<Number>.size)?.reduce(Number(0)) { $0 << 8 | Number(truncatingIfNeeded: $1) }
        }
        func id() -> UUID? {
            take(16).map { $0.withUnsafeBytes { UUID(uuid: $0.loadUnaligned(as: uuid_t.self)) } }
        }
        func text() -> String? {
            number(UInt16.self).flatMap { take(Int($0)) }.flatMap { String(validating: $0, as: UTF8.self) }
        }
        guard take(1)?.first == version, let shard = number(Int16.self), let worker = id(), let runID = id(),
            let scheduledEventID = number(Int64.self), let attempt = number(Int32.self),
            let previous = number(Int64.self), let namespace = text(),
            let queue = text(), let workflowID = text(), let workflowType = text(), let hasQuery = number(UInt8.self)
        else { return nil }
        var token = TaskToken(
            namespace: namespace, shard: shard, worker: worker, queue: queue, workflowID: workflowID,
            workflowType: workflowType, runID: runID, scheduledEventID: scheduledEventID, attempt: attempt,
            previous: previous)
        if hasQuery == 1 {
            guard let query = id() else { return nil }
            token.queryID = query
        }
        while !rest.isEmpty {
            guard let query = id() else { return nil }
            token.queries.append(query)
        }
        return token
    }
}

/// Where a client goes on to read a history.
struct HistoryPage: Sendable {
    let runID: UUID
    let next: Int64
    /// The last event that it wants; nil for all that there are.
    var last: Int64?

    var token: JSON {
        JSON.compact(["r": .string(runID.uuidString), "f": .number(next), "u": last.map { .number($0) }]).token
    }

    init(runID: UUID, next: Int64, last: Int64? = nil) {
        self.runID = runID
        self.next = next
        self.last = last
    }

    init(token: String) throws {
        let json = try JSON(token: token)
        guard let runID = UUID(uuidString: json.text("r")) else {
            throw CallError.invalidArgument("Invalid NextPageToken.")
        }
        self.init(runID: runID, next: Int64(json.integer("f")), last: json["u"]?.int64Value)
    }
}
