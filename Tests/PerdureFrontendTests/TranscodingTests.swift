import Foundation
import PerdureEngine
import Testing

@testable import PerdureFrontend

/// One line of messages.tsv: what the protobuf library of Temporal's Python SDK wrote, and the engine's JSON for it.
struct KnownMessage: Sendable {
    let name: String
    let bytes: [UInt8]
    let json: String

    static let all: [KnownMessage] = {
        let file = Bundle.module.url(forResource: "messages", withExtension: "tsv")!
        return try! String(contentsOf: file, encoding: .utf8).split(separator: "\n").map { line in
            let columns = line.split(separator: "\t", omittingEmptySubsequences: false)
            return KnownMessage(
                name: String(columns[0]), bytes: Array(Data(base64Encoded: String(columns[1]))!),
                json: String(columns[2]))
        }
    }()

    var place: Int { TemporalSchema.temporal.message(name)! }
}

@Suite("Transcoding")
struct TranscodingTests {
    let toJSON = ProtobufToJSON()
    let toProtobuf = JSONToProtobuf()

    @Test("Every message that the frontend speaks is among the known ones")
    func coverage() {
        #expect(
            Set(KnownMessage.all.map(\.name)).isSuperset(
                of: TemporalSchema.temporal.messages.map(\.name).filter { $0.hasPrefix("temporal.") }))
        #expect(TemporalSchema.temporal.methods.count > 60)
    }

    @Test("Messages of Temporal's SDK become the engine's JSON")
    func toJSONText() throws {
        for message in KnownMessage.all {
            let text = try toJSON.json(of: message.place, bytes: message.bytes)
            #expect(try JSON(parsing: text).comparable == JSON(parsing: message.json).comparable, "\(message.name)")
        }
    }

    @Test("The engine's JSON becomes the bytes that Temporal's SDK writes")
    func toBytes() throws {
        for message in KnownMessage.all where !message.name.hasSuffix("SearchAttributes") {
            let text = try toJSON.json(of: message.place, bytes: message.bytes)
            let bytes = try toProtobuf.bytes(of: message.place, json: text)
            // The order of entries in a map says nothing.
            #expect(bytes.sorted() == message.bytes.sorted(), "\(message.name): \(message.json)")
            #expect(try toJSON.json(of: message.place, bytes: bytes) == text, "\(message.name)")
        }
    }

    @Test("JSON as jsonb writes it, with spaces and members in another order, gives the same message")
    func jsonb() throws {
        for message in KnownMessage.all where !message.name.hasSuffix("SearchAttributes") {
            let bytes = try toProtobuf.bytes(of: message.place, json: Array(message.json.utf8))
            let text = try toJSON.json(of: message.place, bytes: bytes)
            #expect(try JSON(parsing: text).comparable == JSON(parsing: message.json).comparable, "\(message.name)")
        }
    }

    @Test("Bytes that are damaged raise an error or give JSON, and never end the program")
    func damagedBytes() {
        var random = SystemRandomNumberGenerator()
        for message in KnownMessage.all {
            for _ in 0..<20 {
                var bytes = message.bytes
                for _ in 0..<Int.random(in: 1...3, using: &random) {
                    switch Int.random(in: 0..<3, using: &random) {
                    case 0 where !bytes.isEmpty:
                        bytes[Int.random(in: 0..<bytes.count, using: &random)] = .random(in: 0...255, using: &random)
                    case 1 where !bytes.isEmpty: bytes.removeLast(Int.random(in: 1...bytes.count, using: &random))
                    default: bytes.append(.random(in: 0...255, using: &random))
                    }
                }
                guard let text = try? toJSON.json(of: message.place, bytes: bytes) else { continue }
                #expect(throws: Never.self, "\(message.name) \(Data(bytes).base64EncodedString())") {
                    _ = try JSON(parsing: text)
                    // What was read is written, and that is read and written the same way.
                    let written = try toProtobuf.bytes(of: message.place, json: text)
                    let again = try toJSON.json(of: message.place, bytes: written)
                    #expect(try toProtobuf.bytes(of: message.place, json: again) == written)
                }
            }
        }
    }

    @Test("JSON that is damaged raises an error or gives a message, and never ends the program")
    func damagedJSON() {
        var random = SystemRandomNumberGenerator()
        for message in KnownMessage.all {
            for _ in 0..<20 {
                var text = Array(message.json.utf8)
                text[Int.random(in: 0..<text.count, using: &random)] = .random(in: 0...255, using: &random)
                if Bool.random(using: &random) { text.removeLast(Int.random(in: 1...text.count, using: &random)) }
                guard let bytes = try? toProtobuf.bytes(of: message.place, json: text) else { continue }
                #expect(bytes.count <= text.count * 4 + 64)
            }
        }
    }

    @Test("A message nested without end is refused")
    func depth() throws {
        let failure = TemporalSchema.temporal.message("temporal.api.failure.v1.Failure")!
        var bytes: [UInt8] = []
        for _ in 0..<5000 {
            var outer = ProtobufWriter()
            outer.field(4, bytes: bytes)
            bytes = outer.bytes
        }
        let error = #expect(throws: TranscodingError.self) { try toJSON.json(of: failure, bytes: bytes) }
        #expect(error?.reason == .nestedTooDeep(limit: ProtobufToJSON.maximumDepth))
        let text = String(repeating: #"{"cause":"#, count: 5000) + "{}" + String(repeating: "}", count: 5000)
        #expect(throws: TranscodingError.self) { try toProtobuf.bytes(of: failure, json: Array(text.utf8)) }
    }

    @Test(
        "JSON that jsonb would change is kept as bytes",
        arguments: [
            ("{\"a\": [1, 2.50, true, null, \"é\"]}", true), ("1e5", false), ("1E5", false), ("-0", false),
            ("-0.0", false), ("-0.5", true), ("0", true), ("01", false), ("1.", false), ("\"\\u0000\"", false),
            ("\"\\ud83d\\ude00\"", true), ("\"\\ud83d\"", false), ("{\"a\":1,\"\\u0061\":2}", false),
            ("{\"a\":1,\"A\":2}", true), ("NaN", false), ("", false), (" 1 ", true), ("1 2", false),
            ("\"a\u{1}\"", false), ("[1,]", false), ("nul", false), (String(repeating: "9", count: 2000), false),
        ])
    func exactness(text: String, isHeld: Bool) {
        let bytes = Array(text.utf8)
        #expect(bytes.withUnsafeBufferPointer(JSONExactness.isHeldByJSONB) == isHeld)
    }

    @Test("What is wrong is named with the way that leads to it")
    func errors() throws {
        let start = TemporalSchema.temporal.message("temporal.api.workflowservice.v1.StartWorkflowExecutionRequest")!
        let error = #expect(throws: TranscodingError.self) {
            try toProtobuf.bytes(of: start, json: Array(#"{"retryPolicy": {"initialInterval": "soon"}}"#.utf8))
        }
        #expect(error?.path == ["retryPolicy", "initialInterval"])
        var request = ProtobufWriter()
        request.field(2, bytes: "a\u{0}b".utf8)
        let stored = #expect(throws: TranscodingError.self) { try toJSON.json(of: start, bytes: request.bytes) }
        #expect(stored?.description == "workflowId: cannot be stored: a string holds the character U+0000")
    }
}

extension JSON {
    /// With numbers compared by value: 2 is 2.0.
    fileprivate var comparable: JSON {
        switch self {
        case .number(let literal) where literal.contains("."): .number("\(Double(literal)!)")
        case .number(let literal): Int64(literal) == nil ? self : .number(literal)
        case .array(let elements): .array(elements.map(\.comparable))
        case .object(let members): .object(members.mapValues(\.comparable))
        default: self
        }
    }
}
