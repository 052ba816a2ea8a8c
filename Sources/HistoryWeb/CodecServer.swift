import AsyncHTTPClient
import Foundation
import HTTPTypes
import Logging
import NIOCore
import NIOHTTP1
import PerdureModel
import Synchronization
import WebCommon

/// Asks a codec server for what only it can read, such as encrypted payloads. The protocol is that of Temporal's web
/// pages and command line: `POST {endpoint}/decode` with `{"payloads": […]}` and the namespace in the header
/// `X-Namespace`.
///
/// What it does not answer stays as it is, with a note of why. After that it is left alone for a few seconds, so that
/// pages come without it as fast as before.
final class CodecServer: Sendable {
    private let endpoint: String
    private let authorization: String?
    private let timeout: Duration
    private let logger: Logger
    /// Why it is not asked at the moment, and until when.
    private let trouble = Mutex<(reason: String, until: ContinuousClock.Instant)?>(nil)

    private static let rest = Duration.seconds(5)
    private static let maximumPayloads = 500
    private static let maximumBytes = 16 << 20

    /// - Parameters:
    ///   - endpoint: a URL, in which `{namespace}` stands for the namespace.
    ///   - authorization: what the header `Authorization` says.
    ///   - timeout: how long a page waits for one answer.
    init(endpoint: String, authorization: String? = nil, timeout: Duration = .seconds(2), logger: Logger) {
        self.endpoint = endpoint.hasSuffix("/") ? String(endpoint.dropLast()) : endpoint
        self.authorization = authorization
        self.timeout = timeout
        self.logger = logger
    }

