import Perdure
import Postgres

@ActivityContainer
struct Mail {
    @Activity
    func send(to name: String) async throws -> String { "Welcome, \(name)!" }  // May fail: then it is tried again.
}

@Workflow
struct Onboarding {
    var isConfirmed = false

    func run(context: WorkflowContext<Self>, input name: String) async throws -> String {
        let mail = try await context.executeActivity(
            Mail.Activities.Send.self, options: .init(startToCloseTimeout: .seconds(10)), input: name)
        guard try await context.condition(timeout: .seconds(7 * 86400), { $0.isConfirmed }) else {
            throw ApplicationError(message: "\(name) never confirmed", type: "NotConfirmed")
        }
        return mail
    }

    @WorkflowSignal
    func confirm() { isConfirmed = true }
}

func welcomeAda(pool: PostgresPool) async throws -> String {
    let worker = Worker(
        pool: pool, options: .init(taskQueue: "welcome"), workflows: [Onboarding.self], activityContainers: [Mail()])
    async let _ = worker.run()  // Any number of them, on any machine that reaches the database.
    let handle = try await PerdureClient(pool: pool).startWorkflow(
        type: Onboarding.self, options: .init(id: "welcome-ada", taskQueue: "welcome"), input: "Ada")
    try await handle.signal(signalType: Onboarding.Confirm.self)
    return try await handle.result()
}
