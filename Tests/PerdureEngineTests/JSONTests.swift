import Foundation
import PerdureEngine
import Testing

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
        for text in ["", "2026-02-29T00:00:00Z", "2026-01-31", "2026-01-31T09:00:00", "2026-13-01T00:00:00Z", "x"] {
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

    @Test("What jsonb cannot hold travels as base64")
    func nul() throws {
        let payload = try Payload(encoding: "a\u{0}b")
        #expect(payload.encoding == "json/base64")
        #expect(!payload.json.description.contains("\\u0000"))
        #expect(try Payload(json: payload.json).decode(String.self) == "a\u{0}b")
        #expect(try Payload.null.decode(Int?.self) == nil)
        #expect(throws: PayloadError.self) { try Payload(encoding: "secret/aes", bytes: [1]).decode(Int.self) }
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
