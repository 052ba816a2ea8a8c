import PerdureEngine

/// A workflow whose run has begun, and how its handlers are called: through the interceptors, if there are any.
struct WorkflowInstance<Workflow: WorkflowDefinition> {
    let workflow: Workflow
    let context: WorkflowContext<Workflow>

    private var interceptors: ArraySlice<any WorkflowInboundInterceptor> {
        context.core.run.surroundings.workflowInbound
    }

    func execute(_ input: Workflow.Input) async throws -> Workflow.Output {
        var workflow = workflow
        guard !interceptors.isEmpty else { return try await workflow.run(context: context, input: input) }
        return try await intercept(
            by: interceptors,
            ExecuteWorkflowInput<Workflow>(info: context.info, headers: context.info.headers, input: input),
            { try await $0.executeWorkflow(input: $1, next: $2) },
            around: { try await workflow.run(context: context, input: $0.input) })
    }

    func handle<Signal: WorkflowSignalDefinition>(
        _ signal: Signal, _ name: String, _ header: JSON?, _ input: Signal.Input
    ) async throws where Signal.Workflow == Workflow {
        var workflow = workflow
        guard !interceptors.isEmpty else {
            return try await signal.run(workflow: &workflow, context: context, input: input)
        }
        try await intercept(
            by: interceptors,
            HandleSignalInput(
                info: context.info, name: name, definition: signal, headers: [String: Payload](json: header),
                input: input),
            { try await $0.handleSignal(input: $1, next: $2) },
            around: { try await $0.definition.run(workflow: &workflow, context: context, input: $0.input) })
    }

    func answer<Query: WorkflowQueryDefinition>(
        _ query: Query, _ name: String, _ headers: [String: Payload], _ input: Query.Input
    ) throws -> Query.Output where Query.Workflow == Workflow {
        guard !interceptors.isEmpty else { return try query.run(workflow: workflow, input: input) }
        return try intercept(
            by: interceptors,
            HandleQueryInput(info: context.info, name: name, definition: query, headers: headers, input: input),
            { try $0.handleQuery(input: $1, next: $2) },
            around: { try $0.definition.run(workflow: workflow, input: $0.input) })
    }

    func validate<Update: WorkflowUpdateDefinition>(
        _ definition: Update, _ update: UpdateRequest, _ input: Update.Input
    ) throws where Update.Workflow == Workflow {
        guard !interceptors.isEmpty else { return try definition.validateInput(workflow: workflow, input) }
        try intercept(
            by: interceptors, self.input(definition, update, input),
            { try $0.validateUpdate(input: $1, next: $2) },
            around: { try $0.definition.validateInput(workflow: workflow, $0.input) })
    }

    func handle<Update: WorkflowUpdateDefinition>(
        _ definition: Update, _ update: UpdateRequest, _ input: Update.Input
    ) async throws -> Update.Output where Update.Workflow == Workflow {
        var workflow = workflow
        guard !interceptors.isEmpty else {
            return try await definition.run(workflow: &workflow, context: context, input: input)
        }
        return try await intercept(
            by: interceptors, self.input(definition, update, input),
            { try await $0.handleUpdate(input: $1, next: $2) },
            around: { try await $0.definition.run(workflow: &workflow, context: context, input: $0.input) })
    }

    private func input<Update: WorkflowUpdateDefinition>(
        _ definition: Update, _ update: UpdateRequest, _ input: Update.Input
    ) -> HandleUpdateInput<Update> {
        HandleUpdateInput(
            info: context.info, id: update.updateID, name: update.name, definition: definition,
            headers: update.headers, input: input)
    }
}
