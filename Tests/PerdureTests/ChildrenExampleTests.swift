import Foundation
import Perdure
import PerdureTesting
import Testing

@Suite("The guide's example of child workflows")
struct ChildrenExampleTests {
    @Test("It is the code that is compiled here")
    func isCompiled() throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent()
        let guide = try String(
            contentsOf: folder.appending(path: "../../docs/guides/workflows.md"), encoding: .utf8)
        let example = try String(contentsOf: folder.appending(path: "ChildrenExample.swift"), encoding: .utf8)
        #expect(
            guide.contains("<!-- children example -->\n```swift\n\(example)```\n"),
            "Copy Tests/PerdureTests/ChildrenExample.swift into docs/guides/workflows.md, below its mark.")
    }

    @Test("It does what it says")
    func works() async throws {
        try await TestDatabase.with { database in
            let worker = Worker(
                pool: database.pool, options: .init(taskQueue: "shop"),
                workflows: [Order.self, Shipment.self, Courier.self], activities: [])
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await worker.run() }
                let client = PerdureClient(pool: database.pool)
                let order = try await client.startWorkflow(
                    type: Order.self, options: .init(id: "order", taskQueue: "shop"), input: ["a", "b"])
                // A signal to a shipment that has not begun would find nobody.
                try await eventuallyStarted(["shipment-a", "shipment-b"], client)
                try await client.executeWorkflow(
                    type: Courier.self, options: .init(id: "courier", taskQueue: "shop"), input: ["a", "b"])
                #expect(try await order.result() == ["a has arrived", "b has arrived"])
                group.cancelAll()
            }
        }
    }

    private func eventuallyStarted(_ ids: [String], _ client: PerdureClient) async throws {
        for id in ids {
            let handle = client.workflowHandle(type: Shipment.self, id: id)
            while (try? await handle.describe()) == nil { try await Task.sleep(for: .milliseconds(5)) }
        }
    }
}
