import Perdure
import PerdureEngine
import PerdureTesting
import Testing

@Suite("Lists of workflows")
struct ListTests {
    @Test("A filter chooses, pages go on behind their last row, and what is wrong is told with its place")
    func filter() async throws {
        try await TestDatabase.with { database in
            let engine = Engine(pool: database.pool)
            let client = PerdureClient(pool: database.pool)
            for number in 1...5 {
                _ = try await engine.startWorkflow(
                    namespace: "default", workflowID: "run-\(number)", workflowType: number == 3 ? "Odd" : "Plain",
                    taskQueue: "queue", options: number == 2 ? ["workflowStartDelay": "60s"] : [:])
            }
            #expect(try await client.listWorkflows().map(\.workflowID) == (1...5).reversed().map { "run-\($0)" })
            let odd = try await client.listWorkflows("WorkflowType = 'Odd' AND ExecutionStatus = 'Running'")
            #expect(odd.map(\.workflowID) == ["run-3"])
            #expect(odd.first?.historyLength == 2)
            let delayed = try await client.listWorkflows("WorkflowId = 'run-2'")
            #expect(delayed.first.map { $0.executionTime.duration(since: $0.startTime) } == .seconds(60))

            for order in [
                "", "ORDER BY WorkflowId", "ORDER BY CloseTime DESC", "ORDER BY WorkflowType, HistoryLength DESC",
            ] {
                let all = try await client.listWorkflows(order).map(\.workflowID)
                var paged: [String] = []
                var last: WorkflowSummary?
                while let next = try await client.listWorkflows(order, after: last, limit: 1).first {
                    paged.append(next.workflowID)
                    last = next
                }
                #expect(paged == all, "\(order)")
            }

            #expect(try await client.countWorkflows("WorkflowType = 'Plain'") == [.running: 4])
            #expect(try await client.countWorkflows(upTo: 2) == [.running: 2])

            let error = await #expect(throws: EngineError.self) {
                try await client.listWorkflows("WorkflowType = Odd")
            }
            #expect(error?.code == .invalidArgument)
            #expect(error?.detail == "characters 16 to 18")
        }
    }
}
