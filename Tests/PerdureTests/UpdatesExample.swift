import Perdure

@Workflow
struct Cart {
    var items: [String] = []
    var isPaid = false

    mutating func run(context: WorkflowContext<Self>, input: Void) async throws -> [String] {
        try await context.condition { $0.isPaid }
        // A handler that waits is not cut off.
        try await context.condition { context.allHandlersFinished }
        return items
    }

    /// Puts an item into the cart, and tells how many there are.
    @WorkflowUpdate(validator: "checkItem")
    mutating func add(input: String) -> Int {
        items.append(input)
        return items.count
    }

    func checkItem(input: String) throws {
        if items.contains(input) { throw ApplicationError(message: "\(input) is in the cart already") }
    }

    @WorkflowUpdate
    mutating func pay() { isPaid = true }
}

/// Fills a cart; what is in it already is not put in again.
func fill(_ cart: WorkflowHandle<Cart>, with items: [String]) async throws -> [String] {
    for item in items {
        do {
            try await cart.executeUpdate(updateType: Cart.Add.self, input: item)
        } catch let error as WorkflowUpdateFailedError where error.isRejected {
            print(error.failure.message)
        }
    }
    try await cart.executeUpdate(updateType: Cart.Pay.self)
    return try await cart.result()
}
