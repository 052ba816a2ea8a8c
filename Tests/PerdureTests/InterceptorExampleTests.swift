import Foundation
import Perdure
import PerdureTesting
import Testing

@Suite("The guide's example of interceptors and codecs")
struct InterceptorExampleTests {
    @Test("It is the code that is compiled here")
    func isCompiled() throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent()
        let guide = try String(
            contentsOf: folder.appending(path: "../../docs/guides/codecs-and-interceptors.md"), encoding: .utf8)
        let example = try String(contentsOf: folder.appending(path: "InterceptorExample.swift"), encoding: .utf8)
        #expect(
            guide.contains("<!-- interceptors -->\n```swift\n\(example)```\n"),
            "Copy Tests/PerdureTests/InterceptorExample.swift into the guide, below <!-- interceptors -->.")
    }

    @Test("It does what it says", .timeLimit(.minutes(5)))
    func works() async throws {
        try await TestDatabase.with { database in
            let (worker, client) = makePair(pool: database.pool, key: Array(repeating: 1, count: 32))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await worker.run() }
                let letter = try await CustomerHeader.$customer.withValue("Ann") {
                    try await client.executeWorkflow(
                        type: LetterWriting.self, options: .init(id: "letter", taskQueue: "letters"), input: "Dear")
                }
                #expect(letter == "Dear, Ann")
                group.cancelAll()
                try await group.waitForAll()
            }
        }
    }
}
