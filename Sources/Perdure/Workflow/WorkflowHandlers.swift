/// The handlers of a workflow type, by the names that messages call. A worker makes them once for all runs of the type.
final class WorkflowHandlers<Workflow: WorkflowDefinition>: Sendable {
    let signals: [String: any WorkflowSignalDefinition<Workflow>.Type]
    let queries: [String: any WorkflowQueryDefinition<Workflow>.Type]
    let updates: [String: any WorkflowUpdateDefinition<Workflow>.Type]
    let dynamic: DynamicHandlers<Workflow>

    init() {
        signals = Dictionary(Workflow.signals.map { (type(of: $0).name, type(of: $0)) }, uniquingKeysWith: { $1 })
        queries = Dictionary(Workflow.queries.map { (type(of: $0).name, type(of: $0)) }, uniquingKeysWith: { $1 })
        updates = Dictionary(Workflow.updates.map { (type(of: $0).name, type(of: $0)) }, uniquingKeysWith: { $1 })
        dynamic = DynamicHandlers()
    }
}
