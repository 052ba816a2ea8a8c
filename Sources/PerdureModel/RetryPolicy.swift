/// When an activity or a workflow is tried again. The defaults are Temporal's.
public struct RetryPolicy: Sendable, Hashable {
    public var initialInterval: Duration
    /// Each wait is the one before times this; at least 1.
    public var backoffCoefficient: Double
    /// The longest wait; nil is 100 times the initial interval.
    public var maximumInterval: Duration?
    /// Attempts in all, the first included; 0 is without limit.
    public var maximumAttempts: Int
    /// Types of application failures that are not tried again.
    public var nonRetryableErrorTypes: [String]

    public init(
        initialInterval: Duration = .seconds(1), backoffCoefficient: Double = 2, maximumInterval: Duration? = nil,
        maximumAttempts: Int = 0, nonRetryableErrorTypes: [String] = []
    ) {
        self.initialInterval = initialInterval
        self.backoffCoefficient = backoffCoefficient
        self.maximumInterval = maximumInterval
        self.maximumAttempts = maximumAttempts
        self.nonRetryableErrorTypes = nonRetryableErrorTypes
    }

    /// Reads the wire form; what it leaves out is the default.
    public init(json: JSON) {
        func duration(_ key: String) -> Duration? { json[key]?.stringValue.flatMap { Duration(wire: $0) } }
        self.init(
            initialInterval: duration("initialInterval") ?? .seconds(1),
            backoffCoefficient: json["backoffCoefficient"]?.doubleValue ?? 2,
            maximumInterval: duration("maximumInterval"), maximumAttempts: json["maximumAttempts"]?.intValue ?? 0,
            nonRetryableErrorTypes: json["nonRetryableErrorTypes"]?.arrayValue?.compactMap(\.stringValue) ?? [])
    }

    /// The wire form.
    public var json: JSON {
        .compact([
            "initialInterval": .string(initialInterval.wire),
            // Infinity is no number in JSON: as a text the engine refuses it.
            "backoffCoefficient": backoffCoefficient.isFinite
                ? .number("\(backoffCoefficient)") : .string("\(backoffCoefficient)"),
            "maximumInterval": maximumInterval.map { .string($0.wire) },
            "maximumAttempts": .number(maximumAttempts),
            "nonRetryableErrorTypes": nonRetryableErrorTypes.isEmpty
                ? nil : .array(nonRetryableErrorTypes.map(JSON.string)),
        ])
    }
}
