public import Logging
public import Postgres

extension Worker {
    /// - Parameters:
    ///   - pool: shared with whoever else talks to the database. Give it four connections or more.
    ///   - workflows: the workflow types that the worker runs.
    ///   - activities: single activities.
    ///   - activityContainers: types with `@ActivityContainer`, whose activities all run here.
    public convenience init(
        pool: PostgresPool, options: WorkerOptions, workflows: [any WorkflowDefinition.Type] = [],
        activities: [any ActivityDefinition] = [], activityContainers: [any ActivityContainer] = [],
        logger: Logger = Logger(label: "perdure.worker")
    ) {
        self.init(
            pool: pool, options: options,
            code: WorkerCode(
                workflows: workflows, activities: activities + activityContainers.flatMap(\.allActivities)),
            logger: logger)
    }
}
