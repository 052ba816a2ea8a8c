import Foundation
import Testing

@testable import Perdure

@Suite struct LookbackTests {
    private let asked = Date(timeIntervalSinceReferenceDate: 1_000_000)
    private let start = ContinuousClock.now

    @Test func looksAtEverythingUntilAPassHasLeftNothing() {
        var lookback = Lookback()
        #expect(lookback.since(at: start) == nil)
        lookback.passed(since: nil, askedAt: asked, leftNothing: false, took: .milliseconds(10), at: start)
        #expect(lookback.since(at: start) == nil)
        lookback.passed(since: nil, askedAt: nil, leftNothing: true, took: .milliseconds(10), at: start)
        #expect(lookback.since(at: start) == nil, "a claim that failed has seen nothing")
    }

    @Test func looksBackToThePassThatLeftNothingAndSomeMore() {
        var lookback = Lookback()
        lookback.passed(since: nil, askedAt: asked, leftNothing: true, took: .milliseconds(10), at: start)
        let since = lookback.since(at: start)
        #expect(since == asked.addingTimeInterval(-0.5))
        lookback.passed(
            since: since, askedAt: asked.addingTimeInterval(5), leftNothing: false, took: .milliseconds(1), at: start)
        #expect(lookback.since(at: start) == since, "what was left is as old as that")
        lookback.passed(
            since: since, askedAt: asked.addingTimeInterval(6), leftNothing: true, took: .milliseconds(1), at: start)
        #expect(lookback.since(at: start) == asked.addingTimeInterval(5.5))
    }

    @Test func looksAtEverythingAsOftenAsThatIsCheap() {
        var lookback = Lookback()
        lookback.passed(since: nil, askedAt: asked, leftNothing: true, took: .milliseconds(10), at: start)
        #expect(lookback.since(at: start + .milliseconds(499)) != nil)
        #expect(lookback.since(at: start + .milliseconds(500)) == nil)
        // A pass that looked at less puts it off no further.
        lookback.passed(
            since: asked, askedAt: asked, leftNothing: true, took: .seconds(1), at: start + .milliseconds(400))
        #expect(lookback.since(at: start + .milliseconds(500)) == nil)
    }
}
