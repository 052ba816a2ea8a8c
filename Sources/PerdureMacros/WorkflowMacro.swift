import SwiftDiagnostics
import SwiftSyntax
import SwiftSyntaxBuilder
import SwiftSyntaxMacros

/// `@Workflow`: the conformance, an `init(input:)` if there is none, and `@WorkflowState` on stored variables.
struct WorkflowMacro: ExtensionMacro, MemberMacro, MemberAttributeMacro {
    static func expansion(
        of node: AttributeSyntax, attachedTo declaration: some DeclGroupSyntax,
        providingExtensionsOf type: some TypeSyntaxProtocol, conformingTo protocols: [TypeSyntax],
        in context: some MacroExpansionContext
    ) throws -> [ExtensionDeclSyntax] {
        guard declaration.is(StructDeclSyntax.self) else { return [] }
        let access = declaration.accessPrefix
        var members: [String] = []
        if let name = node.nameArgument { members.append("\(access)static var name: Swift.String { \(name) }") }
        if let source = SourceText(declaration, in: context) {
            members.append("\(access)static var sourceCode: Perdure.SourceCode? { \(source.expression) }")
        }
        for (attribute, property, kind) in [
            ("WorkflowSignal", "signals", "Perdure.WorkflowSignalDefinition"),
            ("WorkflowQuery", "queries", "Perdure.WorkflowQueryDefinition"),
            ("WorkflowUpdate", "updates", "Perdure.WorkflowUpdateDefinition"),
        ] {
            let types = declaration.methods(with: attribute).map { function, _ in
                function.typeName.asTypeName
            }
            guard !types.isEmpty else { continue }
            let list = types.map { "\($0)()" }.joined(separator: ", ")
            members.append("\(access)static var \(property): [any \(kind)<Self>] { [\(list)] }")
        }
        return [
            try ExtensionDeclSyntax(
                "extension \(type.trimmed): Perdure.WorkflowDefinition { \(raw: members.joined(separator: "\n")) }")
        ]
    }

    static func expansion(
        of node: AttributeSyntax, providingMembersOf declaration: some DeclGroupSyntax,
        conformingTo protocols: [TypeSyntax], in context: some MacroExpansionContext
    ) throws -> [DeclSyntax] {
        guard declaration.is(StructDeclSyntax.self) else {
            context.diagnose(Diagnostic(node: node, message: PerdureDiagnostic("@Workflow goes on a struct")))
            return []
        }
        let functions = declaration.memberBlock.members.compactMap { $0.decl.as(FunctionDeclSyntax.self) }
        guard let run = functions.first(where: { $0.name.text == "run" }),
            run.signature.parameterClause.parameters.count == 2,
            let input = run.signature.parameterClause.parameters.last?.type.trimmedDescription
        else {
            context.diagnose(
                Diagnostic(
                    node: node,
                    message: PerdureDiagnostic(
                        "a workflow needs mutating func run(context: WorkflowContext<Self>, input: Input) "
                            + "async throws -> Output"
                    )))
            return []
        }
        let hasInit = declaration.memberBlock.members.contains { $0.decl.is(InitializerDeclSyntax.self) }
        return hasInit ? [] : ["\(raw: declaration.accessPrefix)init(input: \(raw: input)) {}"]
    }

    static func expansion(
        of node: AttributeSyntax, attachedTo declaration: some DeclGroupSyntax,
        providingAttributesFor member: some DeclSyntaxProtocol, in context: some MacroExpansionContext
    ) throws -> [AttributeSyntax] {
        guard let variable = member.as(VariableDeclSyntax.self), variable.isStoredVariable else { return [] }
        return ["@WorkflowState"]
    }
}

extension VariableDeclSyntax {
    fileprivate var isStoredVariable: Bool {
        bindingSpecifier.text == "var" && !modifiers.contains { $0.name.text == "static" }
            && !bindings.allSatisfy { $0.isComputed }
    }
}

extension PatternBindingSyntax {
    fileprivate var isComputed: Bool {
        switch accessorBlock?.accessors {
        case .getter: true
        case .accessors(let accessors):
            !accessors.contains { ["willSet", "didSet"].contains($0.accessorSpecifier.text) }
        case nil: false
        }
    }
}

/// `@WorkflowState`: a stored variable becomes a view of a box that every copy of the workflow shares.
struct WorkflowStateMacro: AccessorMacro, PeerMacro {
    static func expansion(
        of node: AttributeSyntax, providingAccessorsOf declaration: some DeclSyntaxProtocol,
        in context: some MacroExpansionContext
    ) throws -> [AccessorDeclSyntax] {
        guard let variable = StateVariable(declaration) else { return [] }
        return [
            """
            @storageRestrictions(initializes: _\(raw: variable.name))
            init(initialValue) { _\(raw: variable.name) = Perdure.WorkflowVariable(initialValue) }
            """,
            "get { _\(raw: variable.name).value }",
            "nonmutating set { _\(raw: variable.name).value = newValue }",
        ]
    }

