/// What a workflow of a random test does: the input of ``RandomWorkflow``, which carries it out, and of
/// ``Expectation``, which tells what must come of it without any engine.
///
/// Whatever order things happen in, a program has one result: branches that run beside each other share nothing, and
/// nothing that fails in one of them ends another.
public struct Program: Codable, Sendable, Hashable {
    /// Between two of them the run continues as new.
    public var segments: [[Step]]
    public var ending: Ending

    public enum Ending: Codable, Sendable, Hashable {
        case returns
        case fails(String)
        /// Waits until somebody asks it to cancel itself, then cleans up.
        case waitsForCancellation(cleanup: [Step])
    }
}

public indirect enum Step: Codable, Sendable, Hashable {
    case activity(Deed)
    case sleep(milliseconds: Int)
    /// Branches beside each other, none of which throws.
    case parallel([[Step]])
    /// Steps one of which may throw, which ends the others and is noted.
    case catching([Step])
    case fail(String)
    /// Waits for a signal of this number, which is sent once.
    case signal(Int)
    /// Waits until an update of this number has been handled.
    case update(Int)
    case child(Child)
    /// Something without an end, canceled behind the steps beside it, none of which throws.
    case canceled(Victim, behind: [Step])
    /// Something without an end, ended by a time-out.
    case timedOut(milliseconds: Int, Victim)
    /// Draws a random number, and has an activity say whether the same comes back.
    case random(Int)
    /// A bug of the code that goes away when it has been met so many times.
    case bug(Int, times: Int)
}

/// One activity with an effect in the database.
public struct Deed: Codable, Sendable, Hashable {
    public enum Kind: String, Codable, Sendable { case plain, transactional }

    public var id: Int
    public var kind = Kind.plain
    /// Attempts that fail first.
    public var failures = 0
    /// Whether the attempt behind those fails for good.
    public var failsForGood = false
    /// How long an attempt takes.
    public var milliseconds = 0
    public var priority: Int?
}

public struct Child: Codable, Sendable, Hashable {
    public enum Bond: String, Codable, Sendable {
        /// The parent waits for its end.
        case awaited
        /// It goes on when the parent closes.
        case abandoned
        /// It waits for ever, and ends with the parent.
        case terminated, asked
    }

    public var id: Int
    public var program: Program
    public var bond = Bond.awaited
    /// Those that the parent sends it, in this order.
    public var signals: [Int] = []
    /// Whether they are sent as to any other workflow.
    public var signalsAsExternal = false
}

/// What has no end of its own.
public enum Victim: Codable, Sendable, Hashable {
    case timer
    case condition
    /// An activity that heartbeats until it is canceled; whether its end is waited for.
    case activity(Int, waits: Bool)
    /// A child that cleans up when it is canceled.
    case child(Int, cleanup: Deed)
}

extension Program {
    /// All steps, those of children not.
    var steps: [Step] {
        var all = segments.flatMap { $0 }
        if case .waitsForCancellation(let cleanup) = ending { all += cleanup }
        return all.flatMap(\.all)
    }

    /// The numbers of the signals that it waits for.
    public var signals: [Int] {
        steps.compactMap { if case .signal(let number) = $0 { number } else { nil } }
    }

    /// The numbers of the updates that it waits for.
    public var updates: [Int] {
        steps.compactMap { if case .update(let number) = $0 { number } else { nil } }
    }
}

extension Step {
    /// This one and those in it, those of children not.
    var all: [Step] {
        switch self {
        case .parallel(let branches): [self] + branches.flatMap { $0.flatMap(\.all) }
        case .catching(let steps), .canceled(_, behind: let steps): [self] + steps.flatMap(\.all)
        default: [self]
        }
    }
}
