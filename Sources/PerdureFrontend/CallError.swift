import Foundation
import GRPCCore
import PerdureEngine
import Postgres

/// An error as Temporal's clients expect it: a gRPC status, and a message of `temporal.api.errordetails.v1` that says
/// more.
struct CallError: Error, Sendable {
    var code: RPCError.Code
    var message: String
    /// The name of the detail's type, and its JSON.
    var detail: (type: String, json: JSON)?

    init(_ code: RPCError.Code, _ message: String, detail: (type: String, json: JSON)? = nil) {
        self.code = code
        self.message = message
        self.detail = detail
    }

    static func notFound(_ message: String) -> CallError {
        CallError(.notFound, message, detail: ("temporal.api.errordetails.v1.NotFoundFailure", [:]))
    }

    static func noWorkflow(_ workflowID: String, _ runID: UUID? = nil) -> CallError {
        guard let runID else { return .notFound("workflow not found for ID: \(workflowID)") }
        return .notFound("workflow execution not found for workflow ID \"\(workflowID)\" and run ID \"\(runID.text)\"")
    }

    static func noNamespace(_ name: String) -> CallError {
        CallError(
            .notFound, "Namespace \(name) is not found.",
            detail: ("temporal.api.errordetails.v1.NamespaceNotFoundFailure", ["namespace": .string(name)]))
    }

    static func invalidArgument(_ message: String) -> CallError { CallError(.invalidArgument, message) }

    static func notYet(_ what: String) -> CallError {
        CallError(.unimplemented, "Perdure does not have \(what) yet")
    }

    /// What an error of the engine, of the database or of the transcoder is for a client.
    init(_ error: any Error) {
        switch error {
        case let error as CallError: self = error
        case let error as TranscodingError: self = .invalidArgument(error.description)
        case let error as EngineError: self = CallError(error)
        case let error as PostgresError:
            if let refused = EngineError(error) {
                self = CallError(refused)
            } else if error.isRetryable {
                self = CallError(.unavailable, "the database did not answer: \(error.message)")
            } else {
                self = CallError(.internalError, "the database refused a statement: \(error.message)")
            }
        case is CancellationError: self = CallError(.cancelled, "the call was cancelled")
        default: self = CallError(.internalError, "\(error)")
        }
    }

    private init(_ error: EngineError) {
        switch error.code {
        case .workflowNotFound, .leaseLost: self = .notFound(error.message)
        case .workflowClosed: self = .notFound("workflow execution already completed")
        case .workflowAlreadyStarted:
            self.init(
                .alreadyExists, error.message,
                detail: (
                    "temporal.api.errordetails.v1.WorkflowExecutionAlreadyStartedFailure",
                    ["runId": .string(error.runID?.uuidString.lowercased() ?? "")]
                ))
        case .namespaceNotFound:
            self.init(
                .notFound, error.message, detail: ("temporal.api.errordetails.v1.NamespaceNotFoundFailure", [:]))
        case .invalidArgument, .tooLarge, .searchAttribute:
            self = .invalidArgument([error.message, error.hint].compactMap(\.self).joined(separator: "; "))
        case .queryFailed, .updateFailed: self.init(.invalidArgument, error.message)
        case .updateNotFound, .activityNotFound: self = .notFound(error.message)
        case .activityPaused: self.init(.failedPrecondition, error.message)
        case .tooManyUpdates:
            self.init(
                .resourceExhausted, error.message,
                detail: (
                    "temporal.api.errordetails.v1.ResourceExhaustedFailure",
                    ["cause": "ConcurrentLimit", "scope": "Namespace"]
                ))
        case .updateRefused:
            self.init(.failedPrecondition, [error.message, error.hint].compactMap(\.self).joined(separator: "; "))
        case .workflowTasksFail:
            self.init(
                .failedPrecondition,
                "Unable to perform workflow execution update due to Workflow Task in failed state.",
                detail: ("temporal.api.errordetails.v1.WorkflowNotReadyFailure", [:]))
        case .incompatibleDatabase: self.init(.failedPrecondition, error.description)
        }
    }

    /// The status, with the detail in `grpc-status-details-bin` (google.rpc.Status).
    func rpcError(_ toProtobuf: JSONToProtobuf) -> RPCError {
        var status = ProtobufWriter()
        status.field(1, varint: Int64(code.rawValue))
        status.field(2, bytes: message.utf8)
        if let detail, let place = TemporalSchema.temporal.message(detail.type),
            let bytes = try? toProtobuf.bytes(of: place, json: detail.json.bytes)
        {
            var any = ProtobufWriter()
            any.field(1, bytes: "type.googleapis.com/\(detail.type)".utf8)
            if !bytes.isEmpty { any.field(2, bytes: bytes) }
            status.field(3, bytes: any.bytes)
        }
        var metadata = Metadata()
        metadata.addBinary(status.bytes, forKey: "grpc-status-details-bin")
        return RPCError(code: code, message: message, metadata: metadata)
    }
}
