import Foundation

/// Puts the engine's JSON into the bytes of Temporal's messages, in one pass and without a tree of values.
///
/// What the message has no field for is left out, so that the engine may say more than Temporal's API has. Null is the
/// same as nothing.
struct JSONToProtobuf {
    private let schema: TemporalSchema
    /// The type of a search attribute, such as `Keyword`: the engine's JSON holds plain values.
    private let searchAttributeType: (String) -> String?

    init(
        schema: TemporalSchema = .temporal, searchAttributeType: @escaping (String) -> String? = { _ in nil }
    ) {
        self.schema = schema
        self.searchAttributeType = searchAttributeType
    }

    /// The bytes of the named message.
    ///
    /// - Parameter json: UTF-8 text.
    /// - Throws: ``TranscodingError`` when it is not the JSON of such a message.
    func bytes(of message: Int, json: [UInt8]) throws(TranscodingError) -> [UInt8] {
        try json.withUnsafeBufferPointer { text throws(TranscodingError) in
            var cursor = JSONCursor(text)
            var output = ProtobufWriter()
            output.reserveCapacity(text.count)
            try write(schema.messages[message], &cursor, &output)
            guard cursor.peek() == 0 else { throw cursor.malformed("text after the value") }
            return output.bytes
        }
    }

    private func write(
        _ message: TemporalSchema.Message, _ json: inout JSONCursor, _ output: inout ProtobufWriter
    ) throws(TranscodingError) {
        switch message.form {
        case .object: try writeFields(of: message, &json, &output)
        case .tagged(let type, let attributes): try writeTagged(message, type, attributes, &json, &output)
        case .payloads:
            let payload = message.fields[0]
            try json.elements { json throws(TranscodingError) in try writeMessage(payload, &json, &output) }
        case .payload: try PayloadForm.write(&json, &output)
        case .payloadsByName: try writeMap(message.fields[0], &json, &output)
        case .searchAttributes: try writeSearchAttributes(message.fields[0], nil, &json, &output)
        case .timestamp: try TimeForm.writeTimestamp(&json, &output)
        case .duration: try TimeForm.writeDuration(&json, &output)
        case .any: try writeAny(&json, &output)
        case .wrapper: try writeSingle(message.fields[0], &json, &output)
        case .fieldMask:
            for path in try json.string().split(separator: ",") { output.field(1, bytes: path.utf8) }
        }
    }

    private func writeFields(
        of message: TemporalSchema.Message, _ json: inout JSONCursor, _ output: inout ProtobufWriter
    ) throws(TranscodingError) {
        var attributes: (field: TemporalSchema.Field, place: JSONCursor)?
        var types: JSONCursor?
        try json.members { json, name throws(TranscodingError) in
            guard let field = message.field(named: json.slice(name)) else {
                if json.slice(name).elementsEqual("searchAttributeTypes".utf8) { types = json }
                _ = try json.skip()
                return
            }
            if case .message(let place) = field.type, case .searchAttributes = schema.messages[place].form {
                attributes = (field, json)
                _ = try json.skip()
                return
            }
            try write(field, &json, &output)
        }
        // Their types stand behind them.
        guard let (field, start) = attributes else { return }
        var place = start
        guard try !place.takeNull() else { return }
        guard case .message(let index) = field.type else { return }
        try output.field(field.number) { output throws(TranscodingError) in
            try writeSearchAttributes(schema.messages[index].fields[0], types, &place, &output)
        }
    }

    /// The type may stand behind the attributes that it decides about.
    private func writeTagged(
        _ message: TemporalSchema.Message, _ type: String, _ attributes: [String: Int], _ json: inout JSONCursor,
        _ output: inout ProtobufWriter
    ) throws(TranscodingError) {
        var name: String?
        var place: JSONCursor?
        try json.members { json, member throws(TranscodingError) in
            let isAttributes = json.slice(member).elementsEqual("attributes".utf8)
            guard !isAttributes, let field = message.field(named: json.slice(member)) else {
                if isAttributes { place = json }
                _ = try json.skip()
                return
            }
            if field.name == type, json.peek() == UInt8(ascii: "\"") {
                var before = json
                name = try before.string()
            }
            try write(field, &json, &output)
        }
        guard let name, let index = attributes[name] else { return }
        let field = message.fields[index]
        // An event without attributes says its type by an empty message, as Temporal's do.
        guard var place else { return output.field(field.number, bytes: []) }
        try write(field, &place, &output)
    }

