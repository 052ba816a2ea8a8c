import PerdureEngine

extension WorkflowContext {
    /// Runs an activity in the worker that has the workflow task, and waits for its result, through all its attempts.
    /// The result is kept by a marker that is written with the workflow task: several cost no more than one
    /// transaction.
    ///
    /// For work of at most a few seconds. It does not heartbeat, and begins anew in another worker if this one dies.
    ///
    /// - Throws: ``ActivityError`` when it failed for good or was canceled with the task that waits for it,
    ///   ``CanceledError`` when that task had been canceled before.
    @discardableResult
    public func executeLocalActivity<Activity: ActivityDefinition>(
        _ activityType: Activity.Type = Activity.self, options: LocalActivityOptions, input: Activity.Input,
        file: String = #fileID, line: Int = #line
    ) async throws -> Activity.Output {
        try await executeLocalActivity(Activity.name, options, input, at: CallSite(file: file, line: line))
    }

    /// Runs an activity without input in the worker that has the workflow task.
    @discardableResult
    public func executeLocalActivity<Activity: ActivityDefinition>(
        _ activityType: Activity.Type = Activity.self, options: LocalActivityOptions, file: String = #fileID,
        line: Int = #line
    ) async throws -> Activity.Output where Activity.Input == Void {
        try await executeLocalActivity(activityType, options: options, input: (), file: file, line: line)
    }

    /// Runs an activity of this worker by the name of its type.
    public func executeLocalActivity<Output: Sendable>(
        name: String, options: LocalActivityOptions, input: some Encodable & Sendable,
        outputType: Output.Type = Output.self, file: String = #fileID, line: Int = #line
    ) async throws -> Output {
        try await executeLocalActivity(name, options, input, at: CallSite(file: file, line: line))
    }

    private func executeLocalActivity<Input: Sendable, Output: Sendable>(
        _ name: String, _ options: LocalActivityOptions, _ input: Input, at site: CallSite
    ) async throws -> Output {
        func execute(
            _ name: String, _ options: LocalActivityOptions, _ headers: [String: Payload], _ input: Input
        ) async throws -> Output {
            let result = try await core.executeLocalActivity(
                type: name, options: options, headers: headers, input: core.converter.encode(input), at: site)
            return try core.converter.decode(from: result)
        }
        let interceptors = core.run.surroundings.workflowOutbound
        guard !interceptors.isEmpty else { return try await execute(name, options, [:], input) }
        return try await intercept(
            by: interceptors,
            ScheduleLocalActivityInput(info: info, name: name, options: options, headers: [:], input: input),
            { try await $0.executeLocalActivity(input: $1, next: $2) },
            around: { try await execute($0.name, $0.options, $0.headers, $0.input) })
    }
}
