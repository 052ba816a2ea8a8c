import PerdureModel

/// Reading what the database says, where a missing member and a null one mean the same.
extension JSON {
    /// A member that is there and not null.
    func member(_ name: String) -> JSON? {
        guard let value = self[name], !value.isNull else { return nil }
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

    func time(_ name: String) -> Timestamp? { self[name]?.stringValue.flatMap { Timestamp($0) } }
}