    private func write(
        _ field: TemporalSchema.Field, _ json: inout JSONCursor, _ output: inout ProtobufWriter
    ) throws(TranscodingError) {
        do throws(TranscodingError) {
            if try json.takeNull() { return }
            switch field.kind {
            case .single, .optional: try writeSingle(field, &json, &output)
            case .repeated where field.type.isNumeric: try writePacked(field, &json, &output)
            case .repeated:
                try json.elements { json throws(TranscodingError) in try writeSingle(field, &json, &output) }
            case .map: try writeMap(field, &json, &output)
            }
        } catch {
            throw error.inside(field.name)
        }
    }

    private func writeMessage(
        _ field: TemporalSchema.Field, _ json: inout JSONCursor, _ output: inout ProtobufWriter
    ) throws(TranscodingError) {
        guard case .message(let place) = field.type else { return }
        try output.field(field.number) { output throws(TranscodingError) in
            try write(schema.messages[place], &json, &output)
        }
    }

    private func writeSingle(
        _ field: TemporalSchema.Field, _ json: inout JSONCursor, _ output: inout ProtobufWriter
    ) throws(TranscodingError) {
        // In an array, in a map and where none is told apart from zero, a default is written.
        var isWritten = true
        if case .single = field.kind { isWritten = false }
        switch field.type {
        case .message: try writeMessage(field, &json, &output)
        case .scalar(.string):
            if !isWritten, try isEmptyString(&json) { return }
            try output.field(field.number) { output throws(TranscodingError) in
                try output.append { bytes throws(TranscodingError) in try json.appendString(to: &bytes) }
            }
        case .scalar(.bytes):
            let bytes = try json.base64()
            if isWritten || !bytes.isEmpty { output.field(field.number, bytes: bytes) }
        default:
            let number = try number(field.type, &json)
            guard isWritten || !number.isZero else { return }
            output.tag(field.number, number.wireType)
            output.append(number)
        }
    }

    /// Repeated numbers stand in one field, without their tags.
    private func writePacked(
        _ field: TemporalSchema.Field, _ json: inout JSONCursor, _ output: inout ProtobufWriter
    ) throws(TranscodingError) {
        var packed = ProtobufWriter()
        try json.elements { json throws(TranscodingError) in packed.append(try number(field.type, &json)) }
        if !packed.bytes.isEmpty { output.field(field.number, bytes: packed.bytes) }
    }

    private func number(
        _ type: TemporalSchema.FieldType, _ json: inout JSONCursor
    ) throws(TranscodingError) -> ProtobufWriter.Number {
        switch type {
        case .enumeration(let place): .varint(Int64(try number(of: schema.enums[place], &json)))
        case .scalar(.bool): .varint(try json.bool() ? 1 : 0)
        case .scalar(.int32): .varint(Int64(try json.integer(Int32.self)))
        case .scalar(.uint32): .varint(Int64(try json.integer(UInt32.self)))
        case .scalar(.uint64): .varint(Int64(bitPattern: try json.integer(UInt64.self)))
        case .scalar(.double): .fixed64(try json.double().bitPattern)
        case .scalar(.float): .fixed32(Float(try json.double()).bitPattern)
        default: .varint(try json.integer(Int64.self))
        }
    }

    /// Takes an empty string, if one stands here.
    private func isEmptyString(_ json: inout JSONCursor) throws(TranscodingError) -> Bool {
        var ahead = json
        guard try ahead.quoted().range.isEmpty else { return false }
        json = ahead
        return true
    }

