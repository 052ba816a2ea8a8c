import EncryptionExample
import Foundation
import Hummingbird
import HummingbirdTesting
import Logging
import PerdureEngine
import PerdureModel
import PerdureTesting
import Postgres
import Synchronization
import TestSupport
import Testing

@testable import Perdure

private let brief = ActivityOptions(startToCloseTimeout: .seconds(30), retryPolicy: RetryPolicy(maximumAttempts: 1))
private let aes = AESGCMCodec(keyID: "test", key: Array(repeating: 7, count: 32))
private let encrypting = DataConverter(
    failureConverter: DefaultFailureConverter(encodeCommonAttributes: true), payloadCodec: aes)

@ActivityContainer
private struct Vault {
    @Activity
    func open(input: String) async throws -> String {
        try ActivityExecutionContext.current?.heartbeat(details: "secret progress")
        return "secret result of \(input)"
    }

    @Activity
    func close(input: String, in connection: PostgresConnection) async throws -> String {
        try await connection.query("select 1")
        return "secret end of \(input)"
    }

    @Activity
    func refuse(input: String) async throws -> String {
        throw ApplicationError(
            message: "secret trouble", details: [Payload(plain: "secret detail")], type: "Refused",
            isNonRetryable: true)
    }
}

@Workflow
private struct Deal {
    var notes: [String] = []

    func run(context: WorkflowContext<Self>, input: String) async throws -> [String] {
        try await context.condition { $0.notes.count == 2 }
        notes.append(try await context.executeActivity(Vault.Activities.Open.self, options: brief, input: input))
        notes.append(try await context.executeActivity(Vault.Activities.Close.self, options: brief, input: input))
        notes.append(
            try await context.executeChildWorkflow(
                Clause.self, options: .init(memo: ["note": "secret clause"]), input: "secret term"))
        try context.upsertMemo(["last": "secret memo"])
        do {
            _ = try await context.executeActivity(Vault.Activities.Refuse.self, options: brief, input: input)
        } catch let error as ActivityError {
            let cause = try #require(error.cause as? ApplicationError)
            notes.append("\(cause.message), \(try cause.details[0].decode(String.self))")
        }
        notes.append(try context.memoValue(for: "note", as: String.self) ?? "")
        return notes
    }

    @WorkflowSignal
    mutating func note(input: String) { notes.append(input) }

    @WorkflowUpdate(validator: "check")
    mutating func noteNow(input: String) -> String {
        notes.append(input)
        return "secret answer to \(input)"
    }

    func check(input: String) throws {
        if input == "secret nonsense" { throw ApplicationError(message: "secret refusal", type: "No") }
    }

    @WorkflowQuery
    func noted(input: String) -> String { "secret \(notes.count) of \(input)" }
}

@Workflow
private struct Clause {
    func run(context: WorkflowContext<Self>, input: String) async throws -> String { "secret clause of \(input)" }
}

@Workflow
private struct Broken {
    func run(context: WorkflowContext<Self>, input: String) async throws -> String {
        throw ApplicationError(message: "secret end", type: "Broken")
    }
}

@Workflow
private struct Simple {
    func run(context: WorkflowContext<Self>, input: String) async throws -> String {
        try await context.executeActivity(Vault.Activities.Open.self, options: brief, input: input)
    }
}

/// Fails as often as it is told to, then does nothing.
private final class Faulty: PayloadCodec {
    private let failures: Mutex<(encode: Int, decode: Int)>

    init(encode: Int = 0, decode: Int = 0) { failures = Mutex((encode, decode)) }

    struct Down: Error {}

    func encode(payloads: [Payload]) async throws -> [Payload] {
        try failures.withLock {
            if $0.encode > 0, payloads.first?.data?.stringValue?.hasPrefix("secret") == true {
                $0.encode -= 1
                throw Down()
            }
        }
        return payloads
    }

    func decode(payloads: [Payload]) async throws -> [Payload] {
        try failures.withLock {
            guard $0.decode > 0 else { return }
            $0.decode -= 1
            throw Down()
        }
        return payloads
    }
}

