import Foundation
import PerdureEngine

/// How values of workflows and activities become payloads: Codable as JSON, bytes as they are, `Void` as nothing.
enum PayloadConversion {
    static func encode<Value>(_ value: Value) throws -> [Payload] {
        if Value.self == Void.self { return [] }
        if let bytes = value as? [UInt8] { return [Payload(bytes: bytes)] }
        if let data = value as? Data { return [Payload(bytes: Array(data))] }
        guard let encodable = value as? any Encodable else {
            throw PayloadError(reason: "\(Value.self) is not Encodable: a workflow's and an activity's values must be")
        }
        return [try Payload(encoding: encodable)]
    }

    static func decode<Value>(_ type: Value.Type = Value.self, from payloads: [Payload]) throws -> Value {
        if let void = () as? Value { return void }
        guard let decodable = type as? any Decodable.Type else {
            throw PayloadError(reason: "\(type) is not Decodable: a workflow's and an activity's values must be")
        }
        func open<D: Decodable>(_: D.Type) throws -> D { try (payloads.first ?? .null).decode(D.self) }
        return try open(decodable) as! Value
    }
}
