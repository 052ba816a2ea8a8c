import Foundation

/// Puts the bytes of Temporal's messages into the engine's JSON. Fields that the schema does not have are left out.
struct ProtobufToJSON {
    /// Messages inside each other; the limit of Temporal's own server.
    static let maximumDepth = 100

    private let schema: TemporalSchema

    init(schema: TemporalSchema = .temporal) { self.schema = schema }

    /// JSON text, UTF-8, that jsonb can hold.
    ///
    /// - Parameter message: the place of the message in ``TemporalSchema/messages``.
    /// - Throws: ``TranscodingError`` when these are not the bytes of such a message, or PostgreSQL cannot hold what
    ///   they say.
    func json(of message: Int, bytes: [UInt8]) throws(TranscodingError) -> [UInt8] {
        try bytes.withUnsafeBufferPointer { buffer throws(TranscodingError) in
            var output = JSONWriter()
            output.reserveCapacity(buffer.count * 2)
            try write(schema.messages[message], [0..<buffer.count], buffer, 0, &output)
            return output.bytes
        }
    }

    /// - Parameter parts: where the message stands. A field may come in several parts, which together are its message.
    private func write(
        _ message: TemporalSchema.Message, _ parts: [Range<Int>], _ bytes: UnsafeBufferPointer<UInt8>, _ depth: Int,
        _ output: inout JSONWriter
    ) throws(TranscodingError) {
        guard depth <= Self.maximumDepth else {
            throw TranscodingError(reason: .nestedTooDeep(limit: Self.maximumDepth))
        }
        if parts.count > 1 {
            let joined = parts.flatMap { bytes[$0] }
            return try joined.withUnsafeBufferPointer { buffer throws(TranscodingError) in
                try write(message, [0..<buffer.count], buffer, depth, &output)
            }
        }
        let reader = ProtobufReader(bytes, parts[0])
        switch message.form {
        case .payload: return try PayloadForm.write(reader, &output)
        case .timestamp: return try TimeForm.writeTimestamp(reader, &output)
        case .duration: return try TimeForm.writeDuration(reader, &output)
        case .any: return try writeAny(reader, depth, &output)
        default: break
        }
        let values = try values(of: message, reader)
        switch message.form {
        case .payloads:
            try output.array { output throws(TranscodingError) in
                try writeElements(message.fields[0], values[0], bytes, depth, &output)
            }
        case .payloadsByName: try writeMap(message.fields[0], values[0], bytes, depth, &output)
        case .searchAttributes: try writeSearchAttributes(values[0], bytes, &output)
        case .wrapper:
            let value = values[0].last ?? .fixed64(0)
            try writeElements(message.fields[0], [value], bytes, depth, &output)
        case .fieldMask:
            var paths: [String] = []
            for case .bytes(let range) in values[0] { paths.append(try Self.string(bytes, range)) }
            output.string(paths.joined(separator: ",").utf8)
        case .tagged(let type, let attributes):
            let tag = message.fields.firstIndex { $0.name == type }.flatMap { name(of: message.fields[$0], values[$0]) }
            // Of attributes only those count that the type says; a message of this form has no others.
            let place = tag.flatMap { attributes[$0] }
            var counted = values
            for other in attributes.values where other != place { counted[other] = [] }
            try output.object { output throws(TranscodingError) in
                try writeFields(of: message, counted, bytes, depth, &output) {
                    $0 == place ? "attributes" : message.fields[$0].name
                }
            }
        default:
            try output.object { output throws(TranscodingError) in
                try writeFields(of: message, values, bytes, depth, &output) { message.fields[$0].name }
            }
        }
    }

    /// The name of the enum's value that a field holds.
    private func name(of field: TemporalSchema.Field, _ values: [ProtobufReader.Value]) -> String? {
        guard case .enumeration(let place) = field.type, case .varint(let number) = values.last else { return nil }
        return schema.enums[place].names[Int(Int32(truncatingIfNeeded: number))]
    }

    private func writeFields(
        of message: TemporalSchema.Message, _ values: [[ProtobufReader.Value]], _ bytes: UnsafeBufferPointer<UInt8>,
        _ depth: Int, _ output: inout JSONWriter, named name: (Int) -> String
    ) throws(TranscodingError) {
        for (place, field) in message.fields.enumerated() where !values[place].isEmpty {
            output.name(name(place))
            do throws(TranscodingError) {
                try write(field, values[place], bytes, depth, &output)
            } catch {
                throw error.inside(field.name)
            }
        }
    }

    /// The values of each field, in the order in which they came.
    private func values(
        of message: TemporalSchema.Message, _ reader: ProtobufReader
    ) throws(TranscodingError) -> [[ProtobufReader.Value]] {
        var reader = reader
        var values: [[ProtobufReader.Value]] = Array(repeating: [], count: message.fields.count)
        while !reader.isAtEnd {
            let (number, value) = try reader.next()
            if let place = message.byNumber[number] { values[place].append(value) }
        }
        return values
    }

