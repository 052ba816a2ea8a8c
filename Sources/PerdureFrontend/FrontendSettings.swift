import Foundation
import GRPCNIOTransportHTTP2Posix

/// Where the frontend listens, how, and to whom.
struct FrontendSettings: Sendable {
    /// As Temporal's server allows.
    static let maximumMessageSize = 4 * 1024 * 1024

    var host = "127.0.0.1"
    var port = 7233
    var security = HTTP2ServerTransport.Posix.TransportSecurity.plaintext
    var keys = APIKeys()

    init() {}

    /// Reads `PERDURE_FRONTEND_HOST` and `PERDURE_FRONTEND_PORT`; `PERDURE_FRONTEND_CERTIFICATE`,
    /// `PERDURE_FRONTEND_KEY` and
    /// `PERDURE_FRONTEND_CLIENT_CA` (files in PEM); `PERDURE_FRONTEND_API_KEYS_FILE` or `PERDURE_FRONTEND_API_KEYS`;
    /// and
    /// `PERDURE_FRONTEND_OPEN`.
    ///
    /// - Throws: ``FrontendFailure`` for a setting that cannot be used.
    init(environment: [String: String] = ProcessInfo.processInfo.environment) throws {
        func setting(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
        host = setting("PERDURE_FRONTEND_HOST") ?? host
        if let text = setting("PERDURE_FRONTEND_PORT") {
            guard let number = Int(text), (0...65535).contains(number) else {
                throw FrontendFailure(
                    "PERDURE_FRONTEND_PORT is \"\(text)\", which is no port: set it to one up to 65535")
            }
            port = number
        }
        keys = try Self.keys(
            file: setting("PERDURE_FRONTEND_API_KEYS_FILE"), text: setting("PERDURE_FRONTEND_API_KEYS"))
        let certificate = setting("PERDURE_FRONTEND_CERTIFICATE")
        let clientAuthority = setting("PERDURE_FRONTEND_CLIENT_CA")
        security = try Self.security(
            certificate: certificate, key: setting("PERDURE_FRONTEND_KEY"), clientAuthority: clientAuthority)
        if !Self.isLoopback(host), setting("PERDURE_FRONTEND_OPEN") != "yes" {
            let advice = "or set PERDURE_FRONTEND_OPEN=yes if the network lets nobody else in"
            guard clientAuthority != nil || !keys.isEmpty else {
                throw FrontendFailure(
                    "PERDURE_FRONTEND_HOST is \(host), and whoever reaches it may do anything: ask clients for an API "
                        + "key (PERDURE_FRONTEND_API_KEYS_FILE) or a certificate (PERDURE_FRONTEND_CLIENT_CA), "
                        + "listen on 127.0.0.1, \(advice)")
            }
            guard certificate != nil else {
                throw FrontendFailure(
                    "PERDURE_FRONTEND_HOST is \(host), and API keys would cross the network for all to read: set "
                        + "PERDURE_FRONTEND_CERTIFICATE and PERDURE_FRONTEND_KEY, \(advice)")
            }
        }
        if host == "localhost" { host = "127.0.0.1" }
    }

    private static func isLoopback(_ host: String) -> Bool {
        host == "localhost" || host == "::1" || host.hasPrefix("127.")
    }

    private static func keys(file: String?, text: String?) throws -> APIKeys {
        switch (file, text) {
        case (nil, nil): return APIKeys()
        case (nil, let text?): return try APIKeys(text, origin: "PERDURE_FRONTEND_API_KEYS")
        case (let file?, nil):
            guard let text = try? String(contentsOfFile: file, encoding: .utf8) else { throw unreadable(file) }
            return try APIKeys(text, origin: file)
        default: throw FrontendFailure("set PERDURE_FRONTEND_API_KEYS_FILE or PERDURE_FRONTEND_API_KEYS, not both")
        }
    }

    private static func security(
        certificate: String?, key: String?, clientAuthority: String?
    ) throws -> HTTP2ServerTransport.Posix.TransportSecurity {
        for file in [certificate, key, clientAuthority].compactMap(\.self)
        where !FileManager.default.isReadableFile(atPath: file) {
            throw unreadable(file)
        }
        guard let certificate, let key else {
            guard certificate == nil, key == nil else {
                throw FrontendFailure("set both PERDURE_FRONTEND_CERTIFICATE and PERDURE_FRONTEND_KEY, or neither")
            }
            guard clientAuthority == nil else {
                throw FrontendFailure(
                    "PERDURE_FRONTEND_CLIENT_CA needs PERDURE_FRONTEND_CERTIFICATE and PERDURE_FRONTEND_KEY too: "
                        + "without TLS no client shows a certificate")
            }
            return .plaintext
        }
        let chain = [TLSConfig.CertificateSource.file(path: certificate, format: .pem)]
        let privateKey = TLSConfig.PrivateKeySource.file(path: key, format: .pem)
        guard let clientAuthority else { return .tls(certificateChain: chain, privateKey: privateKey) }
        return .mTLS(certificateChain: chain, privateKey: privateKey) { tls in
            tls.trustRoots = .certificates([.file(path: clientAuthority, format: .pem)])
        }
    }

    private static func unreadable(_ file: String) -> FrontendFailure {
        FrontendFailure("\(file) cannot be read: name a file that this user may read")
    }
}

/// Why the frontend could not start, in one line that says what to do.
struct FrontendFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
