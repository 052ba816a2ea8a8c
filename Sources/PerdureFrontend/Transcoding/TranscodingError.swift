/// A message that cannot be put into the other form, and where in it that became plain.
struct TranscodingError: Error, Sendable, Hashable, CustomStringConvertible {
    enum Reason: Sendable, Hashable {
        /// Bytes that are no protobuf message, or none of this type.
        case malformedProtobuf(String)
        /// JSON that is no JSON, or has a value of another type than the field.
        case malformedJSON(String)
        /// Well formed, but PostgreSQL's jsonb and text cannot hold it.
        case cannotBeStored(String)
        case nestedTooDeep(limit: Int)
    }

    var reason: Reason
    /// The names of the fields that lead there, outermost first.
    var path: [String] = []

    func inside(_ field: String) -> TranscodingError { TranscodingError(reason: reason, path: [field] + path) }

    var description: String {
        let what =
            switch reason {
            case .malformedProtobuf(let what): "not a valid protobuf message: \(what)"
            case .malformedJSON(let what): "not the JSON of this message: \(what)"
            case .cannotBeStored(let what): "cannot be stored: \(what)"
            case .nestedTooDeep(let limit): "nested deeper than \(limit) levels"
            }
        return path.isEmpty ? what : "\(path.joined(separator: ".")): \(what)"
    }
}
