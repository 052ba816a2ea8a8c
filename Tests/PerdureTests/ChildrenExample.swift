import Perdure
import Postgres

@Workflow
struct Shipment {
    var isDelivered = false

    func run(context: WorkflowContext<Self>, input parcel: String) async throws -> String {
        guard try await context.condition(timeout: .seconds(14 * 86400), { $0.isDelivered }) else {
            throw ApplicationError(message: "\(parcel) is lost", type: "Lost")
        }
        return "\(parcel) has arrived"
    }

    @WorkflowSignal
    func delivered() { isDelivered = true }
}

@Workflow
struct Order {
    func run(context: WorkflowContext<Self>, input parcels: [String]) async throws -> [String] {
        try await withThrowingTaskGroup(of: String.self) { group in
            for parcel in parcels {
                group.addTask {
                    // Ends with the order, unless its options say parentClosePolicy: .abandon.
                    let shipment = try await context.startChildWorkflow(
                        Shipment.self, options: .init(id: "shipment-\(parcel)"), input: parcel)
                    do {
                        return try await shipment.result()
                    } catch let error as ChildWorkflowError {
                        return "\(error.cause.map { "\($0)" } ?? "\(error)")"
                    }
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }.sorted()
        }
    }
}

/// Any workflow can tell any other one something.
@Workflow
struct Courier {
    func run(context: WorkflowContext<Self>, input parcels: [String]) async throws {
        for parcel in parcels {
            try await context.getExternalWorkflowHandle(Shipment.self, id: "shipment-\(parcel)")
                .signal(signalType: Shipment.Delivered.self)
        }
    }
}
