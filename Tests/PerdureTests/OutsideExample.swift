import Perdure

@ActivityContainer
struct Approvals {
    let mail: @Sendable (_ token: [UInt8], _ order: String) async throws -> Void

    @Activity
    func approve(order: String) async throws -> Bool {
        guard let info = ActivityExecutionContext.current?.info else { return false }
        // Whoever gets the token, or knows the ids, can complete the activity.
        try await mail(info.taskToken, order)
        throw CompleteActivityOutsideError()
    }
}

@Workflow
struct Purchasing {
    func run(context: WorkflowContext<Self>, input order: String) async throws -> String {
        let isApproved = try await context.executeActivity(
            Approvals.Activities.Approve.self,
            options: ActivityOptions(startToCloseTimeout: .seconds(7 * 24 * 3600), activityID: "approval"),
            input: order)
        return isApproved ? "ordered" : "declined"
    }
}

/// What the handler of a link in that mail does.
func decide(_ isApproved: Bool, on order: String, token: [UInt8], client: PerdureClient) async throws {
    do {
        try await client.asyncActivityHandle(taskToken: token).complete(isApproved)
    } catch is AsyncActivityNotFoundError {
        // Somebody has decided already, or the week is over.
    }
}
