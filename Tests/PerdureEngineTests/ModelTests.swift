import Foundation
import PerdureTesting
import Postgres
import Testing

@testable import PerdureEngine
@testable import PerdureModel

@Suite("JSON")
struct JSONTests {
    @Test("Numbers keep every digit", arguments: ["0", "-0", "12345678901234567890.123456789", "1e-400", "-1.50E+10"])
    func exactNumbers(literal: String) throws {
        #expect(try JSON(parsing: literal) == .number(literal))
        #expect(try JSON(parsing: literal).description == literal)
    }

    @Test("Strings unescape, and escape only what must be")
    func strings() throws {
        let text = #""a\"\\\/\b\f\n\r\té😀\u0000ü""#
        let value = try JSON(parsing: text)
        #expect(value == .string("a\"\\/\u{8}\u{c}\n\r\té😀\u{0}ü"))
        #expect(value.description == #""a\"\\/\u0008\u000c\n\r\té😀\u0000ü""#)
        #expect(try JSON(parsing: value.bytes) == value)
    }

    @Test(
        "Text that is not JSON says where it goes wrong",
        arguments: [
            ("", 0), ("  ", 2), ("tru", 0), ("[1,]", 3), ("{\"a\" 1}", 5), ("{a:1}", 1), ("01", 1), ("1.", 2), ("-", 1),
            ("\"a", 2), ("\"\\x\"", 2), ("\"\\ud800\"", 7), ("\"\u{1}\"", 1), ("[1] 2", 4), ("nul", 0), ("1e", 2),
            ("+1", 0), ("'a'", 0), ("[", 1), ("{\"a\":", 5), ("\"\\u12g4\"", 5),
        ])
    func errors(text: String, offset: Int) throws {
        let error = #expect(throws: JSONParseError.self) { try JSON(parsing: text) }
        #expect(error?.offset == offset, "\(text): \(error.map(String.init(describing:)) ?? "")")
    }

    @Test("Invalid UTF-8 is refused")
    func invalidUTF8() {
        #expect(throws: JSONParseError.self) { try JSON(parsing: [0x22, 0xFF, 0x22]) }
        #expect(throws: JSONParseError.self) { try JSON(parsing: [0x22, 0xC0, 0x80, 0x22]) }
    }

