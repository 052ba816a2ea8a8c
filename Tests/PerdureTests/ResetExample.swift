import Perdure

@ActivityContainer
struct Billing {
    let charges: Charges

    /// A payment service that knows the key does nothing the second time.
    @Activity
    func charge(amount: Int) async throws -> String {
        guard let attempt = ActivityExecutionContext.current?.info else { return "" }
        return charges.charge(amount, idempotencyKey: attempt.idempotencyKey)
    }
}

@Workflow
struct Invoice {
    func run(context: WorkflowContext<Self>, input amount: Int) async throws -> String {
        try await context.executeActivity(
            Billing.Activities.Charge.self, options: .init(startToCloseTimeout: .seconds(10)), input: amount)
    }
}

/// The code that ran was wrong, and another build has come: it goes on from before what that build did.
func correct(_ invoice: WorkflowHandle<Invoice>, doneBy build: String) async throws -> String {
    let corrected = try await invoice.reset(to: .build(build), reason: "\(build) sent the wrong text")
    return try await corrected.result()
}
