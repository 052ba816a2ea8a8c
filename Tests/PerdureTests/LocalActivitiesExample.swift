import Perdure

@ActivityContainer
struct Prices {
    @Activity
    func look(up item: String) async throws -> Int {
        item.count * 100
    }
}

@Workflow
struct Quote {
    func run(context: WorkflowContext<Self>, input items: [String]) async throws -> Int {
        var total = 0
        for item in items {
            // Each takes milliseconds: all of them and the end of the workflow are written together.
            total += try await context.executeLocalActivity(
                Prices.Activities.Look.self, options: LocalActivityOptions(startToCloseTimeout: .seconds(5)),
                input: item)
        }
        return total
    }
}