    @Test("Nesting is limited, not fatal")
    func depth() throws {
        let limit = JSON.maximumDepth
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        #expect(try JSON(parsing: nested(limit)).description == nested(limit))
        #expect(throws: JSONParseError.self) { try JSON(parsing: nested(limit + 1)) }
        #expect(throws: JSONParseError.self) { try JSON(parsing: String(repeating: "[", count: 1_000_000)) }
        // Beside each other is not nested.
        #expect(throws: Never.self) {
            try JSON(parsing: "[" + Array(repeating: "[]", count: 2000).joined(separator: ",") + "]")
        }
    }

    @Test("What a database holds already is kept as text where it is nested too deep")
    func deeper() throws {
        let limit = JSON.maximumDepth
        let inner = #"{"a":"]}\"","b":[1e5,null]}"#
        let deep = String(repeating: "[", count: limit - 1) + inner + String(repeating: "]", count: limit - 1)
        let text = #"{"before":1,"deep":\#(deep),"after":[true,\#(deep)]}"#
        #expect(throws: JSONParseError.self) { try JSON(parsing: text) }
        var value = try JSON(parsing: text.utf8, deeper: .keptAsText)
        #expect(value["before"] == 1 && value["after"]?[0] == true)
        value = try #require(value["deep"])
        for _ in 0..<limit - 1 { value = try #require(value[0]) }
        #expect(value == .string(inner))
        #expect(throws: JSONParseError.self) { try JSON(parsing: text.dropLast(900).utf8, deeper: .keptAsText) }
    }

    @Test("Members keep their order, which makes no difference")
    func order() throws {
        let value = try JSON(parsing: #"{"b":1,"a":{"d":2,"c":3}}"#)
        #expect(value.text == #"{"b":1,"a":{"d":2,"c":3}}"#)
        #expect(value.description == #"{"a":{"c":3,"d":2},"b":1}"#)
        let other: JSON = ["a": ["c": 3, "d": 2], "b": 1]
        #expect(value == other && value.hashValue == other.hashValue)
        #expect(value != ["a": ["c": 3, "d": 2], "b": 2] && value != ["a": ["c": 3, "d": 2]])
    }

    @Test("Any value survives the way to text and back")
    func roundTrip() throws {
        var random = SplitMix(state: 42)
        for _ in 0..<2000 {
            let value = JSON.random(depth: 4, using: &random)
            #expect(try JSON(parsing: value.bytes) == value)
        }
    }

    @Test("Damaged text never crashes the parser, and what it accepts it can write")
    func fuzz() throws {
        var random = SplitMix(state: 7)
        var accepted = 0
        for _ in 0..<20_000 {
            var bytes = JSON.random(depth: 3, using: &random).bytes
            for _ in 0..<Int.random(in: 1...3, using: &random) where !bytes.isEmpty {
                let place = bytes.indices.randomElement(using: &random)!
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[place] = UInt8.random(in: .min ... .max, using: &random)
                case 1: bytes.remove(at: place)
                default: bytes.insert(Array(#"{}[]",:\0-eu"#.utf8).randomElement(using: &random)!, at: place)
                }
            }
            switch Result(catching: { () throws(JSONParseError) in try JSON(parsing: bytes) }) {
            case .success(let value):
                accepted += 1
                #expect(try JSON(parsing: value.bytes) == value)
            case .failure(let error): #expect((0...bytes.count).contains(error.offset))
            }
        }
        #expect(accepted > 100)
    }

    @Test("It accepts what Foundation accepts, for texts by chance")
    func agreesWithFoundation() throws {
        var random = SplitMix(state: 99)
        for _ in 0..<3000 {
            var bytes = JSON.random(depth: 3, using: &random).bytes
            if !bytes.isEmpty, Bool.random(using: &random) {
                bytes[bytes.indices.randomElement(using: &random)!] = UInt8.random(in: 0x20..<0x7F, using: &random)
            }
            let ours = (try? JSON(parsing: bytes)) != nil
            let theirs =
                (try? JSONSerialization.jsonObject(with: Data(bytes), options: [.fragmentsAllowed])) != nil
            // Foundation refuses numbers beyond a double; those are JSON all the same.
            if theirs { #expect(ours, "\(String(decoding: bytes, as: UTF8.self))") }
        }
    }

    @Test("Codable values go in and out exactly")
    func codable() throws {
        struct Transfer: Codable, Equatable {
            var id: UUID
            var amount: Int64
            var rate: Decimal
            var at: Date
            var note: String?
            var tags: [String: [Int]]
        }
        let transfer = Transfer(
            id: UUID(), amount: .max, rate: Decimal(string: "0.1234567890123456789")!,
            at: Date(timeIntervalSince1970: 1_769_850_000.123456), note: nil, tags: ["a": [1, 2]])
        let json = try JSON(encoding: transfer)
        #expect(json["amount"] == .number("9223372036854775807"))
        #expect(json["at"] == "2026-01-31T09:00:00.123456Z")
        let back = try json.decode(Transfer.self)
        #expect(back.amount == transfer.amount && back.rate == transfer.rate && back.tags == transfer.tags)
        #expect(abs(back.at.timeIntervalSince(transfer.at)) < 0.000_001)
        #expect(try JSON(encoding: json) == json)
        #expect(try JSON(encoding: ["x": json])["x"] == json)
    }

    @Test("Values of one piece become JSON and come back as Foundation's coders would have it")
    func scalars() throws {
        #expect(try JSON(encoding: 7) == 7)
        #expect(try JSON(encoding: Int.min) == .number(Int64.min))
        #expect(try JSON(encoding: "a\u{0}\"") == "a\u{0}\"")
        #expect(try JSON(encoding: true) == true)
        #expect(try JSON(encoding: Int?.none) == nil)
        #expect(try JSON(encoding: Int?.some(7)) == 7)
        #expect(try JSON(encoding: 1.5) == .number("1.5"))

        #expect(try (7 as JSON).decode(Int.self) == 7)
        #expect(try (7 as JSON).decode(Int?.self) == 7)
        #expect(try (7 as JSON).decode(Double.self) == 7)
        #expect(try (7 as JSON).decode(UInt8.self) == 7)
        #expect(try JSON.number("1.5").decode(Double?.self) == 1.5)
        #expect(try JSON.number("1e2").decode(Int.self) == 100)
        #expect(try ("x" as JSON).decode(String?.self) == "x")
        #expect(try ("x" as JSON).decode(JSON.self) == "x")
        #expect(try (true as JSON).decode(Bool.self) == true)
        #expect(try (nil as JSON).decode(String?.self) == nil)
        #expect(throws: DecodingError.self) { try ("7" as JSON).decode(Int.self) }
        #expect(throws: DecodingError.self) { try (7 as JSON).decode(String.self) }
        #expect(throws: DecodingError.self) { try (1 as JSON).decode(Bool.self) }
        #expect(throws: DecodingError.self) { try (300 as JSON).decode(UInt8.self) }
        #expect(throws: DecodingError.self) { try JSON.number("99999999999999999999").decode(Int.self) }
        #expect(throws: DecodingError.self) { try (nil as JSON).decode(Int.self) }
    }
}

@Suite("Wire forms")
struct WireTests {
    @Test(
        "Times are exact to the microsecond",
        arguments: [
            ("1970-01-01T00:00:00.000000Z", 0), ("1969-12-31T23:59:59.999999Z", -1),
            ("2026-01-31T09:00:00.000001Z", 1_769_850_000_000_001),
            ("2000-02-29T12:00:00.500000Z", 951_825_600_500_000),
            ("0001-01-01T00:00:00.000000Z", -62_135_596_800_000_000),
        ])
    func times(text: String, microseconds: Int64) {
        #expect(Timestamp(text)?.microseconds == microseconds)
        #expect(Timestamp(microseconds: microseconds).description == text)
    }

    @Test("Other RFC 3339 forms are read, others refused")
    func otherTimes() {
        #expect(Timestamp("2026-01-31T10:00:00+01:00") == Timestamp("2026-01-31T09:00:00Z"))
        #expect(Timestamp("2026-01-31T09:00:00.1Z")?.microseconds == 1_769_850_000_100_000)
        #expect(Timestamp("1969-12-31 23:59:59.999999+00")?.microseconds == -1)
        #expect(Timestamp("2026-01-31t09:00:00.123456999z")?.microseconds == 1_769_850_000_123_456)
        #expect(Timestamp("2026-01-31T09:00:00-23:59") == Timestamp("2026-02-01T08:59:00Z"))
        #expect(Timestamp("a 2026-01-31T09:00:00Z".dropFirst(2)) == Timestamp("2026-01-31T09:00:00Z"))
        for text in [
            "", "2026-02-29T00:00:00Z", "2026-01-31", "2026-01-31T09:00:00", "2026-13-01T00:00:00Z", "x",
            "2026-01-31T09:00:00.Z", "2026-01-31T09:00:00.1234567890Z", "2026-01-31T09:00:00+1:00",
            "2026-01-31T09:00:00+24", "2026-01-31T09:00:00+01:60", "2026-01-31T09:00:00+01:", "2026-01-31T24:00:00Z",
            "2026-01-31T09:00:00Z ", " 2026-01-31T09:00:00Z", "2026-01-31T09:00:0٠Z", "-026-01-31T09:00:00Z",
        ] {
            #expect(Timestamp(text) == nil, "\(text)")
        }
    }

    @Test("Durations are seconds with an s")
    func durations() {
        #expect(Duration.seconds(10).wire == "10s")
        #expect(Duration.milliseconds(250).wire == "0.25s")
        #expect(Duration.microseconds(-1_500_001).wire == "-1.500001s")
        #expect(Duration(wire: "0.25s") == .milliseconds(250))
        #expect(Duration(wire: "-1.5s") == .milliseconds(-1500))
        for text in ["", "s", "1", "1m", "1.s", ".5s", "1e3s", "1 s"] {
            #expect(Duration(wire: text) == nil, "\(text)")
        }
    }

    @Test("A failure and its causes survive the way there and back")
    func failures() throws {
        let root = Failure.application(
            "no funds", type: "InsufficientFunds", nonRetryable: true, details: [try Payload(encoding: [1, 2])],
            stackTrace: "at x")
        let activity = Failure(
            message: "activity failed", cause: root,
            kind: .activity(
                .init(
                    scheduledEventId: 5, startedEventId: 6, identity: "1@host", activityType: "Withdraw",
                    activityId: "1", retryState: .nonRetryableFailure)))
        let child = Failure(
            message: "child failed", cause: activity,
            kind: .childWorkflow(
                .init(
                    namespace: "default", workflowId: "c", runId: "r", workflowType: "T", initiatedEventId: 1,
                    startedEventId: 2, retryState: .retryPolicyNotSet)))
        for failure in [
            root, activity, child, Failure(message: "t", kind: .timeout(.heartbeat, lastHeartbeatDetails: [.null])),
            Failure(message: "c", kind: .canceled(details: [])), Failure(message: "x", kind: .terminated),
            Failure(message: "s", kind: .server(nonRetryable: true)),
        ] {
            #expect(try Failure(json: JSON(parsing: failure.json.bytes)) == failure)
        }
        #expect(child.description == "child failed: activity failed: no funds")
    }

    @Test(
        "What jsonb cannot hold, or would give back as something else, travels as base64",
        arguments: [
            #""a\u0000b""#, #"{"a\u0000b": 1}"#, "-0", "[-0.0]", "[1, {\"a\": -0e7}]", "1e400000", "1e-400000",
            "1E+300", "-1e-300",
            String(repeating: "[", count: 300) + String(repeating: "]", count: 300),
            String(repeating: #"{"a":"#, count: 300) + "1" + String(repeating: "}", count: 300),
            String(repeating: "9", count: 2000), "0." + String(repeating: "0", count: 20000),
        ])
    func notPlain(text: String) throws {
        let json = try JSON(parsing: text)
        let payload = try Payload(encoding: json)
        #expect(payload.encoding == "json/base64")
        #expect(Payload(plain: json) == payload)
        #expect(!payload.json.description.contains("\\u0000"))
        #expect(try Payload(json: payload.json).decode(JSON.self) == json)
        try Limits.check([payload], "value")
    }

    @Test(
        "What jsonb holds stays readable",
        arguments: ["0", "-1.50", "1e10", "12345678901234567890.5", "[0.1, 1e-9]", #""\u0001é😀""#])
    func plain(text: String) throws {
        let json = try JSON(parsing: text)
        #expect(try Payload(encoding: json) == Payload(encoding: "json/plain", data: json))
    }

    @Test("No value for payloads decodes as nothing, and an unknown encoding needs a codec")
    func otherEncodings() throws {
        #expect(try Payload.null.decode(Int?.self) == nil)
        #expect(throws: PayloadError.self) { try Payload(encoding: "secret/aes", bytes: [1]).decode(Int.self) }
    }

    @Test(
        "A literal that is no number is refused where a document is checked",
        arguments: ["nan", "-", "01", "1.", "1e", "", "1 "])
    func noNumber(literal: String) {
        #expect(throws: EngineError.self) { try Limits.check(.number(literal), "value") }
    }

    @Test("A document is as long as jsonb writes it, and as deep")
    func storedForm() async throws {
        var generator = SplitMix(state: 11)
        func some(_ depth: Int) -> JSON {
            switch Int.random(in: 0..<(depth > 0 ? 7 : 5), using: &generator) {
            case 0: .null
            case 1: .bool(.random(using: &generator))
            case 2:
                .number(["0", "-1.50", "1e10", "25E-3", "-12e3", "1.5e1", "100e-2"].randomElement(using: &generator)!)
            case 3, 4:
                .string(["", "a\"b", "\n\t\u{1}\u{8}\u{c}\r", "é😀", "\\/"].randomElement(using: &generator)!)
            case 5: .array((0..<Int.random(in: 0..<4, using: &generator)).map { _ in some(depth - 1) })
            default:
                .object(
                    Dictionary(
                        (0..<Int.random(in: 0..<4, using: &generator)).map { ("k\"\($0)", some(depth - 1)) },
                        uniquingKeysWith: { $1 }))
            }
        }
        try await TestDatabase.with { database in
            for _ in 0..<100 {
                let json = some(4)
                let row = try await database.pool.query("select octet_length(\(json)::text)").first
                #expect(try row?.decode(Int.self, at: 0) == StoredForm(json).bytes, "\(json)")
            }
        }
        #expect(StoredForm(["a": [1, [2]]]).depth == 3)
    }

    @Test("A failure is cut where it becomes JSON")
    func longFailure() throws {
        var failure = Failure.application(
            String(repeating: "ä", count: 400_000), stackTrace: String(repeating: "x", count: 600_000))
        #expect(failure.json["message"]?.stringValue?.utf8.count == 524_288)
        #expect(failure.json["stackTrace"]?.stringValue?.utf8.count == 524_288)
        for number in 0..<300 { failure = .application("\(number)", cause: failure) }
        #expect(try Failure(json: failure.json).chain.reduce(0) { count, _ in count + 1 } == 101)
    }

    @Test("A visible sign takes the place of U+0000 in what people read")
    func visibleNul() throws {
        var text: [UInt8] = []
        Failure.application("a\u{0}b", type: "T\u{0}").json.write(to: &text, sorted: false)
        let read = try Failure(json: JSON(parsing: text))
        #expect(read == .application("a\u{2400}b", type: "T\u{2400}"))
    }
}

/// A small generator of known sequences, so that what a test found can be found again.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }
}

extension JSON {
    static func random(depth: Int, using random: inout SplitMix) -> JSON {
        func string() -> String {
            let alphabet: [Character] = ["a", "\"", "\\", "\n", "\u{1}", "é", "😀", "\u{0}", " ", "/", "\u{FFFD}", "0"]
            return String(
                (0..<Int.random(in: 0...6, using: &random)).map { _ in alphabet.randomElement(using: &random)! })
        }
        switch Int.random(in: 0..<(depth > 0 ? 7 : 5), using: &random) {
        case 0: return .null
        case 1: return .bool(.random(using: &random))
        case 2: return .number(Int64.random(in: .min ... .max, using: &random))
        case 3: return .number("\(Double.random(in: -1e9...1e9, using: &random))")
        case 4: return .string(string())
        case 5:
            return .array(
                (0..<Int.random(in: 0...4, using: &random)).map { _ in .random(depth: depth - 1, using: &random) })
        default:
            return .object(
                Dictionary(
                    (0..<Int.random(in: 0...4, using: &random)).map { _ in
                        (string(), .random(depth: depth - 1, using: &random))
                    }, uniquingKeysWith: { $1 }))
        }
    }
}
