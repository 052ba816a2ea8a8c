public import PerdureEngine

/// What a dynamic handler gets: the name that was called, and the arguments as they came.
///
/// A signal, query or update that no other handler of the workflow has a name for goes to the one with this input:
///
///     @WorkflowSignal
///     mutating func other(input: DynamicInput) { log.append(input.name) }
public struct DynamicInput: Sendable {
    public let name: String
    public let payloads: [Payload]

    /// An argument as a value.
    ///
    /// - Throws: `DecodingError` if it is of another type, ``ApplicationError`` if there is none.
    public func decode<Value: Decodable>(_ type: Value.Type = Value.self, at place: Int = 0) throws -> Value {
        guard payloads.indices.contains(place) else {
            throw ApplicationError(message: "\(name) has no argument \(place + 1)", type: "InvalidInput")
        }
        return try payloads[place].decode(type)
    }

    /// The input of a handler, which may be dynamic.
    static func input<Input>(
        _ name: String, _ payloads: [Payload], _ converter: DataConverter
    ) throws -> Input {
        if let input = DynamicInput(name: name, payloads: payloads) as? Input { return input }
        return try converter.decode(from: payloads)
    }
}

/// The handlers of a workflow that take what no other one does.
struct DynamicHandlers<Workflow: WorkflowDefinition> {
    let signal: (any WorkflowSignalDefinition<Workflow>.Type)?
    let query: (any WorkflowQueryDefinition<Workflow>.Type)?
    let update: (any WorkflowUpdateDefinition<Workflow>.Type)?

    init() {
        signal = Workflow.signals.lazy.map { type(of: $0) }.first { Self.isDynamic($0) }
        query = Workflow.queries.lazy.map { type(of: $0) }.first { Self.isDynamic($0) }
        update = Workflow.updates.lazy.map { type(of: $0) }.first { Self.isDynamic($0) }
    }

    /// Whether the run's code may learn of something by them.
    var takesMessages: Bool { signal != nil || update != nil }

    private static func isDynamic(_ type: any WorkflowSignalDefinition<Workflow>.Type) -> Bool {
        func open<Signal: WorkflowSignalDefinition>(_: Signal.Type) -> Bool { Signal.Input.self == DynamicInput.self }
        return open(type)
    }

    private static func isDynamic(_ type: any WorkflowQueryDefinition<Workflow>.Type) -> Bool {
        func open<Query: WorkflowQueryDefinition>(_: Query.Type) -> Bool { Query.Input.self == DynamicInput.self }
        return open(type)
    }

    private static func isDynamic(_ type: any WorkflowUpdateDefinition<Workflow>.Type) -> Bool {
        func open<Update: WorkflowUpdateDefinition>(_: Update.Type) -> Bool { Update.Input.self == DynamicInput.self }
        return open(type)
    }
}
