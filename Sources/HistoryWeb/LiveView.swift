import Foundation
import WebCommon

/// What a page shows that changes while it is looked at, named by an address below which its changes are told.
enum LiveView: Sendable {
    /// - Parameter lengths: whether the lengths of histories are shown, which grow all the time.
    case runs(ListFilter, lengths: Bool)
    case run(namespace: String, workflowID: String, runID: String)
    case queues(namespace: String)
    case attention(namespace: String)

    /// Throws 400 for an address of nothing that changes.
    init(address: String) throws(WebError) {
        let halves = address.split(separator: "?", maxSplits: 1)
        let parts = (halves.first ?? "").split(separator: "/").map { FormFields.segment($0) ?? "" }
        let fields = try FormFields(halves.count > 1 ? halves[1] : "")
        switch parts.count {
        case 3 where parts[0] == "namespaces" && parts[2] == "workflow-changes":
            self = .runs(try ListFilter(fields, namespace: parts[1]), lengths: fields["lengths"] != nil)
        case 6 where parts[0] == "namespaces" && parts[2] == "workflows" && parts[5] == "changes":
            guard UUID(uuidString: parts[4]) != nil else {
                throw WebError(.badRequest, "\"\(parts[4])\" is no run id: a run id is a UUID")
            }
            self = .run(namespace: parts[1], workflowID: parts[3], runID: parts[4])
        case 4 where parts[0] == "namespaces" && parts[2] == "queues" && parts[3] == "changes":
            self = .queues(namespace: parts[1])
        case 4 where parts[0] == "namespaces" && parts[2] == "attention" && parts[3] == "changes":
            self = .attention(namespace: parts[1])
        default:
            throw WebError(
                .badRequest, "a view is the address of the changes of a list, a run, the queues or what needs attention"
            )
        }
    }

    var address: String {
        switch self {
        case .runs(let filter, let lengths):
            let query = filter.address() + (lengths ? (filter.isEmpty ? "?" : "&") + "lengths=1" : "")
            return "/namespaces/\(filter.namespace.segmentOfAddress)/workflow-changes\(query)"
        case .run(let namespace, let workflowID, let runID):
            return Run.path(namespace, workflowID) + "/\(runID)/changes"
        case .queues(let namespace): return "/namespaces/\(namespace.segmentOfAddress)/queues/changes"
        case .attention(let namespace): return AttentionPage.path(namespace) + "/changes"
        }
    }

    /// A text that is another one once a page would show something else.
    func mark(_ store: HistoryStore) async throws -> String {
        switch self {
        case .runs(let filter, let lengths): try await store.list(filter, after: nil).mark(lengths: lengths)
        case .run(let namespace, let workflowID, let runID):
            try await store.mark(namespace, workflowID, runID)
        case .queues(let namespace): try await store.queues(namespace).mark
        case .attention(let namespace):
            try await store.troubles(namespace).map(\.mark).joined(separator: "\n").mark
        }
    }
}

extension String {
    /// A short text that is the same for the same text and, as far as anybody will see, no other.
    var mark: String {
        let hash = utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        return String(hash, radix: 16)
    }
}