    private func write(
        _ field: TemporalSchema.Field, _ values: [ProtobufReader.Value], _ bytes: UnsafeBufferPointer<UInt8>,
        _ depth: Int, _ output: inout JSONWriter
    ) throws(TranscodingError) {
        switch field.kind {
        case .map: try writeMap(field, values, bytes, depth, &output)
        case .repeated:
            try output.array { output throws(TranscodingError) in
                try writeElements(field, values, bytes, depth, &output)
            }
        case .single, .optional:
            if case .message(let place) = field.type {
                var parts: [Range<Int>] = []
                for case .bytes(let range) in values { parts.append(range) }
                guard parts.count == values.count else { throw Self.wrongType(field) }
                try write(schema.messages[place], parts, bytes, depth + 1, &output)
            } else {
                // Of several the last one counts.
                try writeElements(field, [values[values.count - 1]], bytes, depth, &output)
            }
        }
    }

    private static func wrongType(_ field: TemporalSchema.Field) -> TranscodingError {
        TranscodingError(reason: .malformedProtobuf("field \(field.number) has another type on the wire"))
    }

    private func writeElements(
        _ field: TemporalSchema.Field, _ values: [ProtobufReader.Value], _ bytes: UnsafeBufferPointer<UInt8>,
        _ depth: Int, _ output: inout JSONWriter
    ) throws(TranscodingError) {
        for value in values {
            switch (field.type, value) {
            case (.message(let place), .bytes(let range)):
                try write(schema.messages[place], [range], bytes, depth + 1, &output)
            case (.scalar(.string), .bytes(let range)): output.string(try Self.string(bytes, range).utf8)
            case (.scalar(.bytes), .bytes(let range)): output.base64(UnsafeBufferPointer(rebasing: bytes[range]))
            // Repeated numbers may come packed into one field.
            case (.enumeration, .bytes(let range)), (.scalar(.bool), .bytes(let range)),
                (.scalar(.int32), .bytes(let range)), (.scalar(.int64), .bytes(let range)),
                (.scalar(.uint32), .bytes(let range)), (.scalar(.uint64), .bytes(let range)):
                guard case .repeated = field.kind else { throw Self.wrongType(field) }
                var reader = ProtobufReader(bytes, range)
                while !reader.isAtEnd { writeVarint(field.type, try reader.varint(), &output) }
            case (.enumeration, .varint(let number)), (.scalar(.bool), .varint(let number)),
                (.scalar(.int32), .varint(let number)), (.scalar(.int64), .varint(let number)),
                (.scalar(.uint32), .varint(let number)), (.scalar(.uint64), .varint(let number)):
                writeVarint(field.type, number, &output)
            case (.scalar(.double), .fixed64(let bits)): Self.write(Double(bitPattern: bits), &output)
            case (.scalar(.float), .fixed32(let bits)): Self.write(Float(bitPattern: bits), &output)
            default: throw Self.wrongType(field)
            }
        }
    }

    private func writeVarint(_ type: TemporalSchema.FieldType, _ value: UInt64, _ output: inout JSONWriter) {
        switch type {
        case .enumeration(let place):
            let number = Int(Int32(truncatingIfNeeded: value))
            // A value of a newer version has no name.
            if let name = schema.enums[place].names[number] {
                output.string(name.utf8)
            } else {
                output.literal(String(number).utf8)
            }
        case .scalar(.bool): output.literal((value != 0 ? "true" : "false").utf8)
        case .scalar(.int32): output.literal(String(Int32(truncatingIfNeeded: value)).utf8)
        case .scalar(.uint32): output.literal(String(UInt32(truncatingIfNeeded: value)).utf8)
        case .scalar(.uint64): output.literal(String(value).utf8)
        default: output.literal(String(Int64(bitPattern: value)).utf8)
        }
    }

    private static func write(_ value: some BinaryFloatingPoint & LosslessStringConvertible, _ output: inout JSONWriter)
    {
        if value.isNaN { return output.string("NaN".utf8) }
        if value.isInfinite { return output.string((value < 0 ? "-Infinity" : "Infinity").utf8) }
        output.literal(value.description.utf8)
    }

    private func writeMap(
        _ field: TemporalSchema.Field, _ values: [ProtobufReader.Value], _ bytes: UnsafeBufferPointer<UInt8>,
        _ depth: Int, _ output: inout JSONWriter
    ) throws(TranscodingError) {
        guard case .map(let keyType) = field.kind else { return }
        let single = TemporalSchema.Field(number: 2, name: field.name, kind: .single, type: field.type)
        var entries: [String: [ProtobufReader.Value]] = [:]
        for value in values {
            guard case .bytes(let range) = value else { throw Self.wrongType(field) }
            let (key, content) = try entry(range, keyType, field, bytes)
            // Of two entries with one key the last one counts.
            entries[key] = content
        }
        let sorted = entries.sorted { $0.key < $1.key }
        try output.object { output throws(TranscodingError) in
            for (key, content) in sorted {
                output.name(key)
                do throws(TranscodingError) {
                    try write(single, content.isEmpty ? [Self.zero(of: field.type)] : content, bytes, depth, &output)
                } catch {
                    throw error.inside(key)
                }
            }
        }
    }

