import Foundation
import PerdureEngine
import Postgres
import TestSupport
import Testing

/// The commands as operators use them, each a process.
@Suite struct WorkflowCommandTests {
    @Test func `a workflow's life from the command line`() async throws {
        try await EmptyDatabase.with { database in
            try await database.migrator().migrate()
            func perdure(_ arguments: String...) async throws -> Outcome {
                try await PerdureCommandTests.perdure(arguments, database: database)
            }

            #expect(try await perdure("namespace", "create", "-n", "orders", "--retention", "7d").status == 0)
            #expect(try await perdure("namespace", "list").output.contains("orders"))
            #expect(
                try await perdure(
                    "search-attribute", "create", "-n", "orders", "--name", "customer", "--type", "Keyword"
                ).status == 0)
            #expect(try await perdure("search-attribute", "list", "-n", "orders").output.contains("customer  Keyword"))

            let start = try await perdure(
                "workflow", "start", "-n", "orders", "--type", "Order", "-t", "q", "-w", "o-1", "-i", "{\"amount\": 5}",
                "--search-attribute", "customer=\"ann\"", "--memo", "note=\"hi\"", "--execution-timeout", "1h30m", "-o",
                "json")
            #expect(start.status == 0, "\(start.errors)")
            let runID = try #require(try JSON(parsing: start.output)["runId"]?.stringValue)
            let twice = try await perdure(
                "workflow", "start", "-n", "orders", "--type", "Order", "-t", "q", "-w", "o-1")
            #expect(twice.status == 1)
            #expect(twice.errors.contains("already running"))

            #expect(
                try await perdure("workflow", "signal", "-n", "orders", "-w", "o-1", "--name", "pay", "-i", "1").status
                    == 0)
            let list = try await perdure(
                "workflow", "list", "-n", "orders", "-q", "customer = 'ann' AND ExecutionStatus = 'Running'")
            #expect(list.output.contains("o-1"), "\(list.errors)")
            #expect(
                try await !perdure("workflow", "list", "-n", "orders", "-q", "customer = 'bob'").output.contains("o-1"))
            #expect(try await perdure("workflow", "count", "-n", "orders").output.hasPrefix("Total: 1\n"))
            let wrong = try await perdure("workflow", "list", "-n", "orders", "-q", "nonsense = 1")
            #expect(wrong.status == 1)
            #expect(wrong.errors.split(separator: "\n").count == 1)

            let describe = try await perdure("workflow", "describe", "-n", "orders", "-w", "o-1")
            #expect(
                describe.output.contains("{\"amount\":5}") || describe.output.contains("{\"amount\": 5}"),
                "\(describe.output)")
            #expect(describe.output.contains("ann"))
            #expect(try await perdure("queue", "list", "-n", "orders").output.contains("q"))
            let queue = try await perdure("queue", "describe", "-n", "orders", "-t", "q")
            #expect(queue.output.contains("no worker polls q"))
            #expect(try await perdure("worker", "list", "-n", "orders").output.hasPrefix("IDENTITY"))

            #expect(try await perdure("workflow", "cancel", "-n", "orders", "-w", "o-1", "--reason", "x").status == 0)
            #expect(
                try await perdure("workflow", "delete", "-n", "orders", "-w", "o-1").errors.contains(
                    "Terminate it first"))
            let query = try await perdure(
                "workflow", "query", "-n", "orders", "-w", "o-1", "--type", "state", "--timeout", "100ms")
            #expect(query.status == 1)
            #expect(
                try await perdure("workflow", "terminate", "-n", "orders", "-w", "o-1", "--reason", "test").status == 0)
            let result = try await perdure("workflow", "result", "-n", "orders", "-w", "o-1")
            #expect(result.status == 1)
            #expect(result.errors.contains("Terminated"))

            let show = try await perdure("workflow", "show", "-n", "orders", "-w", "o-1")
            #expect(show.output.contains("WorkflowExecutionSignaled"))
            #expect(show.output.contains("pay"))
            let json = try JSON(
                parsing: try await perdure("workflow", "show", "-n", "orders", "-w", "o-1", "--json").output)
            let events = try #require(json["events"]?.arrayValue)
            #expect(events.first?["eventType"] == "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED")
            #expect(events.first?["eventId"] == "1")
            let payload = events.first?["workflowExecutionStartedEventAttributes"]?["input"]?["payloads"]?[0]
            #expect(payload?["metadata"]?["encoding"]?.stringValue == Data("json/plain".utf8).base64EncodedString())
            #expect(events.last?["eventType"] == "EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED")

            #expect(try await perdure("workflow", "delete", "-n", "orders", "-w", "o-1").output.contains(runID))
            let gone = try await perdure("workflow", "describe", "-n", "orders", "-w", "o-1")
            #expect(gone.status == 1)
            #expect(gone.errors.split(separator: "\n").count == 1)
            let doctor = try await perdure("doctor", "-o", "json")
            #expect(try JSON(parsing: doctor.output).arrayValue?.count ?? 0 >= 9)
        }
    }

    @Test func `the inspection scripts run on an installed database`() async throws {
        let folder = checkout.appending(path: "sql/inspect")
        let scripts = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".sql") }
        #expect(scripts.count >= 5)
        try await EmptyDatabase.with { database in
            try await database.migrator().migrate()
            try await database.connected {
                _ = try await $0.query(
                    "select * from perdure.start_workflow(workflow_type => 'W', workflow_id => 'order-7', task_queue => 'q', input => '1')"
                )
            }
            for script in scripts.sorted() {
                let end = try await outcome(
                    of: "/usr/bin/psql",
                    [
                        "-X", "-v", "ON_ERROR_STOP=1", "-v", "workflow_id=order-7", database.url, "-f",
                        "sql/inspect/\(script)",
                    ])
                #expect(end.status == 0, "\(script): \(end.errors)")
                #expect(end.errors.isEmpty, "\(script): \(end.errors)")
                #expect(try String(contentsOf: folder.appending(path: script), encoding: .utf8).hasPrefix("-- "))
            }
        }
    }
}
