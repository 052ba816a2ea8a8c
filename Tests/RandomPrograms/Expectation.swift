/// What must come of a program, told without any engine.
public struct Expectation: Sendable, Equatable {
    public enum Outcome: Sendable, Equatable {
        case completed([String])
        case failed(String)
        case canceled
        case terminated
    }

    public var outcome: Outcome
    /// Deeds that are done, by their names.
    public var required: Set<String> = []
    /// Deeds that may be done, as by handlers of messages that nobody waits for.
    public var allowed: Set<String> = []
    /// Other workflows that are left, by their ids behind that of the program.
    public var others: [String: Outcome] = [:]

    /// Whether a program may end otherwise than by its result.
    static func canFail(_ program: Program) -> Bool {
        if case .completed = Expectation(program).outcome { false } else { true }
    }

    public init(_ program: Program) {
        var player = Player()
        outcome = player.outcome(program)
        required = player.required
        allowed = player.allowed
        others = player.others
    }

    private struct Thrown: Error { let text: String }

    private struct Player {
        var required: Set<String> = []
        var allowed: Set<String> = []
        var others: [String: Outcome] = [:]

        mutating func outcome(_ program: Program) -> Outcome {
            // Every signal is sent, whether or not the program comes to wait for it.
            for number in program.signals where Step.isHandledSlowly(number) { allowed.insert("signal-\(number)") }
            for number in program.updates { allowed.insert("update-\(number)") }
            do {
                var trace: [String] = []
                for segment in program.segments { trace += try play(segment) }
                switch program.ending {
                case .returns: return .completed(trace)
                case .fails(let message): return .failed("Ending: \(message)")
                case .waitsForCancellation(let cleanup):
                    _ = try play(cleanup)
                    return .canceled
                }
            } catch let thrown as Thrown {
                return .failed(thrown.text)
            } catch {
                return .failed("\(error)")
            }
        }

        mutating func play(_ steps: [Step]) throws -> [String] {
            var trace: [String] = []
            for step in steps { trace += try play(step) }
            return trace
        }

        mutating func play(_ step: Step) throws -> [String] {
            switch step {
            case .activity(let deed):
                if deed.failsForGood { throw Thrown(text: "activity: Deed: \(deed.name) failed") }
                required.insert(deed.name)
                return [deed.name]
            case .sleep: return ["slept"]
            case .parallel(let branches):
                return try branches.enumerated().flatMap { number, branch in ["branch \(number)"] + (try play(branch)) }
            case .catching(let steps):
                do {
                    return try play(steps)
                } catch let thrown as Thrown {
                    return ["caught \(thrown.text)"]
                }
            case .fail(let message): throw Thrown(text: "Step: \(message)")
            case .signal(let number):
                if Step.isHandledSlowly(number) { required.insert("signal-\(number)") }
                return ["signal \(number)"]
            case .update(let number):
                required.insert("update-\(number)")
                return ["update \(number)"]
            case .child(let child): return try play(child)
            case .canceled(let victim, behind: let steps):
                allow(victim)
                return try play(steps) + ["ended \(victim.name)"]
            case .timedOut(_, let victim):
                allow(victim)
                return ["ended \(victim.name)"]
            case .random(let id): return ["random \(id)"]
            case .bug(let id, _): return ["bug \(id)"]
            }
        }

        /// It may be canceled before it has begun.
        private mutating func allow(_ victim: Victim) {
            if case .child(_, let cleanup) = victim { allowed.insert(cleanup.name) }
        }

        private mutating func play(_ child: Child) throws -> [String] {
            let outcome = outcome(child.program)
            switch child.bond {
            case .abandoned:
                others["c\(child.id)"] = outcome
                return ["child \(child.id)"]
            case .terminated:
                others["c\(child.id)"] = .terminated
                return ["child \(child.id)"]
            case .asked:
                others["c\(child.id)"] = .canceled
                return ["child \(child.id)"]
            case .awaited:
                switch outcome {
                case .completed(let trace): return ["child \(child.id)"] + trace
                case .failed(let text): throw Thrown(text: "child: \(text)")
                case .canceled, .terminated: throw Thrown(text: "child: canceled")
                }
            }
        }
    }
}

extension Step {
    /// Whether the handler of a signal waits for an activity.
    static func isHandledSlowly(_ signal: Int) -> Bool { signal % 3 == 0 }
}

extension Deed {
    /// Of its effect.
    var name: String { "deed-\(id)" }
}

extension Victim {
    var name: String {
        switch self {
        case .timer: "timer"
        case .condition: "condition"
        case .activity(let id, _): "activity \(id)"
        case .child(let id, _): "child \(id)"
        }
    }
}
