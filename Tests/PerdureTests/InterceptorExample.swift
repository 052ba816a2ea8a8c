import EncryptionExample
import Foundation
import Perdure
import Postgres

/// Hands on which customer something is for, from the client's call to every activity that comes of it.
struct CustomerHeader: ClientInterceptor, WorkerInterceptor {
    @TaskLocal static var customer: String?

    var clientOutboundInterceptor: Outbound? { Outbound() }
    var workflowOutboundInterceptor: Outbound? { Outbound() }
    var activityInboundInterceptor: Inbound? { Inbound() }

    struct Outbound: ClientOutboundInterceptor, WorkflowOutboundInterceptor {
        func startWorkflow<Input>(
            input: StartWorkflowInput<Input>,
            next: (StartWorkflowInput<Input>) async throws -> UntypedWorkflowHandle
        ) async throws -> UntypedWorkflowHandle {
            var input = input
            input.headers["customer"] = CustomerHeader.customer.map { Payload(plain: .string($0)) }
            return try await next(input)
        }

        func executeActivity<Input, Output: Sendable>(
            input: ScheduleActivityInput<Input>, next: (ScheduleActivityInput<Input>) async throws -> Output
        ) async throws -> Output {
            var input = input
            input.headers["customer"] = input.info.headers["customer"]
            return try await next(input)
        }
    }

    struct Inbound: ActivityInboundInterceptor {
        func executeActivity<Activity: ActivityDefinition>(
            input: ExecuteActivityInput<Activity>,
            next: (ExecuteActivityInput<Activity>) async throws -> Activity.Output
        ) async throws -> Activity.Output {
            let customer = try input.headers["customer"]?.decode(String.self)
            return try await CustomerHeader.$customer.withValue(customer) { try await next(input) }
        }
    }
}

@ActivityContainer
struct Letters {
    @Activity
    func write(input: String) -> String { "\(input), \(CustomerHeader.customer ?? "whoever you are")" }
}

@Workflow
struct LetterWriting {
    func run(context: WorkflowContext<Self>, input: String) async throws -> String {
        try await context.executeActivity(
            Letters.Activities.Write.self, options: .init(startToCloseTimeout: .seconds(10)), input: input)
    }
}

/// A worker and a client that hand on the customer and encrypt all payloads.
func makePair(pool: PostgresPool, key: [UInt8]) -> (worker: Worker, client: PerdureClient) {
    let converter = DataConverter(
        failureConverter: DefaultFailureConverter(encodeCommonAttributes: true),
        payloadCodec: AESGCMCodec(keyID: "key-1", key: key))
    var options = WorkerOptions(taskQueue: "letters")
    options.interceptors = [CustomerHeader(), TracingInterceptor()]
    options.dataConverter = converter
    return (
        Worker(pool: pool, options: options, workflows: [LetterWriting.self], activityContainers: [Letters()]),
        PerdureClient(
            pool: pool, interceptors: [CustomerHeader(), TracingInterceptor()], dataConverter: converter)
    )
}
