import Foundation
import Testing

@testable import RandomPrograms

@Suite("Random programs")
struct RandomProgramTests {
    private static func number(_ name: String, or standard: Int) -> Int {
        ProcessInfo.processInfo.environment[name].flatMap { Int($0) } ?? standard
    }

    /// Its troubles take the processor from tests that run beside it, so it runs alone, when it is asked for.
    private static let isAskedFor = ProcessInfo.processInfo.environment["PERDURE_RANDOM_PROGRAMS"] != nil

    @Test(
        "Each has the result, the effects and the histories that the model says, whatever happens to workers",
        .enabled(if: isAskedFor, "PERDURE_RANDOM_PROGRAMS says how many to run"))
    func storm() async throws {
        let seed = UInt64(Self.number("PERDURE_RANDOM_SEED", or: 1))
        var options = StormOptions(seed: seed, programs: Self.number("PERDURE_RANDOM_PROGRAMS", or: 30))
        // The machine may have much else to do.
        options.limit = .seconds(300)
        options.onFinding = { finding in
            Issue.record("\(finding). Again: PERDURE_RANDOM_SEED=\(finding.seed ?? seed) PERDURE_RANDOM_PROGRAMS=1")
        }
        let report = try await Storm.run(options)
        print("from seed \(seed): \(report)")
        #expect(report.programs == options.programs)
        #expect(report.runs >= report.programs)
        #expect(report.troubles.count >= 3 || report.programs < 10)
    }

    @Test("All kinds of steps come up, and a seed makes one program")
    func generator() {
        var kinds: Set<String> = []
        for seed in 0..<1000 as Range<UInt64> {
            let program = ProgramGenerator.program(seed: seed)
            #expect(program == ProgramGenerator.program(seed: seed))
            func note(_ program: Program) {
                kinds.insert("\(program.ending)".prefix { $0.isLetter }.description)
                if program.segments.count > 1 { kinds.insert("continueAsNew") }
                for step in program.steps {
                    kinds.insert("\(step)".prefix { $0.isLetter }.description)
                    switch step {
                    case .activity(let deed): kinds.insert(deed.failsForGood ? "failsForGood" : deed.kind.rawValue)
                    case .child(let child):
                        kinds.insert(child.bond.rawValue)
                        if !child.signals.isEmpty { kinds.insert(child.signalsAsExternal ? "external" : "handle") }
                        note(child.program)
                    case .canceled(let victim, _), .timedOut(_, let victim):
                        kinds.insert("victim \(victim.name.prefix { $0.isLetter })")
                    default: break
                    }
                }
            }
            note(program)
        }
        #expect(
            kinds == [
                "returns", "fails", "waitsForCancellation", "continueAsNew", "activity", "sleep", "parallel",
                "catching", "fail", "signal", "update", "child", "canceled", "timedOut", "random", "bug",
                "failsForGood", "plain", "transactional", "awaited", "abandoned", "terminated", "asked", "external",
                "handle", "victim timer", "victim condition", "victim activity", "victim child",
            ])
    }

    @Test(
        "What is not as the model says is found",
        .enabled(if: isAskedFor, "PERDURE_RANDOM_PROGRAMS says how many to run"),
        arguments: [
            ("outcome", "and not completed([])"), ("deed", "not done: [\"deed-0\"]"), ("other", "it has not ended"),
        ])
    func findsMistakes(_ what: String, _ problem: String) async throws {
        let findings = Findings()
        // One activity, and no children.
        let seed = try #require(
            (0..<10_000 as Range<UInt64>).first { seed in
                let program = ProgramGenerator.program(seed: seed)
                guard program.segments.count == 1, program.segments[0].count == 1, case .returns = program.ending,
                    case .activity(let deed) = program.segments[0][0]
                else { return false }
                return !deed.failsForGood
            })
        var options = StormOptions(seed: seed, programs: 1)
        options.isTroubled = false
        options.limit = .seconds(10)
        options.onFinding = { findings.add("\($0)") }
        options.alter = { expectation in
            switch what {
            case "outcome": expectation.outcome = .completed([])
            case "deed": expectation.required.insert("deed-0")
            default: expectation.others["c0"] = .canceled
            }
        }
        let report = try await Storm.run(options)
        #expect(report.findings.count == 1)
        #expect(findings.all.contains { $0.contains("seed \(seed): ") && $0.contains(problem) }, "\(findings.all)")
    }

    private final class Findings: @unchecked Sendable {
        // A lock guards it.
        private let lock = NSLock()
        private var found: [String] = []
        func add(_ finding: String) { lock.withLock { found.append(finding) } }
        var all: [String] { lock.withLock { found } }
    }
}