@Suite("Codecs")
struct CodecTests {
    private func withWorker(
        _ converter: DataConverter, cached: Int = 1000,
        _ body: @Sendable (PerdureClient, TestDatabase) async throws -> Void
    ) async throws {
        try await TestDatabase.with { database in
            var options = WorkerOptions(taskQueue: "vault")
            options.dataConverter = converter
            options.maxCachedWorkflows = cached
            let worker = Worker(
                pool: database.pool, options: options,
                workflows: [Deal.self, Clause.self, Broken.self, Simple.self], activityContainers: [Vault()],
                logger: Logger(label: "worker", factory: { _ in SwiftLogNoOpLogHandler() }))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await worker.run() }
                try await body(PerdureClient(pool: database.pool, dataConverter: converter), database)
                group.cancelAll()
                try await group.waitForAll()
            }
        }
    }

    /// All that the database holds of runs, as text.
    private func stored(_ database: TestDatabase) async throws -> String {
        var text = ""
        for table in ["history", "executions", "run_states", "activity_tasks", "updates", "queries", "transfers"] {
            let rows = try await database.pool.query(
                PostgresQuery("select coalesce(string_agg(t::text, ' '), '') from perdure.\(unescaped: table) t"))
            text += try rows[0].decode(String.self, at: 0)
        }
        return text
    }

    @Test("What is encrypted is read by workers and clients, and by nobody in the database", arguments: [0, 1000])
    func encrypted(cached: Int) async throws {
        try await withWorker(encrypting, cached: cached) { client, database in
            let deal = try await client.startWorkflow(
                type: Deal.self,
                options: .init(id: "deal", taskQueue: "vault", memo: ["note": "secret note"]), input: "secret input")
            #expect(
                try await deal.query(queryType: Deal.Noted.self, input: "secret question")
                    == "secret 0 of secret question")
            try await deal.signal(signalType: Deal.Note.self, input: "secret signal")
            let refusal = await #expect(throws: WorkflowUpdateFailedError.self) {
                try await deal.executeUpdate(updateType: Deal.NoteNow.self, input: "secret nonsense")
            }
            #expect(refusal?.failure.message == "secret refusal")
            #expect(
                try await deal.executeUpdate(updateType: Deal.NoteNow.self, input: "secret update")
                    == "secret answer to secret update")
            #expect(
                try await deal.result() == [
                    "secret signal", "secret update", "secret result of secret input", "secret end of secret input",
                    "secret clause of secret term", "secret trouble, secret detail", "secret note",
                ])
            let broken = await #expect(throws: WorkflowFailedError.self) {
                try await client.executeWorkflow(
                    type: Broken.self, options: .init(id: "broken", taskQueue: "vault"), input: "secret input")
            }
            #expect(broken?.failure.message == "secret end")
            #expect(broken?.failure.stackTrace.contains("CodecTests.swift") == true)
            #expect(try await deal.describe().json["memo"]?["last"]?["data"] == "secret memo")

            let history = try await deal.fetchHistory()
            try await WorkflowReplayer(workflows: [Deal.self], dataConverter: encrypting)
                .replayWorkflow(history: history)
            await #expect(throws: (any Error).self) {
                try await WorkflowReplayer(workflows: [Deal.self]).replayWorkflow(history: history)
            }
            let text = try await stored(database)
            #expect(text.contains("binary/encrypted"))
            #expect(text.contains("Encoded failure"))
            #expect(!text.contains("secret"))
            #expect(!text.contains("CodecTests.swift"))
        }
    }

    @Test("A result is not lost to a codec that does not work at the moment, and the activity runs once")
    func resultOutlivesCodec() async throws {
        try await withWorker(DataConverter(payloadCodec: Faulty(encode: 3))) { client, _ in
            let handle = try await client.startWorkflow(
                name: "Simple", options: .init(id: "s", taskQueue: "vault"), payloads: [Payload(plain: "input")])
            #expect(try await handle.result(as: String.self) == "secret result of input")
            let history = try await handle.fetchHistory()
            #expect(history.filter { $0.eventType == .activityTaskStarted }.map { $0.attributes["attempt"] } == [1])
        }
    }

    @Test("A workflow task that cannot be decoded or encoded fails, and is tried again")
    func taskIsTriedAgain() async throws {
        try await withWorker(DataConverter(payloadCodec: Faulty(decode: 1))) { client, database in
            let plain = PerdureClient(pool: database.pool)
            let handle = try await plain.startWorkflow(
                name: "Clause", options: .init(id: "c", taskQueue: "vault"), payloads: [Payload(plain: "x")])
            #expect(try await handle.result(as: String.self) == "secret clause of x")
            let failed = try await handle.fetchHistory().first { $0.eventType == .workflowTaskFailed }
            let message = try #require(failed?.attributes["failure"]?["message"]?.stringValue)
            #expect(message.contains("the codec did not decode event 1"))
        }
    }

    // MARK: Converters

    private struct Celsius: Codable, Equatable { var degrees: Double }

    private struct Thermometer: EncodingPayloadConverter {
        static let encoding = "text/celsius"
        struct NoTemperature: Error {}

        func convertValue(_ value: some Any) throws -> Payload {
            guard let value = value as? Celsius else { throw NoTemperature() }
            return Payload(encoding: Self.encoding, bytes: Array("\(value.degrees)".utf8))
        }

        func convertPayload<Value>(_ payload: Payload, as valueType: Value.Type) throws -> Value {
            guard let text = payload.bytes.map({ String(decoding: $0, as: UTF8.self) }), let degrees = Double(text),
                let value = Celsius(degrees: degrees) as? Value
            else { throw NoTemperature() }
            return value
        }
    }

    @Test("A chain of converters takes what each of them can, and the default one the rest")
    func chain() throws {
        let converter = DataConverter(payloadConverter: CompositePayloadConverter(Thermometer()))
        let payloads = try converter.encode(Celsius(degrees: 36.5))
        #expect(payloads.map(\.encoding) == ["text/celsius"])
        #expect(try converter.decode(Celsius.self, from: payloads) == Celsius(degrees: 36.5))
        #expect(try converter.encode("x") == [Payload(plain: "x")])
        #expect(try converter.decode(String.self, from: [Payload(plain: "a\u{0}")]) == "a\u{0}")
    }

    @Test("An empty array is what its elements would be, and payloads are taken as they are")
    func emptyArrays() throws {
        let converter = DataConverter.default
        #expect(try converter.encode([String]()) == [Payload(plain: [])])
        #expect(try converter.encode([UInt8]()) == [Payload(bytes: [])])
        #expect(try converter.encode([UInt8]([1])) == [Payload(bytes: [1])])
        #expect(try converter.encode([Payload]()) == [])
        let payloads = [Payload(plain: 1), Payload(plain: 2)]
        #expect(try converter.encode(payloads) == payloads)
        #expect(try converter.decode([Payload].self, from: payloads) == payloads)
        #expect(throws: DecodingError.self) { try converter.decode([Int].self, from: []) }
    }

    @Test("Messages and stack traces can be payloads, in the whole chain of causes, and come back")
    func encodedAttributes() throws {
        let cause = ApplicationError(message: "inner", details: [Payload(plain: 1)], type: "Inner")
        let error = ApplicationError(message: "outer", cause: cause, type: "Outer", isNonRetryable: true)
        let failure = encrypting.failure(error)
        #expect(failure.chain.map(\.message) == ["Encoded failure", "Encoded failure"])
        #expect(failure.chain.map(\.stackTrace) == ["", ""])
        let read = try Failure(json: failure.json)
        #expect(read == failure)
        // What retry policies look at stays.
        #expect(read.json["applicationFailureInfo"]?["nonRetryable"] == true)
        for converter in [encrypting, .default] {
            let shown = converter.error(read).failure
            #expect(shown.chain.map(\.message) == ["outer", "inner"])
            #expect(shown.stackTrace == error.stackTrace)
            #expect(shown.encodedAttributes == nil)
        }
    }

    // MARK: Temporal's forms

    @Test("A payload in protobuf is Temporal's, and comes back as it was")
    func protobuf() throws {
        #expect(
            Payload(plain: ["a": 1]).serializedBytes()
                == [0x0a, 22, 0x0a, 8] + Array("encoding".utf8) + [0x12, 10] + Array("json/plain".utf8)
                + [0x12, 7] + Array(#"{"a":1}"#.utf8))
        var described = Payload(encoding: "binary/protobuf", bytes: Array(repeating: 9, count: 300))
        described.metadata = ["mark": ["base64": "/w=="], "messageType": "bank.Transfer"]
        for payload in [
            Payload.null, Payload(plain: "text"), Payload(plain: "a\u{0}b"), Payload(bytes: [0, 255]), described,
        ] {
            #expect(try Payload(serializedBytes: payload.serializedBytes()) == payload)
            #expect(try Payload(temporalJSON: payload.temporalJSON) == payload)
        }
        #expect(throws: PayloadError.self) { try Payload(serializedBytes: [0x0a, 200]) }
        #expect(throws: PayloadError.self) { try Payload(temporalJSON: "text") }
    }

    @Test("Markers of an SDK's core stay readable but for their results, and headers are left alone")
    func places() async throws {
        let payload = [Payload(plain: "x")].json
        let hidden: JSON = [["encoding": "hidden"]]
        func map(_ attributes: JSON) async throws -> JSON {
            try await PayloadPlaces.map(attributes) { _ in [Payload(encoding: "hidden", data: nil)] }
        }
        #expect(
            try await map([
                "markerName": "core_local_activity", "details": ["data": payload, "result": payload],
                "header": ["h": payload[0] ?? .null],
            ]) == [
                "markerName": "core_local_activity", "details": ["data": payload, "result": hidden],
                "header": ["h": payload[0] ?? .null],
            ])
        #expect(
            try await map(["markerName": "own", "details": ["any": payload]])
                == ["markerName": "own", "details": ["any": hidden]])
        #expect(
            try await map([
                "acceptedRequest": ["input": ["name": "u", "args": payload]], "memo": ["a": payload[0] ?? .null],
                "upsertedMemo": ["b": nil], "searchAttributes": ["Name": "x"],
                "failure": [
                    "cause": ["applicationFailureInfo": ["details": payload], "encodedAttributes": payload[0] ?? .null]
                ],
            ]) == [
                "acceptedRequest": ["input": ["name": "u", "args": hidden]], "memo": ["a": hidden[0] ?? .null],
                "upsertedMemo": ["b": nil], "searchAttributes": ["Name": "x"],
                "failure": [
                    "cause": ["applicationFailureInfo": ["details": hidden], "encodedAttributes": hidden[0] ?? .null]
                ],
            ])
    }

    // MARK: The codec server

    @Test("A codec server encodes and decodes what Temporal's tools send, and lets the pages that it knows ask")
    func server() async throws {
        let routes = CodecRoutes(codec: aes, origins: ["http://localhost:8233"])
        try await Application(router: routes.router()).test(.router) { client in
            func post(_ path: String, _ body: JSON) async throws -> TestResponse {
                try await client.execute(
                    uri: path, method: .post, headers: [.origin: "http://localhost:8233"],
                    body: ByteBuffer(string: body.text))
            }
            func json(_ response: TestResponse) throws -> JSON {
                try JSON(parsing: Array(response.body.readableBytesView))
            }
            let asked: JSON = ["payloads": [Payload(plain: "secret").temporalJSON]]
            let encoded = try await post("/encode", asked)
            #expect(encoded.status == .ok)
            #expect(encoded.headers[.accessControlAllowOrigin] == "http://localhost:8233")
            let payload = try Payload(temporalJSON: json(encoded)["payloads"]?[0] ?? .null)
            #expect(payload.encoding == "binary/encrypted")
            #expect(try json(await post("/decode", json(encoded))) == asked)
            #expect(try await post("/decode", ["payloads": 5]).status == .ok)
            #expect(try await post("/decode", ["payloads": [5]]).status == .badRequest)
            var foreign = payload
            foreign.metadata["encryption-key-id"] = "another"
            let refused = try await post("/decode", ["payloads": [foreign.temporalJSON]])
            #expect(refused.status == .badRequest)
            #expect(String(buffer: refused.body).contains("the key another"))
            let preflight = try await client.execute(
                uri: "/decode", method: .options, headers: [.origin: "http://elsewhere"])
            #expect(preflight.status == .noContent)
            #expect(preflight.headers[.accessControlAllowOrigin] == nil)
        }
    }
}
