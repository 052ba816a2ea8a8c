import Foundation

/// The messages and methods of Temporal's API: names, numbers and types, read from `temporal.schema`.
///
/// A message or an enum is named by its place in ``messages`` or ``enums``, because messages refer to each other in
/// circles.
struct TemporalSchema: Sendable {
    enum Scalar: String, Sendable { case bool, bytes, double, float, int32, int64, string, uint32, uint64 }

    enum FieldType: Sendable {
        case scalar(Scalar)
        case enumeration(Int)
        case message(Int)

        var isNumeric: Bool {
            switch self {
            case .message, .scalar(.bytes), .scalar(.string): false
            default: true
            }
        }
    }

    enum Kind: Sendable {
        /// A default value is the same as none, and is not written.
        case single
        /// A default value differs from none, and is written.
        case optional
        case repeated
        case map(key: Scalar)
    }

    struct Field: Sendable {
        let number: Int
        /// In lower camel case, as in JSON.
        let name: String
        let kind: Kind
        let type: FieldType
    }

    struct Enumeration: Sendable {
        let name: String
        /// The names as the engine's JSON has them: without the prefix, in Pascal case.
        let names: [Int: String]
        let numbers: [String: Int]
    }

    /// How a message looks in the engine's JSON.
    enum Form: Sendable {
        case object
        /// Attributes that stand under one name, and a type that says whose they are: events and commands.
        case tagged(type: String, attributes: [String: Int])
        /// Payloads: an array.
        case payloads
        case payload
        /// Memo and header: payloads by name, without the message around them.
        case payloadsByName
        /// Plain JSON by name.
        case searchAttributes
        case timestamp
        case duration
        case any
        /// A wrapped value, as that value.
        case wrapper
        /// A FieldMask: its paths, with commas between.
        case fieldMask
    }

    struct Message: Sendable {
        let name: String
        /// In the order of their numbers.
        let fields: [Field]
        let byNumber: [Int: Int]
        /// Keys are hashes of names (``hash(_:)``); the name is compared too.
        let byHash: [UInt64: Int]
        let form: Form

        func field(numbered number: Int) -> Field? { byNumber[number].map { fields[$0] } }

        func field(named name: UnsafeBufferPointer<UInt8>) -> Field? {
            guard let place = byHash[TemporalSchema.hash(name)], fields[place].name.utf8.elementsEqual(name) else {
                return nil
            }
            return fields[place]
        }
    }

    struct Method: Sendable {
        let request: Int
        let response: Int
    }

    let messages: [Message]
    let enums: [Enumeration]
    let messagesByName: [String: Int]
    /// By their path: `temporal.api.workflowservice.v1.WorkflowService/GetSystemInfo`.
    let methods: [String: Method]
    /// The paths of methods that are not there yet.
    let absentMethods: [String]

    /// Temporal's API as this program speaks it.
    static let temporal: TemporalSchema = {
        // A resource of this module: that it is there and well formed does not depend on any input.
        guard let file = Bundle.module.url(forResource: "temporal", withExtension: "schema"),
            let text = try? String(contentsOf: file, encoding: .utf8)
        else { fatalError("temporal.schema is not among the resources of PerdureFrontend: build again") }
        return TemporalSchema(text)
    }()

    /// - Returns: The place of a message in ``messages``.
    func message(_ name: String) -> Int? { messagesByName[name] }

    /// FNV-1a.
    static func hash(_ bytes: some Sequence<UInt8>) -> UInt64 {
        bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }
}

// MARK: - Reading temporal.schema

extension TemporalSchema {
    private struct Section {
        let name: String
        var lines: [[Substring]] = []
    }

