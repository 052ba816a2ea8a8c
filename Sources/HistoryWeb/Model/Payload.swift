import WebCommon

/// A value as it is stored: an encoding, and data that is JSON or base64.
struct Payload: Sendable, Hashable {
    let encoding: String
    let data: JSONValue

    /// Nil for JSON that is not a payload.
    init?(_ value: JSONValue) {
        guard let encoding = value.text("encoding") else { return nil }
        self.encoding = encoding
        self.data = value["data"] ?? .null
    }

    /// A list of payloads; JSON that is none is taken as it stands.
    static func list(_ value: JSONValue?) -> [Payload] {
        (value?.elements ?? []).map { Payload($0) ?? Payload(encoding: "json/plain", data: $0) }
    }

    private init(encoding: String, data: JSONValue) {
        self.encoding = encoding
        self.data = data
    }

    /// Whether `data` is the value itself and not base64 of bytes.
    var isReadable: Bool { encoding == "json/plain" || encoding == "binary/null" }

    /// The value on as many lines as reading it takes.
    var text: String {
        switch encoding {
        case "json/plain": data.indented
        case "binary/null": "null"
        default: "\(data.string?.count ?? 0) characters of base64, encoded as \(encoding)\n\(data.string ?? "")"
        }
    }

    /// The value on one line, cut after `length` characters.
    func line(_ length: Int) -> String {
        guard isReadable else { return "<\(encoding)>" }
        let text = encoding == "binary/null" ? "null" : data.text
        return text.count > length ? text.prefix(length) + "…" : text
    }
}

extension JSONValue {
    /// The value with a line for each member and element, indented by two spaces.
    var indented: String {
        var text = ""
        write(into: &text, indent: "")
        return text
    }

    private func write(into text: inout String, indent: String) {
        let inner = indent + "  "
        switch self {
        case .object(let members) where !members.isEmpty:
            text += "{\n"
            for (index, member) in members.enumerated() {
                text += inner + JSONValue.string(member.name).text + ": "
                member.value.write(into: &text, indent: inner)
                text += index + 1 < members.count ? ",\n" : "\n"
            }
            text += indent + "}"
        case .array(let values) where !values.isEmpty:
            text += "[\n"
            for (index, value) in values.enumerated() {
                text += inner
                value.write(into: &text, indent: inner)
                text += index + 1 < values.count ? ",\n" : "\n"
            }
            text += indent + "]"
        default: text += self.text
        }
    }
}
