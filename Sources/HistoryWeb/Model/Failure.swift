import PerdureModel

extension Failure {
    /// A failure to show. What is no failure is shown as its text.
    init(shown json: JSON) {
        do {
            self = try Failure(json: json)
        } catch {
            self = .application(json.text("message") ?? json.text)
        }
        self = withDecodedAttributes
        if message.isEmpty { message = "no message" }
    }

    /// With message and stack trace where they stand as a payload that can be read.
    private var withDecodedAttributes: Failure {
        var shown = self
        shown.cause = cause?.withDecodedAttributes
        guard let texts = encodedAttributes?.data, encodedAttributes?.encoding == "json/plain" else { return shown }
        shown.message = texts.text("message") ?? message
        shown.stackTrace = texts.text("stack_trace") ?? stackTrace
        shown.encodedAttributes = nil
        return shown
    }

    /// What went wrong in the end: the innermost cause.
    var root: Failure { chain.reduce(self) { $1 } }

    /// The error's type, the type of the activity or child workflow that failed, or what kind of failure it is.
    var shownType: String {
        switch kind {
        case .application(let type, _, _): type.isEmpty ? "application" : type
        case .timeout: "timeout"
        case .canceled: "canceled"
        case .terminated: "terminated"
        case .server: "server"
        case .activity(let activity): activity.activityType
        case .childWorkflow(let child): child.workflowType
        }
    }

    /// What else is known: the retry state, which time ran out, whether it may be retried.
    var facts: [String] {
        (encodedAttributes.map { ["message encoded as \($0.encoding)"] } ?? []) + factsOfKind
    }

    private var factsOfKind: [String] {
        switch kind {
        case .application(_, let nonRetryable, _), .server(let nonRetryable): nonRetryable ? ["not retryable"] : []
        case .timeout(let type, _): ["timeout: \(type)"]
        case .canceled, .terminated: []
        case .activity(let activity):
            Self.facts(activity.retryState) + (activity.activityId.isEmpty ? [] : ["activity \(activity.activityId)"])
                + (activity.identity.isEmpty ? [] : ["worker \(activity.identity)"])
        case .childWorkflow(let child): Self.facts(child.retryState) + ["workflow \(child.workflowId)"]
        }
    }

    var details: [Payload] {
        switch kind {
        case .application(_, _, let details), .timeout(_, let details), .canceled(let details): details
        default: []
        }
    }

    private static func facts(_ state: RetryState?) -> [String] { state.map { ["retry state: \($0)"] } ?? [] }
}
