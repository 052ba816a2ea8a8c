import EncryptionExample
import Foundation
import Hummingbird
import HummingbirdTesting
import Perdure
import PerdureModel
import Postgres
import Synchronization
import TestSupport
import Testing
import WebCommon

@testable import HistoryWeb

@Suite struct CodecServerTests {
    private static let codec = AESGCMCodec(keyID: "test", key: Array(repeating: 3, count: 32))

    /// A codec server for the time of `body`.
    private func withServer(
        _ router: Router<BasicRequestContext>, timeout: Duration = .seconds(20),
        _ body: @Sendable (CodecServer) async throws -> Void
    ) async throws {
        try await Application(router: router, logger: quiet).test(.live) { client in
            let port = try #require(client.port)
            try await body(
                CodecServer(
                    endpoint: "http://127.0.0.1:\(port)/", timeout: timeout, logger: quiet))
        }
    }

    /// A closed run with an encrypted input and an encrypted failure.
    private func makeRun(_ site: TestSite) async throws -> String {
        let secret = try await Self.codec.encode(payloads: [Payload(plain: ["card": "<4111>"])])
        var failure = Failure.application("Encoded failure", type: "Refused")
        failure.encodedAttributes = try await Self.codec.encode(
            payloads: [Payload(plain: ["message": "hidden & gone", "stack_trace": "Bank/Pay.swift:3"])])[0]
        try await site.pool.query(
            """
            do $$
            declare
                v_worker uuid := gen_random_uuid();
                v_task record;
            begin
                perform perdure.start_workflow(0::smallint, 'default', 'encrypted', 'Payment', 'vault',
                    \(unescaped: "'\(secret.json.text)'"));
                perform perdure.register_worker(v_worker, 'default', 'w', '', array['vault'], '1 hour');
                select * into v_task from perdure.claim_workflow_tasks(0::smallint, v_worker, 'vault', 1);
                perform perdure.complete_workflow_tasks(0::smallint, v_worker, jsonb_build_array(jsonb_build_object(
                    'runId', v_task.run_id, 'scheduledEventId', v_task.scheduled_event_id, 'attempt', 1,
                    'commands', jsonb_build_array(jsonb_build_object('commandType', 'FailWorkflowExecution',
                        'attributes', jsonb_build_object('failure', \(unescaped: "'\(failure.json.text)'::jsonb")))))));
            end
            $$
            """)
        let run: String = try await site.pool.query(
            "select run_id::text from perdure.workflows where workflow_id = 'encrypted'")[0].decode(at: 0)
        return "/namespaces/default/workflows/encrypted/\(run)"
    }

    @Test func whatIsEncryptedIsShownAsTheCodecServerReadsIt() async throws {
        try await withServer(CodecRoutes(codec: Self.codec).router()) { server in
            try await TestSite.with(codec: server) { site, client in
                let address = try await makeRun(site)
                let page = try await client.get(address).text
                #expect(page.contains("&lt;4111&gt;") && !page.contains("<4111>"))
                #expect(page.contains("Decoded from binary/encrypted by the codec server"))
                #expect(page.contains("hidden &amp; gone") && page.contains("Bank/Pay.swift:3"))
                #expect(!page.contains("Encoded failure"))
                #expect(page.contains(": hidden &amp; gone</span></p>"))
                #expect(try await client.get("\(address)/events/1").text.contains("&lt;4111&gt;"))
                // What is downloaded can be replayed by whoever has the key.
                let history = try await client.get("\(address)/history.json").text
                #expect(!history.contains("4111") && history.contains("encodedAttributes"))
            }
        }
    }

