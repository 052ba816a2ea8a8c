import EncryptionExample
import Foundation
import Perdure
import Postgres

/// Runs `Appraisal`, whose payloads are encrypted, on the task queue `appraisals`. The price is what an activity says
/// that may be another program's: `Price`, on the task queue that the input names.
///
/// `DATABASE_URL` is the database, `ENCRYPTION_KEY` the key, 32 bytes in base64, and `ENCRYPTION_KEY_ID` its name.
@main
struct EncryptionWorker {
    static func main() async throws {
        let environment = ProcessInfo.processInfo.environment
        guard let key = environment["ENCRYPTION_KEY"].flatMap({ Data(base64Encoded: $0) }), key.count == 32 else {
            FileHandle.standardError.write(Data("encryption-worker: set ENCRYPTION_KEY to 32 bytes in base64\n".utf8))
            exit(1)
        }
        var options = WorkerOptions(taskQueue: "appraisals")
        options.dataConverter = DataConverter(
            failureConverter: DefaultFailureConverter(encodeCommonAttributes: true),
            payloadCodec: AESGCMCodec(keyID: environment["ENCRYPTION_KEY_ID"] ?? "key-1", key: Array(key)))
        options.interceptors = [CustomerHeader()]
        let worker = Worker(
            pool: PostgresPool(.fromEnvironment()), options: options, workflows: [Appraisal.self],
            activityContainers: [Desk()])
        try await worker.run()
    }
}

struct Item: Codable {
    var name: String
    /// Where `Price` is to be had.
    var taskQueue: String
}

@Workflow
struct Appraisal {
    var heard: [String] = []

    func run(context: WorkflowContext<Self>, input: Item) async throws -> String {
        try context.upsertMemo(["item": input.name])
        try await context.condition { !$0.heard.isEmpty }
        let price: Int = try await context.executeActivity(
            name: "Price",
            options: .init(
                startToCloseTimeout: .seconds(20), taskQueue: input.taskQueue,
                retryPolicy: RetryPolicy(maximumAttempts: 1)), input: input.name)
        let customer = try await context.executeActivity(
            Desk.Activities.Customer.self, options: .init(startToCloseTimeout: .seconds(20)))
        guard price > 0 else { throw ApplicationError(message: "\(input.name) is worth nothing", type: "Worthless") }
        return "\(input.name) of \(customer) for \(heard[0]): \(price)"
    }

    @WorkflowSignal(name: "ask")
    mutating func ask(input: String) { heard.append(input) }

    @WorkflowQuery(name: "asked")
    func asked() -> [String] { heard }
}

@ActivityContainer
struct Desk {
    @Activity
    func customer() -> String { CustomerHeader.customer ?? "nobody" }
}

/// Hands on the header `customer`, as an interceptor of any SDK can.
struct CustomerHeader: WorkerInterceptor {
    @TaskLocal static var customer: String?

    var workflowOutboundInterceptor: Outbound? { Outbound() }
    var activityInboundInterceptor: Inbound? { Inbound() }

    struct Outbound: WorkflowOutboundInterceptor {
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