    static func expansion(
        of node: AttributeSyntax, providingPeersOf declaration: some DeclSyntaxProtocol,
        in context: some MacroExpansionContext
    ) throws -> [DeclSyntax] {
        guard let variable = StateVariable(declaration) else {
            context.diagnose(
                Diagnostic(
                    node: declaration,
                    message: PerdureDiagnostic(
                        "a workflow's stored variables are declared one a line, by a name, without lazy or observers: "
                            + "signal handlers and run share them")))
            return []
        }
        if let type = variable.type {
            let initializer = variable.value.map { " = Perdure.WorkflowVariable(\($0))" } ?? ""
            return ["private var _\(raw: variable.name): Perdure.WorkflowVariable<\(raw: type)>\(raw: initializer)"]
        }
        guard let value = variable.value else { return [] }
        return ["private var _\(raw: variable.name) = Perdure.WorkflowVariable(\(raw: value))"]
    }
}

/// A variable that `@WorkflowState` can give a home.
private struct StateVariable {
    let name: String
    let type: String?
    /// What it begins with; nil for an optional that is not told.
    let value: String?

    init?(_ declaration: some DeclSyntaxProtocol) {
        guard let variable = declaration.as(VariableDeclSyntax.self), variable.bindings.count == 1,
            let binding = variable.bindings.first, binding.accessorBlock == nil,
            !variable.modifiers.contains(where: { $0.name.text == "lazy" }),
            let name = binding.pattern.as(IdentifierPatternSyntax.self)?.identifier.text
        else { return nil }
        self.name = name
        let annotation = binding.typeAnnotation?.type
        type = annotation?.trimmedDescription
        let isOptional = annotation.map { $0.is(OptionalTypeSyntax.self) } ?? false
        value = binding.initializer?.value.trimmedDescription ?? (isOptional ? "nil" : nil)
    }
}

/// `@WorkflowSignal`: a type that stands for the signal.
struct WorkflowSignalMacro: PeerMacro {
    static func expansion(
        of node: AttributeSyntax, providingPeersOf declaration: some DeclSyntaxProtocol,
        in context: some MacroExpansionContext
    ) throws -> [DeclSyntax] {
        guard let function = declaration.as(FunctionDeclSyntax.self),
            let handler = Handler(function, attribute: node, macro: "@WorkflowSignal", in: context),
            let workflow = context.enclosingType
        else { return [] }
        guard handler.outputType.isVoid else {
            context.diagnose(
                Diagnostic(
                    node: function.name,
                    message: PerdureDiagnostic("@WorkflowSignal: a signal has no answer; use a query")))
            return []
        }
        let policy =
            node.argument("unfinishedPolicy").map {
                "\(handler.access)static var unfinishedPolicy: Perdure.HandlerUnfinishedPolicy { "
                    + "\($0.trimmedDescription) }\n    "
            } ?? ""
        return [
            """
            \(raw: handler.access)struct \(raw: handler.typeName): Perdure.WorkflowSignalDefinition {
                \(raw: handler.access)typealias Workflow = \(raw: workflow)
                \(raw: handler.access)static var name: Swift.String { \(raw: handler.wireName) }
                \(raw: handler.access)init() {}
                \(raw: handler.description)\(raw: policy)\(raw: handler.access)func run(
                    workflow: inout \(raw: workflow), context: Perdure.WorkflowContext<\(raw: workflow)>, \
            input: \(raw: handler.inputType)
                ) async throws {
                    \(raw: handler.effects)workflow.\(raw: handler.call)
                }
            }
            """
        ]
    }
}

/// `@WorkflowQuery`: a type that stands for the query.
struct WorkflowQueryMacro: PeerMacro {
    static func expansion(
        of node: AttributeSyntax, providingPeersOf declaration: some DeclSyntaxProtocol,
        in context: some MacroExpansionContext
    ) throws -> [DeclSyntax] {
        guard let function = declaration.as(FunctionDeclSyntax.self),
            let handler = Handler(function, attribute: node, macro: "@WorkflowQuery", in: context),
            let workflow = context.enclosingType
        else { return [] }
        guard !handler.isAsync, !handler.takesContext, !handler.outputType.isVoid,
            !function.modifiers.contains(where: { $0.name.text == "mutating" })
        else {
            context.diagnose(
                Diagnostic(
                    node: function.name,
                    message: PerdureDiagnostic(
                        "@WorkflowQuery: a query returns a value, at once, without a context, and changes nothing"))
            )
            return []
        }
        return [
            """
            \(raw: handler.access)struct \(raw: handler.typeName): Perdure.WorkflowQueryDefinition {
                \(raw: handler.access)typealias Workflow = \(raw: workflow)
                \(raw: handler.access)static var name: Swift.String { \(raw: handler.wireName) }
                \(raw: handler.access)init() {}
                \(raw: handler.description)\(raw: handler.access)func run(\
            workflow: \(raw: workflow), input: \(raw: handler.inputType)) throws -> \(raw: handler.outputType) {
                    \(raw: handler.effects)workflow.\(raw: handler.call)
                }
            }
            """
        ]
    }
}

extension MacroExpansionContext {
    /// The type that a member macro stands in.
    var enclosingType: String? {
        for node in lexicalContext {
            if let type = node.as(StructDeclSyntax.self) { return type.name.text }
            if let type = node.as(ExtensionDeclSyntax.self) { return type.extendedType.trimmedDescription }
        }
        return nil
    }
}

extension String {
    var isVoid: Bool { self == "Swift.Void" || self == "Void" || self == "()" }
}
