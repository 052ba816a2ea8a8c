public import PerdureEngine

/// Turns errors into failures, which histories hold, and failures into the errors that code catches. It runs in the
/// workflow's own code, so it must be deterministic.
public protocol FailureConverter: Sendable {
    /// - Parameters:
    ///   - error: what a workflow, a handler or an activity has thrown.
    ///   - payloadConverter: for what becomes payloads, such as details.
    func convertError(_ error: any Error, payloadConverter: any PayloadConverter) -> Failure

    /// - Parameter failure: of an activity, a child or a workflow, with its causes.
    /// - Returns: what `executeActivity`, `result` and the like throw. A workflow that lets it through fails with it.
    func convertFailure(_ failure: Failure, payloadConverter: any PayloadConverter) -> any FailureError
}

/// An error as ``Failure/init(_:)`` has it, and a failure as ``ApplicationError``, ``ActivityError`` and the like.
public struct DefaultFailureConverter: FailureConverter {
    /// Whether messages and stack traces are payloads too, which a codec can encrypt. Histories then show
    /// `Encoded failure`, as those of Temporal's SDKs do. Failures in which they are payloads are read either way.
    public var encodeCommonAttributes: Bool

    public init(encodeCommonAttributes: Bool = false) { self.encodeCommonAttributes = encodeCommonAttributes }

    public func convertError(_ error: any Error, payloadConverter: any PayloadConverter) -> Failure {
        let failure = Failure(error)
        return encodeCommonAttributes ? hide(failure, payloadConverter) : failure
    }

    public func convertFailure(_ failure: Failure, payloadConverter: any PayloadConverter) -> any FailureError {
        show(failure, payloadConverter).error
    }

    private func hide(_ failure: Failure, _ converter: any PayloadConverter) -> Failure {
        var hidden = failure
        hidden.cause = failure.cause.map { hide($0, converter) }
        // One that came encoded stays so.
        guard failure.encodedAttributes == nil else { return hidden }
        hidden.message = "Encoded failure"
        hidden.stackTrace = ""
        do {
            hidden.encodedAttributes = try converter.convertValue(
                ["message": failure.message, "stack_trace": failure.stackTrace])
        } catch {
            hidden.message = "Failed to encode the attributes of a failure: \(error)"
        }
        return hidden
    }

    private func show(_ failure: Failure, _ converter: any PayloadConverter) -> Failure {
        var shown = failure
        shown.cause = failure.cause.map { show($0, converter) }
        // What cannot be read stays as it is, as in Temporal's SDKs.
        if let attributes = failure.encodedAttributes,
            let texts = try? converter.convertPayload(attributes, as: [String: String].self)
        {
            shown.message = texts["message"] ?? failure.message
            shown.stackTrace = texts["stack_trace"] ?? failure.stackTrace
            shown.encodedAttributes = nil
        }
        return shown
    }
}
