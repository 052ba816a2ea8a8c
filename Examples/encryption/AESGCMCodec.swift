import Crypto
import Foundation
public import Perdure

/// Encrypts payloads with AES-GCM: whoever reads the database, or a backup of it, sees that there is a value, and by
/// which key it is encrypted.
///
/// What is encrypted is the payload in protobuf; nonce, ciphertext and tag follow each other. The encryption samples of
/// Temporal's SDKs write the same, so that workers in several languages can share the key.
public struct AESGCMCodec: PayloadCodec {
    public static let encoding = "binary/encrypted"

    private let keyID: String
    private let key: SymmetricKey

    /// - Parameters:
    ///   - keyID: tells which key it is, once there is more than one.
    ///   - key: 32 bytes.
    public init(keyID: String, key: [UInt8]) {
        self.keyID = keyID
        self.key = SymmetricKey(data: key)
    }

    public func encode(payloads: [Payload]) async throws -> [Payload] {
        try payloads.map { payload in
            let sealed = try AES.GCM.seal(payload.serializedBytes(), using: key)
            // With a nonce of the usual 12 bytes there is a combined form.
            var encrypted = Payload(encoding: Self.encoding, bytes: Array(sealed.combined!))
            encrypted.metadata["encryption-key-id"] = .string(keyID)
            return encrypted
        }
    }

    public func decode(payloads: [Payload]) async throws -> [Payload] {
        try payloads.map { payload in
            guard payload.encoding == Self.encoding else { return payload }
            guard payload.metadata["encryption-key-id"] == .string(keyID) else {
                throw UnknownKey(id: payload.metadata["encryption-key-id"]?.stringValue ?? "without a name")
            }
            let box = try AES.GCM.SealedBox(combined: payload.bytes ?? [])
            return try Payload(serializedBytes: Array(AES.GCM.open(box, using: key)))
        }
    }

    public struct UnknownKey: Error, CustomStringConvertible {
        let id: String
        public var description: String { "the payload is encrypted with the key \(id), which this codec does not have" }
    }
}
