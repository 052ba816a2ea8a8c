import Foundation
import Logging
import PerdureEngine
import PerdureTesting
import Postgres
import TestSupport
import Testing

@testable import Perdure

// What the tests look for is here, and so is where it stands.
private let lineBeforeRecipe = #line

/// Cooks, "slowly" \ carefully.
@Workflow(name: "Recipe")
private struct Recipe {
    var isSeasoned = false

    func run(context: WorkflowContext<Self>, input: String) async throws -> String {
        async let boiled = context.executeActivity(
            Kitchen.Activities.Boil.self, options: ActivityOptions(startToCloseTimeout: .seconds(60)), input: input)
        try await context.condition { $0.isSeasoned }
        return try await boiled
    }

    /// Adds salt.
    ///
    /// Once is enough.
    /// - Parameter input: how much.
    @WorkflowSignal
    mutating func season(input: Int) { isSeasoned = true }

    // Not documented.
    @WorkflowQuery(description: "Whether there is salt in it.")
    func seasoned() -> Bool { isSeasoned }

    @WorkflowQuery func plain() -> Int { 1 }
}

@ActivityContainer
private struct Kitchen {
    /// Until it is soft.
    @Activity
    func boil(_ what: String) async throws -> String { "boiled \(what)" }

    @Activity func burn() {}
}

@Suite("Source code")
struct SourceTests {
    @Test("A workflow and its activities know their text, and where it stands")
    func text() throws {
        let code = try #require(Recipe.sourceCode)
        #expect(code.file == "PerdureTests/SourceTests.swift")
        #expect(code.firstLine == lineBeforeRecipe + 2)
        #expect(code.line == lineBeforeRecipe + 3)
        #expect(
            code.text.hasPrefix(
                "/// Cooks, \"slowly\" \\ carefully.\n@Workflow(name: \"Recipe\")\nprivate struct Recipe {"))
        #expect(code.text.hasSuffix("func plain() -> Int { 1 }\n}"))
        // What it says is what stands in the file.
        let file = try String(contentsOf: URL(filePath: #filePath), encoding: .utf8)
        let lines = file.split(separator: "\n", omittingEmptySubsequences: false)
        let own = code.text.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(Array(lines[(code.firstLine - 1)..<(code.firstLine - 1 + own.count)]) == own)

        let boil = try #require(Kitchen.Activities.Boil.sourceCode)
        let burn = try #require(Kitchen.Activities.Burn.sourceCode)
        #expect(boil.text == burn.text && boil.text.hasPrefix("@ActivityContainer"))
        #expect(lines[boil.line - 1].contains("@Activity") && lines[boil.line].contains("func boil"))
        #expect(lines[burn.line - 1].contains("func burn"))
    }

    @Test("A run tells what it can be asked and sent, with descriptions, and where it waits")
    func metadata() throws {
        let run = try DrivenRun(Recipe.self, input: "peas")
        try run.task()
        let metadata = try run.query("__temporal_workflow_metadata", as: JSON.self)
        let definition = try #require(metadata["definition"])
        #expect(definition["type"] == "Recipe")
        func handlers(_ list: String) -> [String] {
            (definition[list]?.arrayValue ?? []).map {
                "\($0["name"]?.stringValue ?? ""): \($0["description"]?.stringValue ?? "")"
            }
        }
        #expect(
            handlers("queryDefinitions") == [
                "Plain: ", "Seasoned: Whether there is salt in it.",
                "__stack_trace: What the workflow's code waits for, and at which lines.",
                "__temporal_workflow_metadata: What the workflow can be sent and asked, with descriptions.",
            ])
        #expect(handlers("signalDefinitions") == ["Season: Adds salt.\nOnce is enough."])
        #expect(definition["updateDefinitions"] == [])

        let start = lineBeforeRecipe + 8
        let waits = try run.query("__stack_trace", as: String.self).split(separator: "\n").sorted()
        #expect(
            waits == [
                "PerdureTests/SourceTests.swift:\(start): waits for activity Boil, id 1",
                "PerdureTests/SourceTests.swift:\(start + 2): waits for a condition",
            ])
        try run.signal("Season", 1)
        try run.task()
        #expect(
            try run.query("__stack_trace", as: String.self)
                == "PerdureTests/SourceTests.swift:\(start): waits for activity Boil, id 1")
        try run.complete("1", "boiled peas")
        try run.task()
        #expect(try run.query("__stack_trace", as: String.self) == "The workflow's code has ended.")
        #expect(try run.query("Plain", as: Int.self) == 1)
    }

    @Test("A worker registers its code under its build, unless it is told not to, and tells how much it gets done")
    func registration() async throws {
        try await TestDatabase.with { database in
            let client = PerdureClient(pool: database.pool)
            var finished = 0
            func work(_ build: String, _ adjust: (inout WorkerOptions) -> Void, _ id: String) async throws {
                finished += 1
                var options = WorkerOptions(taskQueue: "kitchen", buildID: build)
                // Renewed at a third of it.
                options.lease = .seconds(1.5)
                adjust(&options)
                let worker = Worker(
                    pool: database.pool, options: options, workflows: [Recipe.self], activityContainers: [Kitchen()],
                    logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
                let running = Task { try await worker.run() }
                let handle = try await client.startWorkflow(
                    type: Recipe.self, options: .init(id: id, taskQueue: "kitchen"), input: "peas")
                try await handle.signal(signalType: Recipe.Season.self, input: 1)
                #expect(try await handle.result() == "boiled peas")
                try await eventually("the worker tells what it finished") {
                    try await count(
                        """
                        select coalesce(sum(finished), 0)::bigint from perdure.task_queue_throughput
                            where task_queue = 'kitchen' and kind = 'activity'
                        """
                    ) >= finished
                }
                running.cancel()
                try await running.value
            }
            func count(_ query: PostgresQuery) async throws -> Int {
                try await database.pool.query(query)[0].decode(Int.self, at: 0)
            }
            try await work("build-1", { _ in }, "one")
            #expect(try await count("select count(*) from perdure.source_code where build_id = 'build-1'") == 3)
            #expect(try await count("select count(distinct content_hash) from perdure.source_code") == 2)
            #expect(
                try await count(
                    """
                    select count(*) from perdure.source_code where kind = 'workflow' and type_name = 'Recipe'
                        and file = 'PerdureTests/SourceTests.swift' and content like '%async let boiled%'
                    """
                ) == 1)
            let large = String(repeating: "x", count: 1 << 20)
            let files = [
                "Kitchen/Pots.swift": "let pots = 3\n", "Kitchen/A.swift": large, "Kitchen/B.swift": large + "x",
            ]
            try await work("build-f", { $0.sourceFiles = files }, "files")
            #expect(
                try await count(
                    """
                    select count(*) from perdure.source_code
                    where build_id = 'build-f' and kind = 'file' and type_name = file
                    """
                ) == 2)
            try await work("build-2", { $0.registersSourceCode = false }, "two")
            #expect(try await count("select count(*) from perdure.source_code where build_id = 'build-2'") == 0)
        }
    }
}
