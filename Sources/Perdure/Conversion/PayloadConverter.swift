import Foundation
public import PerdureEngine

/// Turns single values into payloads and back. It runs in the workflow's own code, so it must be deterministic.
public protocol PayloadConverter: Sendable {
    /// - Throws: whatever keeps the value from becoming a payload.
    func convertValue(_ value: some Any) throws -> Payload

    /// - Throws: whatever keeps the payload from becoming a value of the type.
    func convertPayload<Value>(_ payload: Payload, as valueType: Value.Type) throws -> Value
}

/// A payload converter for one encoding: a link in the chain of a ``CompositePayloadConverter``.
public protocol EncodingPayloadConverter: PayloadConverter {
    /// What ``Payload/encoding`` says of its payloads, such as `application/vnd.my-company.protobuf`.
    static var encoding: String { get }
}

/// A chain of converters, the default one last: a value becomes a payload by the first that takes it, and a payload
/// becomes a value by the one that has its encoding.
public struct CompositePayloadConverter: PayloadConverter {
    private let converters: [any EncodingPayloadConverter]
    private let last = DefaultPayloadConverter()

    public init(_ converters: any EncodingPayloadConverter...) { self.converters = converters }

    public func convertValue(_ value: some Any) throws -> Payload {
        for converter in converters {
            if let payload = try? converter.convertValue(value) { return payload }
        }
        return try last.convertValue(value)
    }

    public func convertPayload<Value>(_ payload: Payload, as valueType: Value.Type) throws -> Value {
        // What jsonb cannot hold as it is, is kept as base64, and is JSON all the same.
        let encoding = payload.encoding == "json/base64" ? "json/plain" : payload.encoding
        let converter: (any PayloadConverter)? = converters.first { type(of: $0).encoding == encoding }
        return try (converter ?? last).convertPayload(payload, as: valueType)
    }
}

/// Codable values as JSON (`json/plain`), `[UInt8]` and `Data` as bytes (`binary/plain`).
public struct DefaultPayloadConverter: PayloadConverter {
    public init() {}

    /// - Throws: ``PayloadError`` for a value that is neither; what encoding the value throws.
    public func convertValue(_ value: some Any) throws -> Payload {
        // An empty array of anything is one of bytes too.
        switch value {
        case let bytes as [UInt8] where !bytes.isEmpty || type(of: value) == [UInt8].self: return Payload(bytes: bytes)
        case let data as Data: return Payload(bytes: Array(data))
        case let value as any Encodable: return try Payload(encoding: value)
        default:
            throw PayloadError(
                reason: "\(type(of: value)) is not Encodable: a workflow's and an activity's values must be")
        }
    }

    /// - Throws: ``PayloadError`` for an encoding that needs a codec; `DecodingError` for a value of another type.
    public func convertPayload<Value>(_ payload: Payload, as valueType: Value.Type) throws -> Value {
        guard let decodable = valueType as? any Decodable.Type else {
            throw PayloadError(
                reason: "\(valueType) is not Decodable: a workflow's and an activity's values must be")
        }
        func open<D: Decodable>(_: D.Type) throws -> D { try payload.decode(D.self) }
        return try open(decodable) as! Value
    }
}