    /// Reads `PERDURE_CODEC_ENDPOINT`, `PERDURE_CODEC_AUTH` and `PERDURE_CODEC_TIMEOUT` (seconds).
    ///
    /// - Returns: nil if there is no endpoint.
    /// - Throws: `StartupFailure` for a setting that is none.
    static func fromEnvironment(
        _ environment: [String: String] = ProcessInfo.processInfo.environment, logger: Logger
    ) throws(StartupFailure) -> CodecServer? {
        func setting(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
        guard let endpoint = setting("PERDURE_CODEC_ENDPOINT") else { return nil }
        guard let url = URL(string: endpoint.replacing("{namespace}", with: "n")), url.host() != nil,
            ["http", "https"].contains(url.scheme)
        else {
            throw StartupFailure(
                "PERDURE_CODEC_ENDPOINT is \"\(endpoint)\", which is no URL: "
                    + "set it to one such as http://127.0.0.1:8081"
            )
        }
        let text = setting("PERDURE_CODEC_TIMEOUT") ?? "2"
        guard let seconds = Double(text), seconds > 0, seconds <= 60 else {
            throw StartupFailure("PERDURE_CODEC_TIMEOUT is \"\(text)\": set it to seconds, at most 60")
        }
        return CodecServer(
            endpoint: endpoint, authorization: setting("PERDURE_CODEC_AUTH"), timeout: .seconds(seconds),
            logger: logger)
    }

    /// Documents with what the server has decoded in the place of what it was asked for.
    func decode(_ documents: [JSON], of namespace: String) async -> [JSON] {
        var found: [JSON] = []
        for document in documents { document.collectEncoded(into: &found) }
        guard !found.isEmpty else { return documents }
        var answers: [JSON] = []
        while answers.count < found.count {
            let asked = Self.portion(of: found.dropFirst(answers.count))
            answers += await decode(payloads: asked, namespace)
        }
        var rest = answers[...]
        return documents.map { $0.replacingEncoded(with: &rest) }
    }

    /// As many as one request takes, one at least.
    private static func portion(of payloads: ArraySlice<JSON>) -> [JSON] {
        var bytes = 0
        return Array(
            payloads.prefix(maximumPayloads).enumerated().prefix { place, payload in
                bytes += payload["data"]?.stringValue?.utf8.count ?? 0
                return place == 0 || bytes <= maximumBytes / 4
            }.map(\.element))
    }

    private func decode(payloads: [JSON], _ namespace: String) async -> [JSON] {
        func left(_ reason: String) -> [JSON] {
            payloads.map { payload in
                var noted = payload
                noted["notDecoded"] = .string(reason)
                return noted
            }
        }
        if let trouble = trouble.withLock({ $0 }), trouble.until > .now { return left(trouble.reason) }
        do {
            let decoded = try await ask("decode", payloads, namespace)
            trouble.withLock { $0 = nil }
            return zip(payloads, decoded).map { payload, decoded in
                guard decoded["encoding"] != payload["encoding"] else {
                    var noted = payload
                    noted["notDecoded"] = "the codec server left it as it is"
                    return noted
                }
                var noted = decoded
                noted["decodedFrom"] = payload["encoding"]
                return noted
            }
        } catch {
            let reason = "the codec server \((error as? Refused)?.reason ?? "could not be asked: \(error)")"
            logger.warning(
                "Payloads could not be decoded", metadata: ["endpoint": "\(endpoint)", "reason": "\(reason)"])
            trouble.withLock { $0 = (reason, .now + Self.rest) }
            return left(reason)
        }
    }

    private struct Refused: Error { let reason: String }

    private func ask(_ what: String, _ payloads: [JSON], _ namespace: String) async throws -> [JSON] {
        let address = endpoint.replacing("{namespace}", with: namespace.escapedForAddress)
        var request = HTTPClientRequest(url: "\(address)/\(what)")
        request.method = .POST
        request.headers.add(name: "Content-Type", value: "application/json")
        request.headers.add(name: "X-Namespace", value: namespace)
        if let authorization { request.headers.add(name: "Authorization", value: authorization) }
        let body: JSON = ["payloads": .array(try payloads.map { try Payload(json: $0).temporalJSON })]
        request.body = .bytes(ByteBuffer(string: body.text))
        let response: HTTPClientResponse
        do {
            response = try await HTTPClient.shared.execute(
                request, timeout: .nanoseconds(Int64(timeout / .nanoseconds(1))))
        } catch let error as HTTPClientError where error == .deadlineExceeded || error == .connectTimeout {
            throw Refused(reason: "did not answer within \(timeout.readable)")
        }
        guard response.status == .ok else { throw Refused(reason: "answered \(response.status.code)") }
        let bytes = try await response.body.collect(upTo: Self.maximumBytes)
        guard let answer = try? JSON(parsing: Array(bytes.readableBytesView)),
            let decoded = answer["payloads"]?.arrayValue, decoded.count == payloads.count
        else { throw Refused(reason: "answered with something else than \(payloads.count) payloads") }
        do {
            return try decoded.map { try Payload(temporalJSON: $0).json }
        } catch {
            throw Refused(reason: "answered with what is no payload: \(error)")
        }
    }
}

// MARK: - Payloads in documents

extension JSON {
    /// Encodings that a page reads by itself, or that no codec made.
    private static let plain: Set = [
        "", "json/plain", "json/base64", "binary/null", "binary/plain", "json/protobuf", "binary/protobuf",
    ]
    private static let membersOfPayload: Set = ["encoding", "data", "metadata", "externalPayloads"]

    /// What its payload is encoded as; nil for what is no payload.
    private var payloadEncoding: String? {
        guard case .object(let members) = self, let encoding = members["encoding"]?.stringValue,
            members.keys.allSatisfy(Self.membersOfPayload.contains)
        else { return nil }
        return encoding
    }

    fileprivate func collectEncoded(into found: inout [JSON]) {
        // What a payload holds is a person's data and no payload.
        if let encoding = payloadEncoding {
            if !Self.plain.contains(encoding), self["data"]?.stringValue != nil { found.append(self) }
            return
        }
        for element in elements { element.collectEncoded(into: &found) }
        for member in members.values { member.collectEncoded(into: &found) }
    }

    fileprivate func replacingEncoded(with answers: inout ArraySlice<JSON>) -> JSON {
        if let encoding = payloadEncoding {
            let isAsked = !Self.plain.contains(encoding) && self["data"]?.stringValue != nil
            return isAsked ? answers.popFirst() ?? self : self
        }
        switch self {
        case .array(let elements): return .array(elements.map { $0.replacingEncoded(with: &answers) })
        case .object(let members): return .object(members.mapValues { $0.replacingEncoded(with: &answers) })
        default: return self
        }
    }
}
