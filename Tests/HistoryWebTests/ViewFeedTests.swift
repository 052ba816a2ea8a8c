import Foundation
import PerdureModel
import Postgres
import Synchronization
import TestSupport
import Testing
import WebCommon

@testable import HistoryWeb

private final class Count: Sendable {
    private let count = Mutex(0)
    var value: Int { count.withLock { $0 } }
    func next() -> Int {
        count.withLock {
            $0 += 1
            return $0
        }
    }
}

private final class Marks: Sendable {
    let text = Mutex(["default": "1", "other": "1"])
}

/// How viewers follow what is on their screens.
@Suite struct ViewFeedTests {
    private static let list = LiveView.runs(ListFilter(namespace: "default", text: ""), lengths: false)

    @Test func threeHundredViewersCostWhatOneDoes() async throws {
        try await TestSite.with { site, _ in
            let store = HistoryStore(site.pool)
            let looks = Count()
            let feed = ViewFeed(pause: .milliseconds(100), logger: quiet) { view in
                _ = looks.next()
                return try await view.mark(store)
            }
            let told = Count()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<300 {
                    group.addTask {
                        var seen = 0
                        for await event in await feed.looks(at: [Self.list]) {
                            #expect(event.event == "look")
                            _ = told.next()
                            seen += 1
                            if seen == 10 { return }
                        }
                    }
                }
                try await group.waitForAll()
            }
            // Each look was told to all who were there.
            #expect(told.value == 3000)
            #expect(looks.value < 30)
            try await eventually("the last one's leaving ends the looking") { await feed.load == (0, 0) }
        }
    }

    @Test func nothingIsLeftOfAViewerThatLeavesDuringTheFirstLook() async throws {
        let (gate, open) = AsyncStream.makeStream(of: Void.self)
        let looks = Count()
        let ended = Count()
        let feed = ViewFeed(pause: .milliseconds(10), logger: quiet) { _ in
            _ = looks.next()
            for await _ in gate { break }
            _ = ended.next()
            return "mark"
        }
        let viewers = (0..<20).map { _ in Task { for await _ in await feed.looks(at: [Self.list]) {} } }
        try await eventually("all have come") { await feed.load == (20, 1) }
        for viewer in viewers { viewer.cancel() }
        try await eventually("all have left") { await feed.load == (0, 0) }
        open.finish()
        try await eventually("the look ends") { ended.value == 1 }
        // Whoever comes then is served, by a look that is the next one.
        for await event in await feed.looks(at: [Self.list]) {
            #expect(event.data.contains("\"mark\":\"mark\""))
            #expect(looks.value == 2)
            break
        }
    }

    @Test func tellsOfEachViewToThoseWhoFollowIt() async throws {
        let marks = Marks()
        let feed = ViewFeed(pause: .milliseconds(20), logger: quiet) { view in
            guard case .queues(let namespace) = view else { return "" }
            return marks.text.withLock { $0[namespace] ?? "" }
        }
        let one = LiveView.queues(namespace: "default")
        let other = LiveView.queues(namespace: "other")
        var seen: Set<String> = []
        for await event in await feed.looks(at: [one, other]) {
            let look = try JSON(parsing: event.data.utf8)
            seen.insert("\(look["view"]?.stringValue ?? "") \(look["mark"]?.stringValue ?? "")")
            #expect(Int(look["age"]?.text ?? "").map { $0 >= 0 } == true)
            if seen.count == 2 { marks.text.withLock { $0["other"] = "2" } }
            if seen.count == 3 { break }
        }
        #expect(seen == ["\(one.address) 1", "\(other.address) 1", "\(other.address) 2"])
        // Who wants changes alone hears of nothing else; one that was missed is told at once.
        for await event in await feed.changes(of: other, since: "1") {
            #expect(event.event == "change" && event.id == "2")
            break
        }
        try await eventually("all have left") { await feed.load == (0, 0) }
    }

    @Test func viewsComeBackFromTheirAddresses() throws {
        let views: [LiveView] = [
            .runs(
                ListFilter(namespace: "..", text: "a = 'ü&' ORDER BY b", status: .running, since: .hour),
                lengths: true),
            Self.list,
            .run(namespace: "a/b", workflowID: ".", runID: "00000000-0000-4000-8000-000000000000"),
            .queues(namespace: "~."),
        ]
        for view in views { #expect(try LiveView(address: view.address).address == view.address) }
    }

    @Test func anAnswerIsMadeOnceForAllWhoAskForTheSame() async throws {
        let made = Count()
        let asked = Count()
        let (gate, open) = AsyncStream.makeStream(of: Void.self)
        let answers = SharedAnswers<Int>(kept: .seconds(30))
        try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<100 {
                group.addTask {
                    _ = asked.next()
                    return try await answers.answer("a") {
                        for await _ in gate { break }
                        return made.next()
                    }.value
                }
            }
            try await eventually("all ask") { asked.value == 100 }
            open.finish()
            for try await value in group { #expect(value == 1) }
        }
        #expect(try await answers.answer("b") { 2 }.value == 2)
    }
}
