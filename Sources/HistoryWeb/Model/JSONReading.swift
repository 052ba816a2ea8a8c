import WebCommon

/// Reading what the database says, where a missing member and a null one mean the same.
extension JSONValue {
    /// A member that is there and not null.
    func member(_ name: String) -> JSONValue? {
        guard let value = self[name], value != .null else { return nil }
        return value
    }

    /// A member that is a string, or a number in its digits.
    func text(_ name: String) -> String? {
        switch member(name) {
        case .string(let text), .number(let text): text
        case .bool(let flag): flag ? "true" : "false"
        default: nil
        }
    }

    func integer(_ name: String) -> Int? { text(name).flatMap { Int($0) } }

    func flag(_ name: String) -> Bool { self[name] == .bool(true) }

    func time(_ name: String) -> Instant? { self[name]?.string.flatMap { Instant(rfc3339: $0) } }

    var elements: [JSONValue] {
        if case .array(let values) = self { values } else { [] }
    }

    var members: [Member] {
        if case .object(let members) = self { members } else { [] }
    }
}
