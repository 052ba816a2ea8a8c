import Foundation
import TestSupport
import Testing

/// The macros as the compiler calls them: each source here is compiled with the plugin that was built. Not by
/// SwiftSyntax in this process: tests that depend on a macro are built for the host, and with them everything a second
/// time.
@Suite("Macros")
struct MacroTests {
    private struct Compiled {
        /// What the macros made of it, each expansion after a line with its name.
        let expansions: String
        /// `file:line:column: error: message`, and warnings.
        let problems: [Substring]
    }

    /// - Parameter sources: their texts by the names of their files.
    private func compile(_ sources: [String: String]) async throws -> Compiled {
        let folder = FileManager.default.temporaryDirectory.appending(path: "perdure-macros-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        for (name, text) in sources {
            try Data("import Perdure; import Postgres; \(text)\n".utf8).write(to: folder.appending(path: name))
        }
        let plugin = try builtProgram("PerdureMacros-tool")
        let libpq = try await run("pkg-config", ["--cflags", "libpq"]).split(whereSeparator: \.isWhitespace).map(
            String.init)
        let ended = try await outcome(
            of: "swiftc",
            [
                "-typecheck", "-wmo", "-swift-version", "6", "-module-name", "Test", "-package-name", "test",
                "-diagnostic-style", "llvm",
                "-I", plugin.deletingLastPathComponent().appending(path: "Modules").path,
                "-Xcc", "-fmodule-map-file=\(checkout.appending(path: "Sources/CLibPQ/module.modulemap").path)",
                "-Xfrontend", "-load-plugin-executable", "-Xfrontend", "\(plugin.path)#PerdureMacros",
                "-Xfrontend", "-dump-macro-expansions",
            ] + libpq.flatMap { ["-Xcc", $0] } + sources.keys.sorted(), in: folder)
        return Compiled(
            expansions: ended.errors,
            problems: ended.errors.split(separator: "\n").filter { $0.contains(#/: (?:error|warning): /#) })
    }

    /// The text without its layout.
    private func words(_ text: String) -> String {
        text.split(whereSeparator: \.isWhitespace).joined(separator: " ").replacing("{ }", with: "{}")
            // That names are qualified is shown by code that has others of the same name.
            .replacing(#/\b(?:Perdure|Swift)\./#, with: "")
    }

    /// Expects that it compiles, and that the macros wrote the parts.
    private func expectExpansion(
        _ source: String, contains parts: [String], _ location: Testing.SourceLocation = #_sourceLocation
    ) async throws {
        let compiled = try await compile(["Test.swift": source])
        #expect(compiled.problems == [], sourceLocation: location)
        for part in parts {
            #expect(
                words(compiled.expansions).contains(words(part)), "in \(compiled.expansions)", sourceLocation: location)
        }
    }

    @Test("@Workflow makes the conformance, an init and a home for each stored variable")
    func workflow() async throws {
        let source = """
            @Workflow(name: "order")
            public struct Order {
                var count = 0
                var note: String?
                let fixed = 1
                static let shared = 2
                var double: Int { count * 2 }
                public func run(context: WorkflowContext<Self>, input: Int) async throws {}
                @WorkflowSignal public func stop() {}
                @WorkflowQuery public func state() -> Int { count }
            }
            """
        try await expectExpansion(
            source,
            contains: [
                #"extension Order: WorkflowDefinition { public static var name: String { "order" }"#,
                "public static var signals: [any WorkflowSignalDefinition<Self>] { [Stop()] }",
                "public static var queries: [any WorkflowQueryDefinition<Self>] { [State()] }",
                "public init(input: Int) {}",
                "private var _count = WorkflowVariable(0)",
                "private var _note: WorkflowVariable<String?> = WorkflowVariable(nil)",
                "nonmutating set { _count.value = newValue }",
                #"SourceCode(file: "Test/Test.swift", firstLine: 1, line: 1, text: "#
                    + #""@Workflow(name: \"order\")\npublic struct Order {\n    var count = 0\n"#,
            ])
        let expansions = try await compile(["Test.swift": source]).expansions
        for name in ["fixed", "shared", "double"] { #expect(!expansions.contains("_\(name)")) }
    }

    @Test("A variable without a value is the init's to set")
    func variableWithoutValue() async throws {
        try await expectExpansion(
            """
            @Workflow struct Order {
                var limit: Int
                init(input: Int) { limit = input }
                func run(context: WorkflowContext<Self>, input: Int) async throws {}
            }
            """,
            contains: [
                "private var _limit: WorkflowVariable<Int>",
                "init(initialValue) { _limit = WorkflowVariable(initialValue) }",
            ])
    }

    @Test("A signal's type calls the method as it is declared")
    func signal() async throws {
        try await expectExpansion(
            """
            @Workflow struct Order {
                func run(context: WorkflowContext<Self>, input: Int) async throws {}
                @WorkflowSignal(name: "add_item", unfinishedPolicy: .abandon)
                func add(context: WorkflowContext<Self>, _ item: String) async throws {}
                @WorkflowSignal mutating func stop() {}
            }
            """,
            contains: [
                "struct Add: WorkflowSignalDefinition { typealias Workflow = Order",
                #"static var name: String { "add_item" }"#,
                "static var unfinishedPolicy: HandlerUnfinishedPolicy { .abandon }",
                "func run( workflow: inout Order, context: WorkflowContext<Order>, input: String ) async throws {",
                "try await workflow.add(context: context, input)",
                #"static var name: String { "Stop" }"#, "input: Void ) async throws { workflow.stop() }",
            ])
    }

    @Test("A query's type returns what the method returns")
    func query() async throws {
        try await expectExpansion(
            """
            @Workflow struct Order {
                func run(context: WorkflowContext<Self>, input: Int) async throws {}
                @WorkflowQuery func price(of item: String) throws -> Int { 1 }
            }
            """,
            contains: [
                "struct Price: WorkflowQueryDefinition",
                "func run(workflow: Order, input: String) throws -> Int { try workflow.price(of: input) }",
            ])
    }

    @Test("A handler's description is its argument, or what the comment above it says of it")
    func descriptions() async throws {
        try await expectExpansion(
            #"""
            let one = " one"
            @Workflow struct Order {
                func run(context: WorkflowContext<Self>, input: Int) async throws {}
                /// How much it is,
                /// in "cents".
                ///
                /// Taxes \ included.
                /// - Parameter item: what is meant
                @WorkflowQuery func price(of item: String) -> Int { 1 }
                /** Stops
                 * at once. */
                @WorkflowSignal func stop() {}
                // For us alone.
                @WorkflowSignal func go() {}
                /// Not this.
                @WorkflowQuery(description: "This" + one) func which() -> Int { 1 }
            }
            """#,
            contains: [
                #"struct Price: WorkflowQueryDefinition { typealias Workflow = Order "#
                    + #"static var name: String { "Price" } init() {} "#
                    + #"static var description: String? { "How much it is, in \"cents\".\nTaxes \\ included." }"#,
                #"static var description: String? { "Stops at once." }"#,
                #"static var name: String { "Go" } init() {} func run("#,
                #"static var description: String? { "This" + one }"#,
            ])
    }

    @Test("The text of a declaration is kept with the comment that touches it, and with its place")
    func sourceText() async throws {
        try await expectExpansion(
            "\n\n// Of the file.\n\n/// Sells.\n// Well.\n@Workflow\nstruct Order {\n    // \u{1}\n    "
                + "func run(context: WorkflowContext<Self>, input: Int) async throws {\n"
                + "\t\t_ = \"\"\"\n\t\tText\n\t\t\"\"\"\n    }\n}",
            contains: [
                #"SourceCode(file: "Test/Test.swift", firstLine: 5, line: 7, "#
                    + #"text: "/// Sells.\n// Well.\n@Workflow\nstruct Order {\n    // \u{1}\n    "#
                    + #"func run(context: WorkflowContext<Self>, input: Int) async throws {\n"#
                    + #"\t\t_ = \"\"\"\n\t\tText\n\t\t\"\"\"\n    }\n}")"#
            ])
        try await expectExpansion(
            "\n@ActivityContainer struct Mail {\n    /// To one.\n    "
                + "@Activity func send() {}\n    @Activity func drop() {}\n}",
            contains: [
                #"enum Activities { static let sourceCode = "#
                    + #"SourceCode(file: "Test/Test.swift", firstLine: 2, line: 2, "#
                    + #"text: "@ActivityContainer struct Mail {\n    /// To one."#,
                "static var sourceCode: SourceCode? { Activities.sourceCode.beginning(atLine: 4) }",
                "static var sourceCode: SourceCode? { Activities.sourceCode.beginning(atLine: 5) }",
            ])
    }

    @Test("An activity container lists its activities; an actor's are awaited")
    func activities() async throws {
        try await expectExpansion(
            """
            @ActivityContainer
            package actor Mail {
                @Activity func send(to name: String) throws -> Int { 1 }
                @Activity(name: "drop_it") func drop() async {}
                func other() {}
            }
            """,
            contains: [
                "public enum Activities {", "struct Send: ActivityDefinition {", "let container: Mail",
                "try await container.send(to: input)", #"static var name: String { "drop_it" }"#,
                "await container.drop()",
                "[Activities.Send(container: self), Activities.Drop(container: self)]",
            ])
    }

    @Test("Handlers, activities and workflows may have the names of types that the macros or the author use")
    func namesOfTypes() async throws {
        let compiled = try await compile([
            "Types.swift": "public struct Price: Codable, Sendable {}; struct Data {}; enum Outer {}",
            "Test.swift": """
            struct String {}
            struct Void {}
            struct SourceCode {}
            struct WorkflowVariable {}
            struct ActivityDefinition {}
            struct WorkflowDefinition {}
            struct WorkflowSignalDefinition {}
            @ActivityContainer
            struct Mail {
                @Activity func price(input: Price) throws -> [Price] { [input] }
                @Activity func mail(input: Int) -> Swift.String { "" }
                @Activity func string(input: Price?) {}
                @Activity func data(in connection: PostgresConnection, input: Price) async throws -> Price { input }
                @Perdure.Activity func void() {}
            }
            extension Outer {
                @Workflow
                struct Order {
                    var note = ""
                    func run(context: WorkflowContext<Self>, input: Int) async throws -> Int {
                        _ = try await context.executeActivity(
                            Mail.Activities.Price.self, options: .init(startToCloseTimeout: .seconds(1)), \
            input: Test.Price())
                        return 1
                    }
                    /// Any.
                    @WorkflowSignal func `any`() {}
                    @WorkflowSignal func type(input: Int) {}
                    @WorkflowSignal func purchase(context: WorkflowContext<Self>) async throws {}
                    @WorkflowQuery func string() -> Int { 1 }
                    @WorkflowUpdate(unfinishedPolicy: .abandon) func void(input: Test.Price) -> Int { 1 }
                    @Perdure.WorkflowUpdate func price(input: Test.Price) {}
                }
            }
            """,
        ])
        #expect(compiled.problems == [])
        for part in [
            #"static var name: String { "Any" }"#, "[`Any`(), `Type`(), Purchase()]",
            "typealias _Price_Input = Price", "workflow.`any`()",
        ] {
            #expect(words(compiled.expansions).contains(words(part)), "\(part) in \(compiled.expansions)")
        }
    }

    @Test("An activity that takes a connection runs in the transaction that records its completion")
    func transactionalActivities() async throws {
        try await expectExpansion(
            """
            @ActivityContainer
            struct Books {
                @Activity func book(_ entry: Int, in connection: PostgresConnection) async throws -> Int { 1 }
                @Activity func close(connection: Postgres.PostgresConnection) async throws {}
                @Activity func read(page: Int) -> Int { 1 }
            }
            """,
            contains: [
                "struct Book: TransactionalActivityDefinition {",
                "func run(connection: PostgresConnection, input: Int) async throws -> Int {",
                "try await container.book(input, in: connection)",
                "func run(connection: Postgres.PostgresConnection, input: Void) async throws -> Void {",
                "try await container.close(connection: connection)",
                "struct Read: ActivityDefinition {",
            ])
    }

    @Test("What cannot work is refused at compile time, with what to do instead")
    func diagnostics() async throws {
        let refused = [
            ("@Workflow class Order {}", "@Workflow goes on a struct"),
            ("@Workflow struct Order {}", "a workflow needs mutating func run(context:"),
            (
                "@Workflow struct Order { func run(input: Int) async throws {} }",
                "a workflow needs mutating func run(context:"
            ),
            ("struct Order { @WorkflowState var a = 1, b = 2 }", "can only apply to a single variable"),
            ("struct Order { @WorkflowState lazy var a = 1 }", "without lazy or observers"),
            ("struct Order { @WorkflowState var a = 1 { didSet {} } }", "without lazy or observers"),
            ("struct Order { @WorkflowState var (a, b) = (1, 2) }", "by a name"),
            ("struct Order { @WorkflowSignal func s(a: Int, b: Int) {} }", "put several values into a struct"),
            ("struct Order { @WorkflowSignal func s<T>(a: T) {} }", "cannot be generic"),
            ("struct Order { @WorkflowSignal func s(a: inout Int) {} }", "cannot be inout or variadic"),
            ("struct Order { @WorkflowSignal func s(a: Int...) {} }", "cannot be inout or variadic"),
            ("struct Order { @WorkflowSignal static func s() {} }", "cannot be static"),
            ("struct Order { @WorkflowSignal func s() -> Int { 1 } }", "a signal has no answer; use a query"),
            ("struct Order { @WorkflowQuery func q() {} }", "a query returns a value"),
            ("struct Order { @WorkflowQuery func q() async -> Int { 1 } }", "at once"),
            ("struct Order { @WorkflowQuery mutating func q() -> Int { 1 } }", "changes nothing"),
            (
                "struct Order { @WorkflowQuery func q(context: WorkflowContext<Self>) -> Int { 1 } }",
                "without a context"
            ),
            ("@ActivityContainer enum Mail { @Activity func a() {} }", "goes on a struct, a final class or an actor"),
            ("@ActivityContainer struct Mail { @Activity func a(b: Int, c: Int) {} }", "at most one input"),
            ("struct Mail { @Activity var a = 1 }", "@Activity goes on a method"),
            (
                "@ActivityContainer struct Mail { @Activity func a(b: PostgresConnection, c: PostgresConnection) {} }",
                "takes one connection"
            ),
            ("struct Order { @WorkflowSignal func s(a: Int, b: PostgresConnection) {} }", "at most one input"),
            ("struct Order { @WorkflowSignal func price(a: Price) {} }", "as MyModule.Price"),
            ("struct Order { @WorkflowQuery func price() -> [Price] { [] } }", "hides the type Price"),
            ("@ActivityContainer struct Mail { @Activity func activities() {} }", "no type can be named Activities"),
            ("struct Order { @WorkflowSignal func order() {} }", "hides its workflow Order"),
            ("struct Order { @WorkflowSignal func `self`() {} }", "no type can be named Self"),
            ("@ActivityContainer struct Mail { @Activity func swift() {} }", "no type can be named Swift"),
        ]
        let files = refused.indices.map { "Case\($0).swift" }
        let sources = zip(files, refused).enumerated().map { ($1.0, "enum Case\($0) { \($1.1.0) }") }
        let problems = try await compile(Dictionary(uniqueKeysWithValues: sources)).problems
        for (file, (source, message)) in zip(files, refused) {
            let said = problems.filter { $0.contains("\(file):") && $0.contains(" error: ") }
            #expect(said.contains { $0.contains(message) }, "\(source): \(said)")
        }
    }
}