    /// The name without its prefix, in Pascal case, or the number.
    private func number(
        of enumeration: TemporalSchema.Enumeration, _ json: inout JSONCursor
    ) throws(TranscodingError) -> Int32 {
        guard json.peek() == UInt8(ascii: "\"") else { return try json.integer() }
        let name = try json.string()
        guard let number = enumeration.numbers[name] else {
            throw json.malformed("\(enumeration.name) has no value \(name.prefix(100))")
        }
        return Int32(number)
    }

    private func writeMap(
        _ field: TemporalSchema.Field, _ json: inout JSONCursor, _ output: inout ProtobufWriter
    ) throws(TranscodingError) {
        guard case .map(let keyType) = field.kind else { return }
        let value = TemporalSchema.Field(number: 2, name: field.name, kind: .optional, type: field.type)
        try json.members { json, name throws(TranscodingError) in
            let key = try json.unescaped(name)
            do throws(TranscodingError) {
                if try json.takeNull() { return }
                try output.field(field.number) { output throws(TranscodingError) in
                    if keyType == .string {
                        output.field(1, bytes: key)
                    } else {
                        guard let number = Int64(String(decoding: key, as: UTF8.self)) else {
                            throw json.malformed("a name is no number")
                        }
                        output.field(1, varint: number)
                    }
                    try writeSingle(value, &json, &output)
                }
            } catch {
                throw error.inside(String(decoding: key, as: UTF8.self))
            }
        }
    }

    private func writeSearchAttributes(
        _ field: TemporalSchema.Field, _ types: JSONCursor?, _ json: inout JSONCursor, _ output: inout ProtobufWriter
    ) throws(TranscodingError) {
        // As an event kept them; else as the namespace has them now.
        var known: [String: [UInt8]] = [:]
        if var types {
            try types.members { json, name throws(TranscodingError) in
                let key = String(decoding: try json.unescaped(name), as: UTF8.self)
                try json.appendString(to: &known[key, default: []])
            }
        }
        try json.members { json, name throws(TranscodingError) in
            let key = try json.unescaped(name)
            let isNull = json.peek() == UInt8(ascii: "n")
            let value = try json.skip()
            var metadata = [("encoding", Array((isNull ? "binary/null" : "json/plain").utf8))]
            let text = String(decoding: key, as: UTF8.self)
            if let type = known[text] ?? searchAttributeType(text).map({ Array($0.utf8) }) {
                metadata.append(("type", type))
            }
            try output.field(field.number) { output throws(TranscodingError) in
                output.field(1, bytes: key)
                try output.field(2) { output throws(TranscodingError) in
                    PayloadForm.write(metadata: metadata, data: isNull ? json.slice(0..<0) : json.slice(value), &output)
                }
            }
        }
    }

    /// `{"@type": "temporal.api.update.v1.Request", …}`; of a message that is not known, `value` holds the bytes.
    private func writeAny(_ json: inout JSONCursor, _ output: inout ProtobufWriter) throws(TranscodingError) {
        var ahead = json
        var type: String?
        var value: [UInt8]?
        try ahead.members { json, name throws(TranscodingError) in
            switch String(decoding: json.slice(name), as: UTF8.self) {
            case "@type": type = try json.string()
            case "value" where json.peek() == UInt8(ascii: "\""):
                var ahead = json
                value = try ahead.base64()
                try json.skip()
            default: try json.skip()
            }
        }
        guard let type else { throw json.malformed("an Any has no @type") }
        output.field(1, bytes: "type.googleapis.com/\(type)".utf8)
        var content = ProtobufWriter()
        if let message = schema.message(type), case .object = schema.messages[message].form {
            try writeFields(of: schema.messages[message], &json, &content)
        } else {
            json = ahead
            try content.append { $0 = value ?? [] }
        }
        if !content.bytes.isEmpty { output.field(2, bytes: content.bytes) }
    }
}

extension JSONCursor {
    mutating func base64() throws(TranscodingError) -> [UInt8] {
        let (range, _) = try quoted()
        guard !range.isEmpty else { return [] }
        guard let data = Data(base64Encoded: Data(slice(range))) else { throw malformed("a string is no base64") }
        return Array(data)
    }
}