    private func entry(
        _ range: Range<Int>, _ keyType: TemporalSchema.Scalar, _ field: TemporalSchema.Field,
        _ bytes: UnsafeBufferPointer<UInt8>
    ) throws(TranscodingError) -> (key: String, value: [ProtobufReader.Value]) {
        var reader = ProtobufReader(bytes, range)
        var key = keyType == .string ? "" : "0"
        var content: [ProtobufReader.Value] = []
        while !reader.isAtEnd {
            switch try reader.next() {
            case (1, .bytes(let range)) where keyType == .string: key = try Self.string(bytes, range)
            case (1, .varint(let number)) where keyType != .string: key = String(Int64(bitPattern: number))
            case (1, _): throw Self.wrongType(field)
            case (2, let value): content.append(value)
            default: break
            }
        }
        return (key, content)
    }

    /// What an entry without a value means.
    private static func zero(of type: TemporalSchema.FieldType) -> ProtobufReader.Value {
        switch type {
        case .message, .scalar(.string), .scalar(.bytes): .bytes(0..<0)
        case .scalar(.double): .fixed64(0)
        case .scalar(.float): .fixed32(0)
        default: .varint(0)
        }
    }

    /// Plain values by name: what the payloads' metadata says of their types, the namespace knows.
    private func writeSearchAttributes(
        _ values: [ProtobufReader.Value], _ bytes: UnsafeBufferPointer<UInt8>, _ output: inout JSONWriter
    ) throws(TranscodingError) {
        var attributes: [String: Range<Int>] = [:]
        for case .bytes(let range) in values {
            var reader = ProtobufReader(bytes, range)
            var name = ""
            var data = 0..<0
            while !reader.isAtEnd {
                switch try reader.next() {
                case (1, .bytes(let range)): name = try Self.string(bytes, range)
                case (2, .bytes(let range)):
                    var payload = ProtobufReader(bytes, range)
                    while !payload.isAtEnd {
                        if case (2, .bytes(let range)) = try payload.next() { data = range }
                    }
                default: break
                }
            }
            attributes[name] = data
        }
        let sorted = attributes.sorted { $0.key < $1.key }
        try output.object { output throws(TranscodingError) in
            for (name, data) in sorted {
                output.name(name)
                let content = UnsafeBufferPointer(rebasing: bytes[data])
                if content.isEmpty {
                    output.literal("null".utf8)
                } else if JSONExactness.isHeldByJSONB(content) {
                    output.literal(content)
                } else {
                    throw TranscodingError(
                        reason: .cannotBeStored("the value is no JSON that jsonb can hold"), path: [name])
                }
            }
        }
    }

    private func writeAny(
        _ reader: ProtobufReader, _ depth: Int, _ output: inout JSONWriter
    ) throws(TranscodingError) {
        var reader = reader
        let bytes = reader.bytes
        var type = ""
        var value = 0..<0
        while !reader.isAtEnd {
            switch try reader.next() {
            case (1, .bytes(let range)): type = try Self.string(bytes, range)
            case (2, .bytes(let range)): value = range
            default: break
            }
        }
        let name = type.split(separator: "/").last.map(String.init) ?? ""
        try output.object { output throws(TranscodingError) in
            output.name("@type")
            output.string(name.utf8)
            guard let place = schema.message(name), case .object = schema.messages[place].form else {
                output.name("value")
                return output.base64(UnsafeBufferPointer(rebasing: bytes[value]))
            }
            guard depth < Self.maximumDepth else {
                throw TranscodingError(reason: .nestedTooDeep(limit: Self.maximumDepth))
            }
            let message = schema.messages[place]
            let values = try values(of: message, ProtobufReader(bytes, value))
            try writeFields(of: message, values, bytes, depth + 1, &output) { message.fields[$0].name }
        }
    }

    /// Text that PostgreSQL can hold.
    static func string(
        _ bytes: UnsafeBufferPointer<UInt8>, _ range: Range<Int>
    ) throws(TranscodingError) -> String {
        guard let string = String(validating: bytes[range], as: UTF8.self) else {
            throw TranscodingError(reason: .malformedProtobuf("a string is not valid UTF-8"))
        }
        guard !string.utf8.contains(0) else {
            throw TranscodingError(reason: .cannotBeStored("a string holds the character U+0000"))
        }
        return string
    }
}
