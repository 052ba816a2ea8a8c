import Perdure

/// Adds up what is sent to it until it is closed, however long that takes.
@Workflow
struct Till {
    struct Sum: Codable {
        var cents = 0
        var payments = 0
    }

    var sum = Sum()
    var isClosed = false

    init(input: Sum) { sum = input }

    func run(context: WorkflowContext<Self>, input: Sum) async throws -> Sum {
        try await context.condition {
            $0.isClosed || context.isContinueAsNewSuggested || $0.sum.payments >= input.payments + 50
        }
        if isClosed { return sum }
        try await context.condition { context.allHandlersFinished }
        throw try await context.makeContinueAsNewError(input: sum)
    }

    @WorkflowSignal
    func pay(input cents: Int) {
        sum.cents += cents
        sum.payments += 1
    }

    @WorkflowSignal
    func close() { isClosed = true }
}
