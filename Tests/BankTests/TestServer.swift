import AsyncHTTPClient
import Foundation
import Hummingbird
import Logging
import NIOCore
import PerdureModel
import ServiceLifecycle
import Testing
import WebCommon

/// Serves on a free port for as long as the body runs.
func withServer<T: Sendable>(
    _ router: Router<BasicRequestContext>, gate: Gate = Gate(), _ body: @Sendable @escaping (String) async throws -> T
) async throws -> T {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let (ports, continuation) = AsyncStream.makeStream(of: Int.self)
    let application = Application(
        responder: GatedResponder(inner: router.buildResponder(), gate: gate), server: .http1Connections,
        configuration: .init(address: .hostname("127.0.0.1", port: 0)),
        onServerRunning: { channel in continuation.yield(channel.localAddress?.port ?? 0) }, logger: logger)
    var configuration = ServiceGroupConfiguration(services: [.init(service: application)], logger: logger)
    configuration.maximumGracefulShutdownDuration = .seconds(3)
    let services = ServiceGroup(configuration: configuration)
    return try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
            do { try await services.run() } catch is CancellationError {}
            continuation.finish()
        }
        var iterator = ports.makeAsyncIterator()
        let port = try #require(await iterator.next(), "the server did not start")
        do {
            let value = try await body("http://127.0.0.1:\(port)")
            await services.triggerGracefulShutdown()
            return value
        } catch {
            await services.triggerGracefulShutdown()
            throw error
        }
    }
}

/// What a server answered.
struct Answer: Sendable {
    var status: Int
    var text: String
    var headers: [String: String]

    var json: JSON { (try? JSON(parsing: text.utf8)) ?? .null }
    var error: String? { json["error"]?.stringValue }
}

func request(
    _ method: String, _ url: String, body: String? = nil, headers: [String: String] = [:],
    timeout: Duration = .seconds(30)
) async throws -> Answer {
    var request = HTTPClientRequest(url: url)
    request.method = .init(rawValue: method)
    for (name, value) in headers { request.headers.add(name: name, value: value) }
    if let body { request.body = .bytes(ByteBuffer(string: body)) }
    let response = try await HTTPClient.shared.execute(request, timeout: TimeAmount(timeout))
    let text = String(buffer: try await response.body.collect(upTo: 1 << 24))
    let fields = response.headers.reduce(into: [String: String]()) { $0[$1.name.lowercased()] = $1.value }
    return Answer(status: Int(response.status.code), text: text, headers: fields)
}

/// Reads a stream of events until the body has seen enough.
struct EventReader {
    var url: String

    func read(_ body: (_ event: String, _ data: JSON) async throws -> Bool) async throws {
        let response = try await HTTPClient.shared.execute(HTTPClientRequest(url: url), timeout: .seconds(30))
        var text = ""
        for try await buffer in response.body {
            text += String(buffer: buffer)
            while let end = text.range(of: "\n\n") {
                let lines = text[..<end.lowerBound].split(separator: "\n")
                text.removeSubrange(..<end.upperBound)
                func field(_ name: String) -> String? {
                    lines.first { $0.hasPrefix("\(name): ") }.map { String($0.dropFirst(name.count + 2)) }
                }
                guard let event = field("event"), let data = field("data") else { continue }
                if try await body(event, try JSON(parsing: data.utf8)) { return }
            }
        }
        Issue.record("the stream ended too early")
    }
}
