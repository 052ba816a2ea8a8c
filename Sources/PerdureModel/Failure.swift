/// Why something failed, in Temporal's structure: what happened, where, of which kind, and what caused it.
public struct Failure: Error, Sendable, Hashable {
    public enum Kind: Sendable, Hashable {
        /// Thrown by an activity's or a workflow's own code. `type` is what retry policies and callers compare.
        case application(type: String, nonRetryable: Bool, details: [Payload])
        case timeout(TimeoutType, lastHeartbeatDetails: [Payload])
        case canceled(details: [Payload])
        case terminated
        case server(nonRetryable: Bool)
        /// An activity failed for good; the cause says why.
        case activity(Activity)
        /// A child workflow failed for good; the cause says why.
        case childWorkflow(ChildWorkflow)
    }

    public struct Activity: Sendable, Hashable {
        public var scheduledEventId: Int64
        public var startedEventId: Int64
        public var identity: String
        public var activityType: String
        public var activityId: String
        public var retryState: RetryState?

        public init(
            scheduledEventId: Int64, startedEventId: Int64, identity: String = "", activityType: String,
            activityId: String, retryState: RetryState? = nil
        ) {
            self.scheduledEventId = scheduledEventId
            self.startedEventId = startedEventId
            self.identity = identity
            self.activityType = activityType
            self.activityId = activityId
            self.retryState = retryState
        }
    }

    public struct ChildWorkflow: Sendable, Hashable {
        public var namespace: String
        public var workflowId: String
        public var runId: String
        public var workflowType: String
        public var initiatedEventId: Int64
        public var startedEventId: Int64
        public var retryState: RetryState?

        public init(
            namespace: String, workflowId: String, runId: String, workflowType: String, initiatedEventId: Int64,
            startedEventId: Int64, retryState: RetryState? = nil
        ) {
            self.namespace = namespace
            self.workflowId = workflowId
            self.runId = runId
            self.workflowType = workflowType
            self.initiatedEventId = initiatedEventId
            self.startedEventId = startedEventId
            self.retryState = retryState
        }
    }

    public var message: String {
        get { parts.message }
        set { parts.message = newValue }
    }
    /// The SDK that made it.
    public var source: String {
        get { parts.source }
        set { parts.source = newValue }
    }
    public var stackTrace: String {
        get { parts.stackTrace }
        set { parts.stackTrace = newValue }
    }
    /// The message and the stack trace as a payload, which a codec can encrypt; nil if they stand in their own places.
    public var encodedAttributes: Payload? {
        get { parts.encodedAttributes }
        set { parts.encodedAttributes = newValue }
    }
    public var kind: Kind {
        get { parts.kind }
        set { parts.kind = newValue }
    }
    public var cause: Failure? {
        get { parts.cause }
        set { parts.cause = newValue }
    }

    public init(
        message: String, source: String = "PerdureSwift", stackTrace: String = "", cause: Failure? = nil, kind: Kind
    ) {
        box = .box(Parts(message: message, source: source, stackTrace: stackTrace, kind: kind, cause: cause))
    }

    private struct Parts: Sendable, Hashable {
        var message: String
        var source: String
        var stackTrace: String
        var encodedAttributes: Payload?
        var kind: Kind
        var cause: Failure?
    }

    /// Commands, results and outcomes have space for a failure, seldom have one, and are copied often. So a failure is
    /// one reference.
    private indirect enum Box: Sendable, Hashable {
        case box(Parts)
    }

    private var box: Box

    private var parts: Parts {
        get {
            switch box {
            case .box(let parts): parts
            }
        }
        set { box = .box(newValue) }
    }
}

extension Failure {
    /// A failure of application code.
    public static func application(
        _ message: String, type: String = "", nonRetryable: Bool = false, details: [Payload] = [],
        stackTrace: String = "", cause: Failure? = nil
    ) -> Failure {
        Failure(
            message: message, stackTrace: stackTrace, cause: cause,
            kind: .application(type: type, nonRetryable: nonRetryable, details: details))
    }

    /// True for a cancellation, or an activity or a child workflow that ended by one.
    public var isCancellation: Bool {
        switch kind {
        case .canceled: true
        case .activity, .childWorkflow: cause?.isCancellation ?? false
        default: false
        }
    }

    /// This failure and what caused it, outermost first.
    public var chain: some Sequence<Failure> { sequence(first: self, next: \.cause) }
}

extension Failure: CustomStringConvertible {
    public var description: String { chain.map(\.message).joined(separator: ": ") }
}

// MARK: - Wire form

