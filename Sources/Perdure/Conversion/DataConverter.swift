import PerdureEngine

/// How values and errors of workflows and activities become what histories hold, and back.
///
/// Client and worker have one each; let them be alike. Values go through the payload converter in the workflow's own
/// code, errors through the failure converter, and both then through the codec at the edge: as the worker or the client
/// talks to the database. So a codec may wait, as for a key, without the history deciding when.
///
/// ```swift
/// let converter = DataConverter(
///     failureConverter: DefaultFailureConverter(encodeCommonAttributes: true), payloadCodec: AESGCMCodec(key: key))
/// let client = PerdureClient(pool: pool, dataConverter: converter)
/// var options = WorkerOptions(taskQueue: "orders")
/// options.dataConverter = converter
/// ```
public struct DataConverter: Sendable {
    public var payloadConverter: any PayloadConverter
    public var failureConverter: any FailureConverter
    /// Applied to payloads on their way to the database and back; nil leaves them as they are. Headers and search
    /// attributes never go through it.
    public var payloadCodec: (any PayloadCodec)?

    /// Codable values as JSON, bytes as they are, and no codec.
    public static let `default` = DataConverter()

    public init(
        payloadConverter: any PayloadConverter = DefaultPayloadConverter(),
        failureConverter: any FailureConverter = DefaultFailureConverter(), payloadCodec: (any PayloadCodec)? = nil
    ) {
        self.payloadConverter = payloadConverter
        self.failureConverter = failureConverter
        self.payloadCodec = payloadCodec
    }
}

// MARK: - In the code

extension DataConverter {
    /// `Void` as nothing, payloads as they are, any other value as one payload.
    func encode<Value>(_ value: Value) throws -> [Payload] {
        if Value.self == Void.self { return [] }
        // Not by as?: an empty array of anything is an empty array of payloads too.
        if Value.self == [Payload].self, let payloads = value as? [Payload] { return payloads }
        return [try payloadConverter.convertValue(value)]
    }

    func decode<Value>(_ type: Value.Type = Value.self, from payloads: [Payload]) throws -> Value {
        if let void = () as? Value { return void }
        if type == [Payload].self, let payloads = payloads as? Value { return payloads }
        return try payloadConverter.convertPayload(payloads.first ?? .null, as: type)
    }

    func encode(memo: [String: any Encodable & Sendable]) throws -> JSON? {
        try memo.mapValues { try payloadConverter.convertValue($0) }.orLeftOut
    }

    /// What stands beside an event for people.
    ///
    /// - Returns: nil when nothing is said.
    func encode(userMetadata summary: String?, _ details: String? = nil) throws -> JSON? {
        guard summary != nil || details != nil else { return nil }
        return .compact([
            "summary": try summary.map { try payloadConverter.convertValue($0).json },
            "details": try details.map { try payloadConverter.convertValue($0).json },
        ])
    }

    /// What histories hold of an error.
    func failure(_ error: any Error) -> Failure {
        failureConverter.convertError(error, payloadConverter: payloadConverter)
    }

    /// What code catches for a failure of a history.
    func error(_ failure: Failure) -> any FailureError {
        failureConverter.convertFailure(failure, payloadConverter: payloadConverter)
    }
}

// MARK: - At the edge

extension DataConverter {
    func encoded(_ payloads: [Payload]) async throws -> [Payload] {
        guard let payloadCodec, !payloads.isEmpty else { return payloads }
        return try await payloadCodec.encode(payloads: payloads)
    }

    func decoded(_ payloads: [Payload]) async throws -> [Payload] {
        guard let payloadCodec, !payloads.isEmpty else { return payloads }
        return try await payloadCodec.decode(payloads: payloads)
    }

    /// A failure is told even if the codec cannot encode it: without what it was to hide.
    func encoded(_ failure: Failure) async -> Failure {
        guard let payloadCodec else { return failure }
        do {
            return try await Failure(
                json: PayloadPlaces.map(failure.json) { try await payloadCodec.encode(payloads: $0) })
        } catch {
            return failure.withoutPayloads("the codec did not encode the failure: \(error)")
        }
    }

    /// A failure for whoever waits for a result.
    func shown(_ failure: Failure) async throws -> Failure {
        guard let payloadCodec else { return error(failure).failure }
        let decoded = try await PayloadPlaces.map(failure.json) { try await payloadCodec.decode(payloads: $0) }
        return error(try Failure(json: decoded)).failure
    }

    func encoded(memo: JSON?) async throws -> JSON? {
        guard let payloadCodec, let memo else { return memo }
        return try await PayloadPlaces.map(["memo": memo]) { try await payloadCodec.encode(payloads: $0) }["memo"]
    }

    func decoded(memo: JSON) async throws -> JSON {
        guard let payloadCodec else { return memo }
        return try await PayloadPlaces.map(["memo": memo]) { try await payloadCodec.decode(payloads: $0) }["memo"]
            ?? memo
    }

    func decoded(_ task: ClaimedActivityTask) async throws -> ClaimedActivityTask {
        guard payloadCodec != nil else { return task }
        var decoded = task
        decoded.input = try await self.decoded(task.input)
        decoded.heartbeatDetails = try await self.decoded(task.heartbeatDetails)
        return decoded
    }

    func encoded(_ commands: [Command]) async throws -> [Command] {
        guard let payloadCodec else { return commands }
        var encoded: [Command] = []
        for var command in commands {
            command.attributes = try await PayloadPlaces.map(command.attributes) {
                try await payloadCodec.encode(payloads: $0)
            }
            if let message = command.message { command.message = try await self.encoded(message) }
            command.userMetadata = try await self.encoded(memo: command.userMetadata)
            encoded.append(command)
        }
        return encoded
    }

    private func encoded(_ message: UpdateMessage) async throws -> UpdateMessage {
        switch message.kind {
        case .acceptance: message
        case .rejection(let failure): UpdateMessage(updateID: message.updateID, .rejection(await encoded(failure)))
        case .response(.success(let result)):
            UpdateMessage(updateID: message.updateID, .response(.success(try await encoded(result))))
        case .response(.failure(let failure)):
            UpdateMessage(updateID: message.updateID, .response(.failure(await encoded(failure))))
        }
    }

    func decoded(_ events: [HistoryEvent]) async throws -> [HistoryEvent] {
        guard let payloadCodec else { return events }
        var decoded: [HistoryEvent] = []
        for var event in events {
            do {
                event.attributes = try await PayloadPlaces.map(event.attributes) {
                    try await payloadCodec.decode(payloads: $0)
                }
            } catch {
                throw PayloadError(reason: "the codec did not decode event \(event.eventId): \(error)")
            }
            decoded.append(event)
        }
        return decoded
    }

    func decoded(_ updates: [UpdateRequest]) async throws -> [UpdateRequest] {
        guard payloadCodec != nil else { return updates }
        var decoded: [UpdateRequest] = []
        for var update in updates {
            update.input = try await self.decoded(update.input)
            decoded.append(update)
        }
        return decoded
    }
}

extension Failure {
    /// What remains of it for whoever has no codec.
    fileprivate func withoutPayloads(_ reason: String) -> Failure {
        var bare = self
        bare.encodedAttributes = nil
        bare.message = encodedAttributes == nil ? message : reason
        bare.cause = cause?.withoutPayloads(reason)
        switch kind {
        case .application(let type, let nonRetryable, _):
            bare.kind = .application(type: type, nonRetryable: nonRetryable, details: [])
        case .timeout(let type, _): bare.kind = .timeout(type, lastHeartbeatDetails: [])
        case .canceled: bare.kind = .canceled(details: [])
        default: break
        }
        return bare
    }
}
