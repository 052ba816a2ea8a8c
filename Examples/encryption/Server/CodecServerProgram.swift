import EncryptionExample
import Foundation
import Hummingbird

/// Decodes for people's tools what workers encrypt: whoever can reach it reads everything, so it belongs behind a
/// login.
///
/// `ENCRYPTION_KEY` is the key, 32 bytes in base64; `CODEC_PORT` the port at 127.0.0.1, 8081 by default;
/// `CODEC_ORIGINS` the origins of web pages that may ask it, separated by commas.
@main
struct CodecServerProgram {
    static func main() async throws {
        let environment = ProcessInfo.processInfo.environment
        guard let key = environment["ENCRYPTION_KEY"].flatMap({ Data(base64Encoded: $0) }), key.count == 32 else {
            FileHandle.standardError.write(
                Data("codec-server: set ENCRYPTION_KEY to 32 bytes in base64, as of: openssl rand -base64 32\n".utf8))
            exit(1)
        }
        let codec = AESGCMCodec(keyID: environment["ENCRYPTION_KEY_ID"] ?? "key-1", key: Array(key))
        let origins = (environment["CODEC_ORIGINS"] ?? "http://localhost:8233").split(separator: ",").map(String.init)
        let application = Application(
            router: CodecRoutes(codec: codec, origins: Set(origins)).router(),
            configuration: .init(
                address: .hostname("127.0.0.1", port: Int(environment["CODEC_PORT"] ?? "8081") ?? 8081)))
        try await application.runService()
    }
}
