/// An update that a workflow task delivers to a run's code.
public struct UpdateRequest: Sendable, Hashable {
    public let updateID: String
    public let name: String
    public var input: [Payload]
    /// What came beside the input.
    public let headers: [String: Payload]

    public init(updateID: String, name: String, headers: [String: Payload] = [:], input: [Payload]) {
        self.updateID = updateID
        self.name = name
        self.headers = headers
        self.input = input
    }

    /// - Parameter json: `temporal.api.update.v1.Request`.
    public init(json: JSON) throws {
        updateID = json["meta"]?["updateId"]?.stringValue ?? ""
        name = json["input"]?["name"]?.stringValue ?? ""
        headers = try [String: Payload](json: json["input"]?["header"])
        input = try [Payload](json: json["input"]?["args"])
    }
}

/// Where an update stands.
public enum UpdateState: Sendable, Hashable {
    /// It waits for a worker.
    case admitted
    /// Its handler runs.
    case accepted
    case completed(Result<[Payload], Failure>)
    /// The run's code did not take it: the history does not tell of it.
    case rejected(Failure)
    /// Its run closed before its code saw it.
    case aborted
}

/// What a run's code says of an update when it completes a workflow task.
public struct UpdateMessage: Sendable, Hashable {
    // Indirect, because each command has space for a message.
    public indirect enum Kind: Sendable, Hashable {
        /// - Parameter sequencingEventID: the event behind which the update was delivered.
        case acceptance(sequencingEventID: Int64)
        case rejection(Failure)
        case response(Result<[Payload], Failure>)
    }

    public let updateID: String
    public let kind: Kind

    public init(updateID: String, _ kind: Kind) {
        self.updateID = updateID
        self.kind = kind
    }

    public var isRejection: Bool {
        if case .rejection = kind { true } else { false }
    }

    /// Unique in a workflow task.
    var id: String {
        switch kind {
        case .acceptance: "\(updateID)/accept"
        case .rejection: "\(updateID)/reject"
        case .response: "\(updateID)/complete"
        }
    }

    /// The command that says where its event stands among the others.
    public var command: Command {
        var command = Command(commandType: .protocolMessage, attributes: ["messageId": .string(id)])
        command.message = self
        return command
    }

    /// `temporal.api.protocol.v1.Message`.
    public var json: JSON {
        var body: JSON
        switch kind {
        case .acceptance(let event):
            body = [
                "@type": "temporal.api.update.v1.Acceptance",
                "acceptedRequestMessageId": .string("\(updateID)/request"),
                "acceptedRequestSequencingEventId": .number(event),
            ]
        case .rejection(let failure):
            body = ["@type": "temporal.api.update.v1.Rejection", "failure": failure.json]
        case .response(let result):
            body = ["@type": "temporal.api.update.v1.Response"]
            switch result {
            case .success(let payloads): body["outcome"] = ["success": payloads.json]
            case .failure(let failure): body["outcome"] = ["failure": failure.json]
            }
        }
        return ["id": .string(id), "protocolInstanceId": .string(updateID), "body": body]
    }
}
