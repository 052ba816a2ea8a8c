import PerdureEngine

/// What a run's history says of the SDK that wrote it: name, version, and flags for ways of deciding that came later
/// than others.
///
/// The first task that a version completes names all flags that it knows. A replayed task goes by the flags that stand
/// in the history up to its own `WorkflowTaskCompleted`, so a way of deciding can change without breaking older
/// histories.
struct SDKMetadata {
    static let name = "perdure-swift"
    static let version = "0.1"

    /// Numbered as in Temporal's core (`coreUsedFlags`) where it has the same, so that its replayer understands our
    /// histories and ours understands those of SDKs that are built on it.
    enum Flag: Int, CaseIterable {
        /// A patch that is taken is also added to the search attribute `TemporalChangeVersion`.
        case upsertsChangeVersion = 2
    }
    private static let known = Set(Flag.allCases.map(\.rawValue))

    private struct State {
        var flags: Set<Int> = []
        var name = ""
        var version = ""
    }

    /// What the history says.
    private var told = State()
    /// What it says once the task that runs is completed.
    private var current = State()

    func has(_ flag: Flag) -> Bool { current.flags.contains(flag.rawValue) }

    /// A task is replayed.
    ///
    /// - Parameter metadata: what its `WorkflowTaskCompleted` says; that names only what is new.
    mutating func beginReplayedTask(_ metadata: JSON?) {
        current = told
        guard let metadata else { return }
        current.flags.formUnion((metadata["coreUsedFlags"]?.arrayValue ?? []).compactMap(\.intValue))
        if let name = metadata["sdkName"]?.stringValue, !name.isEmpty { current.name = name }
        if let version = metadata["sdkVersion"]?.stringValue, !version.isEmpty { current.version = version }
    }

    /// A task runs for the first time: it may decide in every way that is known.
    ///
    /// - Returns: what its `WorkflowTaskCompleted` has to say; nil when the history says it already.
    mutating func beginTask() -> JSON? {
        // That of all tasks but the first: the flags are not put together anew.
        if told.name == Self.name, told.version == Self.version, Self.known.isSubset(of: told.flags) {
            current = told
            return nil
        }
        let new = Self.known.subtracting(told.flags)
        current = State(flags: told.flags.union(new), name: Self.name, version: Self.version)
        guard !new.isEmpty || current.name != told.name || current.version != told.version else { return nil }
        return .compact([
            "coreUsedFlags": new.isEmpty ? nil : .array(new.sorted().map { .number($0) }),
            "sdkName": current.name == told.name ? nil : .string(current.name),
            "sdkVersion": current.version == told.version ? nil : .string(current.version),
        ])
    }

    /// The task's `WorkflowTaskCompleted` stands in the history. That of a task which did no more than to reject an
    /// update never does.
    mutating func noteCompleted() { told = current }
}
