import SwiftParser
import SwiftSyntax
import SwiftSyntaxMacroExpansion
import SwiftSyntaxMacros
import Testing

@testable import PerdureMacros

@Suite("Macros")
struct MacroTests {
    private func expand(_ source: String) -> (text: String, messages: [String]) {
        let macros: [String: any Macro.Type] = [
            "Workflow": WorkflowMacro.self, "WorkflowSignal": WorkflowSignalMacro.self,
            "WorkflowQuery": WorkflowQueryMacro.self, "WorkflowState": WorkflowStateMacro.self,
            "ActivityContainer": ActivityContainerMacro.self, "Activity": ActivityMacro.self,
        ]
        let file = Parser.parse(source: source)
        let context = BasicMacroExpansionContext(
            sourceFiles: [file: .init(moduleName: "Test", fullFilePath: "Test.swift")])
        let expanded = file.expand(macros: macros) {
            BasicMacroExpansionContext(sharingWith: context, lexicalContext: $0.allMacroLexicalContexts())
        }
        return (expanded.description, context.diagnostics.map(\.message))
    }

    /// The text without its layout.
    private func words(_ text: String) -> String {
        text.split(whereSeparator: \.isWhitespace).joined(separator: " ").replacing("{ }", with: "{}")
    }

    private func expectExpansion(
        _ source: String, contains parts: [String], _ location: Testing.SourceLocation = #_sourceLocation
    ) {
        let (text, messages) = expand(source)
        #expect(messages.isEmpty, sourceLocation: location)
        for part in parts {
            #expect(words(text).contains(words(part)), "in \(text)", sourceLocation: location)
        }
    }

    @Test("@Workflow makes the conformance, an init and a home for each stored variable")
    func workflow() {
        expectExpansion(
            """
            @Workflow(name: "order")
            public struct Order {
                var count = 0
                var note: String?
                var limit: Int
                let fixed = 1
                static var shared = 2
                var double: Int { count * 2 }
                public func run(context: WorkflowContext<Self>, input: Int) async throws {}
                @WorkflowSignal public func stop() {}
                @WorkflowQuery public func state() -> Int { count }
            }
            """,
            contains: [
                #"extension Order: WorkflowDefinition { public static var name: String { "order" }"#,
                "public static var signals: [any WorkflowSignalDefinition<Self>] { [Stop()] }",
                "public static var queries: [any WorkflowQueryDefinition<Self>] { [State()] }",
                "public init(input: Int) {}",
                "private var _count = WorkflowVariable(0)",
                "private var _note: WorkflowVariable<String?> = WorkflowVariable(nil)",
                "private var _limit: WorkflowVariable<Int>",
                "nonmutating set { _count.value = newValue }",
                #"public static var sourceCode: SourceCode? { SourceCode(file: "Test/Test.swift", firstLine: 1, line: 1, text: "@Workflow(name: \"order\")\npublic struct Order {\n    var count = 0\n"#,
                "let fixed = 1",
                "static var shared = 2",
                "var double: Int { count * 2 }",
            ])
    }

