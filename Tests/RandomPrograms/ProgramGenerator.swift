/// Numbers that a seed decides (SplitMix64).
public struct Dice: RandomNumberGenerator, Sendable {
    private var state: UInt64

    public init(seed: UInt64) {
        // Mixed first, or that of the next seed would be the same numbers from the second on.
        state = seed
        state = next()
    }

    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }

    /// Whether something happens that happens once in so many times.
    public mutating func onceIn(_ count: Int) -> Bool { Int.random(in: 0..<count, using: &self) == 0 }
    public mutating func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self) }
    public mutating func pick<Element>(_ elements: [Element]) -> Element {
        elements[Int.random(in: 0..<elements.count, using: &self)]
    }
}

/// Makes a program of a seed.
struct ProgramGenerator {
    private var dice: Dice
    private var lastID = 0
    /// How many more steps there may be.
    private var budget: Int

    static func program(seed: UInt64) -> Program {
        var generator = ProgramGenerator(dice: Dice(seed: seed), budget: 0)
        generator.budget = generator.dice.number(3...30)
        return generator.program(depth: 0)
    }

    private mutating func id() -> Int {
        lastID += 1
        return lastID
    }

    private mutating func program(depth: Int) -> Program {
        var segments: [[Step]] = []
        let count = depth < 2 && dice.onceIn(4) ? dice.number(2...3) : 1
        for number in 1...count {
            var scope = Scope(depth: depth, mayThrow: false, takesMessages: true, isTop: depth == 0)
            scope.isLast = number == count
            segments.append(steps(dice.number(1...6), scope))
        }
        var ending = Program.Ending.returns
        if dice.onceIn(6) { ending = .fails("the end of \(id())") }
        if depth == 0, dice.onceIn(5) {
            ending = .waitsForCancellation(
                cleanup: steps(dice.number(0...2), Scope(depth: 3, mayThrow: false, takesMessages: false)))
        }
        // A program that fails in the middle.
        if depth > 0 || dice.onceIn(4), dice.onceIn(3) {
            segments[count - 1].append(contentsOf: steps(2, Scope(depth: depth, mayThrow: true, takesMessages: false)))
        }
        return Program(segments: segments, ending: ending)
    }

    private struct Scope {
        /// How far down it is.
        var depth: Int
        /// Whether a step may throw out of it.
        var mayThrow: Bool
        /// Whether steps may wait for signals and updates: every one of those must be reached.
        var takesMessages: Bool
        /// Whether this is the program that is started from outside.
        var isTop = false
        var isLast = false
        /// Whether it is a branch beside others. What goes wrong there cancels the others before it fails the task, and
        /// such a decision stays when the bug has gone.
        var isBranch = false
    }

    private mutating func steps(_ count: Int, _ scope: Scope) -> [Step] {
        var steps: [Step] = []
        for _ in 0..<count where budget > 0 {
            budget -= 1
            steps.append(step(scope))
        }
        return steps
    }

    private mutating func step(_ scope: Scope) -> Step {
        var inner = scope
        inner.depth += 1
        inner.isLast = false
        let isDeep = scope.depth >= 3
        switch dice.number(0...(isDeep ? 9 : 18)) {
        case 0, 1, 2: return .activity(deed(failsForGood: scope.mayThrow && dice.onceIn(5)))
        case 3, 4: return .sleep(milliseconds: dice.onceIn(5) ? 0 : dice.number(1...120))
        case 5: return scope.mayThrow && dice.onceIn(3) ? .fail("step \(id())") : .activity(deed())
        case 6 where scope.takesMessages: return .signal(id())
        case 7 where scope.takesMessages && scope.isTop: return .update(id())
        case 6, 7, 8: return !scope.isBranch && dice.onceIn(3) ? .bug(id(), times: dice.number(1...2)) : .random(id())
        case 9: return .timedOut(milliseconds: dice.number(1...60), victim())
        case 10, 11:
            inner.mayThrow = false
            inner.isBranch = true
            return .parallel((0..<dice.number(2...4)).map { _ in steps(dice.number(1...3), inner) })
        case 12, 13:
            inner.mayThrow = true
            // What is behind a step that throws is not reached.
            inner.takesMessages = false
            return .catching(steps(dice.number(1...4), inner))
        case 14, 15:
            inner.mayThrow = false
            inner.isBranch = true
            return .canceled(victim(), behind: steps(dice.number(0...2), inner))
        default: return child(scope)
        }
    }

    private mutating func deed(failsForGood: Bool = false) -> Deed {
        Deed(
            id: id(), kind: dice.onceIn(3) ? .transactional : .plain, failures: dice.onceIn(4) ? dice.number(1...2) : 0,
            failsForGood: failsForGood, milliseconds: dice.onceIn(3) ? dice.number(1...60) : 0,
            priority: dice.onceIn(3) ? dice.number(1...5) : nil)
    }

    private mutating func victim() -> Victim {
        switch dice.number(0...4) {
        case 0: .timer
        case 1: .condition
        case 2: .activity(id(), waits: true)
        case 3: .activity(id(), waits: false)
        default: .child(id(), cleanup: deed())
        }
    }

    private mutating func child(_ scope: Scope) -> Step {
        var bonds = [Child.Bond.awaited, .awaited, .awaited]
        // Those would end with a run that continues as new.
        if scope.isLast { bonds += [.terminated, .asked, .abandoned] }
        let bond = dice.pick(bonds)
        let id = id()
        switch bond {
        case .terminated, .asked:
            let cleanup = bond == .asked ? [Step.activity(deed())] : []
            let program = Program(segments: [[]], ending: .waitsForCancellation(cleanup: cleanup))
            return .child(Child(id: id, program: program, bond: bond))
        case .awaited, .abandoned:
            let program = program(depth: scope.depth + 1)
            let child = Child(
                id: id, program: program, bond: bond, signals: program.signals.shuffled(using: &dice),
                signalsAsExternal: dice.onceIn(3))
            let canThrow = Expectation.canFail(program)
            return bond == .awaited && canThrow && !scope.mayThrow ? .catching([.child(child)]) : .child(child)
        }
    }
}
