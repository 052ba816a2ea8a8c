import PerdureModel

extension Payload {
    /// A payload to show, with what the codec server made of it. What is no payload is taken as it stands.
    init(shown json: JSON) {
        self = (try? Payload(json: json)) ?? Payload(encoding: "json/plain", data: json)
        for note in ["decodedFrom", "notDecoded"] { metadata[note] = json[note] }
    }

    /// Whether it was decoded, or why not; nil if that was not asked for.
    var codecNote: String? {
        if let encoding = metadata["decodedFrom"]?.stringValue { return "Decoded from \(encoding) by the codec server" }
        return metadata["notDecoded"]?.stringValue.map { "Shown as it is stored: \($0)" }
    }

    /// Whether `data` is the value itself and not base64 of bytes.
    var isReadable: Bool { encoding == "json/plain" || encoding == "binary/null" }

    /// The value on as many lines as reading it takes.
    var text: String {
        let data = data ?? .null
        switch encoding {
        case "json/plain": return data.indented
        case "binary/null": return "null"
        default:
            guard let text = data.stringValue else { return "encoded as \(encoding)\n\(data.indented)" }
            return "\(text.utf8.count) characters of base64, encoded as \(encoding)\n\(text)"
        }
    }

    /// The value on one line, cut after `length` characters.
    func line(_ length: Int) -> String {
        guard isReadable else { return "<\(encoding)>" }
        let text = encoding == "binary/null" ? "null" : (data ?? .null).text
        return text.count > length ? text.prefix(length) + "…" : text
    }
}

extension [Payload] {
    /// Payloads to show. What is no payload is taken as it stands.
    init(shown json: JSON?) {
        self = (json?.elements ?? []).map { Payload(shown: $0) }
    }
}

extension JSON {
    /// The value with a line for each member and element, indented by two spaces. What is nested deeper than 50 levels
    /// is on one line.
    var indented: String {
        var text = ""
        write(into: &text, indent: "")
        return text
    }

    private func write(into text: inout String, indent: String) {
        let inner = indent + "  "
        func writeLines(_ values: some Collection<(start: String, value: JSON)>) {
            var left = values.count
            for (start, value) in values {
                text += inner + start
                value.write(into: &text, indent: inner)
                left -= 1
                text += left > 0 ? ",\n" : "\n"
            }
        }
        switch self {
        case .object(let members) where !members.isEmpty && indent.utf8.count < 100:
            text += "{\n"
            writeLines(members.map { ("\(JSON.string($0.key).text): ", $0.value) })
            text += indent + "}"
        case .array(let values) where !values.isEmpty && indent.utf8.count < 100:
            text += "[\n"
            writeLines(values.map { ("", $0) })
            text += indent + "]"
        default: text += self.text
        }
    }
}