    @Test func withoutACodecServerOrWithOneThatFailsItIsShownAsItIsStored() async throws {
        let broken = Router()
        let asked = Mutex(0)
        broken.post("decode") { _, _ -> Response in
            asked.withLock { $0 += 1 }
            return Response(status: .internalServerError)
        }
        try await withServer(broken) { server in
            try await TestSite.with(codec: server) { site, client in
                let address = try await makeRun(site)
                let page = try await client.get(address)
                #expect(page.status == .ok)
                #expect(page.text.contains("Shown as it is stored: the codec server answered 500"))
                #expect(page.text.contains("Encoding binary/encrypted"))
                #expect(page.text.contains("message encoded as binary/encrypted"))
            }
        }
        // It is left alone for a while.
        #expect(asked.withLock { $0 } == 1)
        try await TestSite.with { site, client in
            let page = try await client.get(try await makeRun(site)).text
            #expect(page.contains("Encoding binary/encrypted") && !page.contains("codec server"))
        }
    }

    @Test func aCodecServerThatDoesNotAnswerHoldsUpNoPage() async throws {
        let silent = Router()
        let asked = Mutex(0)
        silent.post("decode") { _, _ -> Response in
            asked.withLock { $0 += 1 }
            try await Task.sleep(for: .seconds(30))
            return Response(status: .ok)
        }
        try await withServer(silent, timeout: .milliseconds(500)) { server in
            let encrypted = try await Self.codec.encode(payloads: [Payload(plain: 1)]).json
            for _ in 0..<3 {
                let shown = await server.decode([["input": encrypted]], of: "default")
                #expect(shown[0]["input"]?[0]?["notDecoded"]?.stringValue?.contains("did not answer within") == true)
            }
            // The second page and the third do not wait for it.
            #expect(asked.withLock { $0 } == 1)
        }
    }

    @Test func onlyPayloadsThatNobodyElseReadsAreSent() async throws {
        let sent = Mutex<[JSON]>([])
        let router = Router()
        router.post("decode") { request, _ -> Response in
            let body = try await request.body.collect(upTo: 1 << 20)
            let payloads = try JSON(parsing: Array(body.readableBytesView))["payloads"] ?? []
            sent.withLock {
                $0.append(["namespace": .string(request.headers[.init("X-Namespace")!] ?? ""), "payloads": payloads])
            }
            return Response(json: [
                "payloads": .array(payloads.elements.map { _ in Payload(plain: "read").temporalJSON })
            ])
        }
        try await withServer(router) { server in
            let own: JSON = ["encoding": "own", "data": "AA=="]
            let document: JSON = [
                "input": [["encoding": "json/plain", "data": own], own], "memo": ["a": own],
                "attributes": ["encoding": "own"], "bytes": [["encoding": "binary/plain", "data": "AA=="]],
            ]
            let shown = await server.decode([document, ["nothing": 1]], of: "bank")
            #expect(shown[0]["input"]?[0] == document["input"]?[0])
            #expect(shown[0]["input"]?[1] == ["encoding": "json/plain", "data": "read", "decodedFrom": "own"])
            #expect(shown[0]["memo"]?["a"]?["data"] == "read")
            #expect(shown[0]["bytes"] == document["bytes"])
            #expect(shown[1] == ["nothing": 1])
        }
        let requests = sent.withLock { $0 }
        #expect(requests.count == 1)
        let request = try #require(requests.first)
        #expect(request["namespace"] == "bank")
        #expect(request["payloads"]?.elements.count == 2)
    }

    @Test func aSettingThatIsNoneIsSaid() throws {
        #expect(try CodecServer.fromEnvironment([:], logger: quiet) === nil)
        #expect(
            try CodecServer.fromEnvironment(
                ["PERDURE_CODEC_ENDPOINT": "http://localhost:8081/{namespace}"], logger: quiet) !== nil)
        for environment in [
            ["PERDURE_CODEC_ENDPOINT": "nowhere"],
            ["PERDURE_CODEC_ENDPOINT": "http://localhost", "PERDURE_CODEC_TIMEOUT": "long"],
        ] {
            #expect(throws: StartupFailure.self) {
                _ = try CodecServer.fromEnvironment(environment, logger: quiet)
            }
        }
    }
}