    @Test("A signal's type calls the method as it is declared")
    func signal() {
        expectExpansion(
            """
            struct Order {
                @WorkflowSignal(name: "add_item", unfinishedPolicy: .abandon)
                func add(context: WorkflowContext<Self>, _ item: String) async throws {}
            }
            """,
            contains: [
                "struct Add: WorkflowSignalDefinition { typealias Workflow = Order",
                #"static var name: String { "add_item" }"#,
                "static var unfinishedPolicy: HandlerUnfinishedPolicy { .abandon }",
                "func run( workflow: inout Order, context: WorkflowContext<Order>, input: String ) async throws {",
                "try await workflow.add(context: context, input)",
            ])
        expectExpansion(
            "extension Order { @WorkflowSignal mutating func stop() {} }",
            contains: [#"static var name: String { "Stop" }"#, "input: Void ) async throws { workflow.stop() }"])
    }

    @Test("A query's type returns what the method returns")
    func query() {
        expectExpansion(
            "struct Order { @WorkflowQuery func price(of item: String) throws -> Int { 1 } }",
            contains: [
                "struct Price: WorkflowQueryDefinition",
                "func run(workflow: Order, input: String) throws -> Int { try workflow.price(of: input) }",
            ])
    }

    @Test("A handler's description is its argument, or what the comment above it says of it")
    func descriptions() {
        expectExpansion(
            #"""
            struct Order {
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
                #"struct Price: WorkflowQueryDefinition { typealias Workflow = Order static var name: String { "Price" } init() {} static var description: String? { "How much it is, in \"cents\".\nTaxes \\ included." }"#,
                #"static var description: String? { "Stops at once." }"#,
                #"static var name: String { "Go" } init() {} func run("#,
                #"static var description: String? { "This" + one }"#,
            ])
    }

    @Test("The text of a declaration is kept with the comment that touches it, and with its place")
    func sourceText() {
        expectExpansion(
            "import Perdure\n\n// Of the file.\n\n/// Sells.\n// Well.\n@Workflow\nstruct Order {\n    func run(context: WorkflowContext<Self>, input: Int) async throws {\n\t\t\"\"\"\n\t\t\u{1}\n\t\t\"\"\"\n    }\n}",
            contains: [
                #"SourceCode(file: "Test/Test.swift", firstLine: 5, line: 7, text: "/// Sells.\n// Well.\n@Workflow\nstruct Order {\n    func run(context: WorkflowContext<Self>, input: Int) async throws {\n\t\t\"\"\"\n\t\t\u{1}\n\t\t\"\"\"\n    }\n}")"#
            ])
        expectExpansion(
            "\n@ActivityContainer struct Mail {\n    /// To one.\n    @Activity func send() {}\n    @Activity func drop() {}\n}",
            contains: [
                #"enum Activities { static let sourceCode = SourceCode(file: "Test/Test.swift", firstLine: 2, line: 2, text: "@ActivityContainer struct Mail {\n    /// To one."#,
                "static var sourceCode: SourceCode? { Activities.sourceCode.beginning(atLine: 4) }",
                "static var sourceCode: SourceCode? { Activities.sourceCode.beginning(atLine: 5) }",
            ])
    }

    @Test("An activity container lists its activities; an actor's are awaited")
    func activities() {
        expectExpansion(
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

    @Test("An activity that takes a connection runs in the transaction that records its completion")
    func transactionalActivities() {
        expectExpansion(
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
                "func run(connection: PostgresConnection, input: Void) async throws -> Void {",
                "try await container.close(connection: connection)",
                "struct Read: ActivityDefinition {",
            ])
    }

    @Test(
        "What cannot work is refused at compile time, with what to do instead",
        arguments: [
            ("@Workflow class Order {}", "@Workflow goes on a struct"),
            ("@Workflow struct Order {}", "a workflow needs mutating func run(context:"),
            (
                "@Workflow struct Order { func run(input: Int) async throws {} }",
                "a workflow needs mutating func run(context:"
            ),
            ("struct Order { @WorkflowState var a = 1, b = 2 }", "can only be applied to a single variable"),
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
            ("@ActivityContainer enum Mail {}", "goes on a struct, a final class or an actor"),
            ("@ActivityContainer struct Mail { @Activity func a(b: Int, c: Int) {} }", "at most one input"),
            ("struct Mail { @Activity var a = 1 }", "@Activity goes on a method"),
            (
                "@ActivityContainer struct Mail { @Activity func a(b: PostgresConnection, c: PostgresConnection) {} }",
                "takes one connection"
            ),
            ("struct Order { @WorkflowSignal func s(a: Int, b: PostgresConnection) {} }", "at most one input"),
        ])
    func diagnostics(source: String, message: String) {
        let messages = expand(source).messages
        #expect(messages.contains { $0.contains(message) }, "\(messages)")
    }
}