extension Failure {
    /// Reads the wire form. A kind this version does not know reads as a retryable application failure.
    public init(json: JSON) throws(PayloadError) {
        func string(_ json: JSON?, _ key: String) -> String { json?[key]?.stringValue ?? "" }
        func name(_ json: JSON, _ key: String) -> String { json[key]?["name"]?.stringValue ?? string(json, key) }
        guard case .object = json else { throw PayloadError(reason: "a failure is an object, not \(json)") }

        let kind: Kind
        if let info = json["applicationFailureInfo"] {
            kind = .application(
                type: string(info, "type"), nonRetryable: info["nonRetryable"]?.boolValue ?? false,
                details: try [Payload](json: info["details"]))
        } else if let info = json["timeoutFailureInfo"] {
            kind = .timeout(
                TimeoutType(rawValue: string(info, "timeoutType")),
                lastHeartbeatDetails: try [Payload](json: info["lastHeartbeatDetails"]))
        } else if let info = json["canceledFailureInfo"] {
            kind = .canceled(details: try [Payload](json: info["details"]))
        } else if json["terminatedFailureInfo"] != nil {
            kind = .terminated
        } else if let info = json["serverFailureInfo"] {
            kind = .server(nonRetryable: info["nonRetryable"]?.boolValue ?? false)
        } else if let info = json["activityFailureInfo"] {
            kind = .activity(
                Activity(
                    scheduledEventId: info["scheduledEventId"]?.int64Value ?? 0,
                    startedEventId: info["startedEventId"]?.int64Value ?? 0, identity: string(info, "identity"),
                    activityType: name(info, "activityType"), activityId: string(info, "activityId"),
                    retryState: info["retryState"]?.stringValue.map(RetryState.init(rawValue:))))
        } else if let info = json["childWorkflowExecutionFailureInfo"] {
            let execution = info["workflowExecution"]
            kind = .childWorkflow(
                ChildWorkflow(
                    namespace: string(info, "namespace"), workflowId: string(execution, "workflowId"),
                    runId: string(execution, "runId"), workflowType: name(info, "workflowType"),
                    initiatedEventId: info["initiatedEventId"]?.int64Value ?? 0,
                    startedEventId: info["startedEventId"]?.int64Value ?? 0,
                    retryState: info["retryState"]?.stringValue.map(RetryState.init(rawValue:))))
        } else {
            kind = .application(type: "", nonRetryable: false, details: [])
        }
        var cause: Failure?
        if let inner = json["cause"], !inner.isNull { cause = try Failure(json: inner) }
        self.init(
            message: string(json, "message"), source: string(json, "source"), stackTrace: string(json, "stackTrace"),
            cause: cause, kind: kind)
        if let attributes = json["encodedAttributes"], !attributes.isNull {
            encodedAttributes = try Payload(json: attributes)
        }
    }

    /// The wire form. Texts of more than 512 KiB are cut, and a chain of more than 100 causes ends there.
    public var json: JSON { json(causes: Limits.causes) }

    private func json(causes left: Int) -> JSON {
        func orNil(_ text: String) -> JSON? { text.isEmpty ? nil : .string(text.cut(toBytes: Limits.failureText)) }
        func orNil(_ payloads: [Payload]) -> JSON? { payloads.isEmpty ? nil : payloads.json }
        var json = JSON.compact([
            "message": .string(message.cut(toBytes: Limits.failureText)), "source": orNil(source),
            "stackTrace": orNil(stackTrace), "encodedAttributes": encodedAttributes?.json,
            "cause": left > 0 ? cause?.json(causes: left - 1) : nil,
        ])
        switch kind {
        case .application(let type, let nonRetryable, let details):
            json["applicationFailureInfo"] = .compact([
                "type": .string(type), "nonRetryable": .bool(nonRetryable), "details": orNil(details),
            ])
        case .timeout(let type, let details):
            json["timeoutFailureInfo"] = .compact([
                "timeoutType": .string(type.rawValue), "lastHeartbeatDetails": orNil(details),
            ])
        case .canceled(let details): json["canceledFailureInfo"] = .compact(["details": orNil(details)])
        case .terminated: json["terminatedFailureInfo"] = [:]
        case .server(let nonRetryable): json["serverFailureInfo"] = ["nonRetryable": .bool(nonRetryable)]
        case .activity(let activity):
            json["activityFailureInfo"] = .compact([
                "scheduledEventId": .number(activity.scheduledEventId),
                "startedEventId": .number(activity.startedEventId), "identity": orNil(activity.identity),
                "activityType": ["name": .string(activity.activityType)], "activityId": .string(activity.activityId),
                "retryState": activity.retryState.map { .string($0.rawValue) },
            ])
        case .childWorkflow(let child):
            json["childWorkflowExecutionFailureInfo"] = .compact([
                "namespace": .string(child.namespace),
                "workflowExecution": ["workflowId": .string(child.workflowId), "runId": .string(child.runId)],
                "workflowType": ["name": .string(child.workflowType)],
                "initiatedEventId": .number(child.initiatedEventId), "startedEventId": .number(child.startedEventId),
                "retryState": child.retryState.map { .string($0.rawValue) },
            ])
        }
        return json
    }
}
