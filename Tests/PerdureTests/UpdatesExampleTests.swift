import Foundation
import Logging
import Perdure
import PerdureTesting
import Testing

@Suite("The guide's example of updates")
struct UpdatesExampleTests {
    @Test("It is the code that is compiled here")
    func isCompiled() throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent()
        let guide = try String(
            contentsOf: folder.appending(path: "../../docs/guides/workflows.md"), encoding: .utf8)
        let example = try String(contentsOf: folder.appending(path: "UpdatesExample.swift"), encoding: .utf8)
        #expect(
            guide.contains("<!-- updates -->\n```swift\n\(example)```\n"),
            "Copy Tests/PerdureTests/UpdatesExample.swift into docs/guides/workflows.md, below <!-- updates -->.")
    }

    @Test("It does what it says", .timeLimit(.minutes(5)))
    func works() async throws {
        try await TestDatabase.with { database in
            let worker = Worker(
                pool: database.pool, options: WorkerOptions(taskQueue: "carts"), workflows: [Cart.self],
                logger: Logger(label: "worker", factory: { _ in SwiftLogNoOpLogHandler() }))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await worker.run() }
                let cart = try await PerdureClient(pool: database.pool).startWorkflow(
                    type: Cart.self, options: WorkflowOptions(id: "cart", taskQueue: "carts"))
                let items = try await fill(cart, with: ["pear", "plum", "pear"])
                #expect(items == ["pear", "plum"])
                group.cancelAll()
                try await group.waitForAll()
            }
        }
    }
}