    init(_ text: String) {
        var enumSections: [Section] = []
        var messageSections = Self.googleMessages
        var methodLines: [[Substring]] = []
        var absentMethods: [String] = []
        var isInEnum = false
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            let words = line.split(separator: " ")
            switch words[0] {
            case "method": methodLines.append(words)
            case "absent": absentMethods.append(String(words[1]))
            case "enum":
                isInEnum = true
                enumSections.append(Section(name: String(words[1])))
            case "message":
                isInEnum = false
                messageSections.append(Section(name: String(words[1])))
            default:
                if isInEnum {
                    enumSections[enumSections.count - 1].lines.append(words)
                } else {
                    messageSections[messageSections.count - 1].lines.append(words)
                }
            }
        }
        let enumPlaces = Dictionary(uniqueKeysWithValues: enumSections.enumerated().map { ($1.name, $0) })
        let messagePlaces = Dictionary(uniqueKeysWithValues: messageSections.enumerated().map { ($1.name, $0) })
        func type(_ name: Substring) -> FieldType {
            if let scalar = Scalar(rawValue: String(name)) { return .scalar(scalar) }
            if let place = enumPlaces[String(name)] { return .enumeration(place) }
            guard let place = messagePlaces[String(name)] else { preconditionFailure("temporal.schema has no \(name)") }
            return .message(place)
        }
        func field(_ words: [Substring]) -> Field {
            let kind: Kind =
                switch words[2] {
                case "optional": .optional
                case "repeated": .repeated
                case "map": .map(key: Scalar(rawValue: String(words[3]))!)
                default: .single
                }
            return Field(number: Int(words[0])!, name: String(words[1]), kind: kind, type: type(words.last!))
        }
        let enums = enumSections.map(Self.enumeration)
        self.enums = enums
        messages = messageSections.map { section in
            let fields = section.lines.map(field).sorted { $0.number < $1.number }
            return Message(
                name: section.name, fields: fields,
                byNumber: Dictionary(uniqueKeysWithValues: fields.enumerated().map { ($1.number, $0) }),
                byHash: Dictionary(uniqueKeysWithValues: fields.enumerated().map { (Self.hash($1.name.utf8), $0) }),
                form: Self.form(of: section.name, fields: fields, enums: enums))
        }
        messagesByName = messagePlaces
        self.absentMethods = absentMethods
        methods = Dictionary(
            uniqueKeysWithValues: methodLines.map {
                (
                    String($0[1]),
                    Method(request: messagePlaces[String($0[2])]!, response: messagePlaces[String($0[3])]!)
                )
            })
    }

    /// The messages of Google's that Temporal's refer to.
    private static var googleMessages: [Section] {
        [
            Section(name: "google.protobuf.Any", lines: ["1 typeUrl single string", "2 value single bytes"].words),
            Section(name: "google.protobuf.DoubleValue", lines: ["1 value single double"].words),
            Section(name: "google.protobuf.Duration", lines: ["1 seconds single int64", "2 nanos single int32"].words),
            Section(name: "google.protobuf.Empty"),
            Section(name: "google.protobuf.FieldMask", lines: ["1 paths repeated string"].words),
            Section(
                name: "google.protobuf.Timestamp", lines: ["1 seconds single int64", "2 nanos single int32"].words),
        ]
    }

    /// `EVENT_TYPE_TIMER_FIRED` becomes `TimerFired`: the prefix is what stands before `UNSPECIFIED`.
    private static func enumeration(_ section: Section) -> Enumeration {
        let unspecified = section.lines.first { $0[1].hasSuffix("UNSPECIFIED") }?[1]
        let prefix = unspecified?.dropLast("UNSPECIFIED".count) ?? ""
        var names: [Int: String] = [:]
        var numbers: [String: Int] = [:]
        for words in section.lines {
            let bare = words[1].hasPrefix(prefix) ? words[1].dropFirst(prefix.count) : words[1]
            let name = bare.split(separator: "_").map { $0.prefix(1) + $0.dropFirst().lowercased() }.joined()
            let number = Int(words[0])!
            // Of two names for one number the first counts when it is read.
            if names[number] == nil { names[number] = name }
            numbers[name] = number
        }
        return Enumeration(name: section.name, names: names, numbers: numbers)
    }

    private static func form(of name: String, fields: [Field], enums: [Enumeration]) -> Form {
        func tagged(_ type: String, _ suffix: String) -> Form {
            guard case .enumeration(let place) = fields.first(where: { $0.name == type })!.type else { return .object }
            var attributes: [String: Int] = [:]
            for value in enums[place].numbers.keys {
                let field = value.prefix(1).lowercased() + value.dropFirst() + suffix
                if let index = fields.firstIndex(where: { $0.name == field }) { attributes[value] = index }
            }
            return .tagged(type: type, attributes: attributes)
        }
        return switch name {
        case "google.protobuf.Any": .any
        case "google.protobuf.DoubleValue": .wrapper
        case "google.protobuf.Duration": .duration
        case "google.protobuf.FieldMask": .fieldMask
        case "google.protobuf.Timestamp": .timestamp
        case "temporal.api.common.v1.Header", "temporal.api.common.v1.Memo": .payloadsByName
        case "temporal.api.common.v1.Payload": .payload
        case "temporal.api.common.v1.Payloads": .payloads
        case "temporal.api.common.v1.SearchAttributes": .searchAttributes
        case "temporal.api.command.v1.Command": tagged("commandType", "CommandAttributes")
        case "temporal.api.history.v1.HistoryEvent": tagged("eventType", "EventAttributes")
        default: .object
        }
    }
}

extension [String] {
    fileprivate var words: [[Substring]] { map { $0.split(separator: " ") } }
}
