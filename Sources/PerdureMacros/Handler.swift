import SwiftDiagnostics
import SwiftSyntax
import SwiftSyntaxMacros

/// A method that an attribute makes a signal, a query or an activity.
struct Handler {
    let method: String
    /// The name of the type that stands for it, in backquotes where the language needs them.
    let typeName: String
    /// The name by which it is called, as an expression.
    let wireName: String
    let inputType: String
    let outputType: String
    /// `self.method(input: input)` without what comes before.
    let call: String
    let takesContext: Bool
    /// Whether an activity runs inside a transaction.
    let takesConnection: Bool
    let connectionType: String
    let isAsync: Bool
    let isThrowing: Bool
    let access: String
    /// The declaration of what the handler does, from `description:` or the comment above it; empty if there is
    /// neither.
    let description: String

    /// - Returns: nil after a diagnostic, if the signature does not fit.
    init?(
        _ function: FunctionDeclSyntax, attribute: AttributeSyntax, macro: String,
        in context: some MacroExpansionContext
    ) {
        func refuse(_ message: String) {
            context.diagnose(Diagnostic(node: function.name, message: PerdureDiagnostic("\(macro): \(message)")))
        }
        let all = function.signature.parameterClause.parameters
        // As in `run`, a `context` may stand before the input.
        let takesContext =
            all.first.map { ["WorkflowContext", "Perdure.WorkflowContext"].contains($0.type.nameWithoutArguments) }
            ?? false
        self.takesContext = takesContext
        func isConnection(_ parameter: FunctionParameterSyntax) -> Bool {
            macro == "@Activity"
                && ["PostgresConnection", "Postgres.PostgresConnection"].contains(parameter.type.trimmedDescription)
        }
        takesConnection = all.contains(where: isConnection)
        let parameters = all.dropFirst(takesContext ? 1 : 0).filter { !isConnection($0) }
        guard all.count(where: isConnection) <= 1 else {
            refuse("takes one connection, that of its transaction")
            return nil
        }
        guard parameters.count <= 1 else {
            refuse("takes at most one input; put several values into a struct")
            return nil
        }
        guard parameters.first.map({ $0.ellipsis == nil && !$0.isInout }) ?? true else {
            refuse("its input cannot be inout or variadic")
            return nil
        }
        guard !function.modifiers.contains(where: { ["static", "class"].contains($0.name.text) }) else {
            refuse("cannot be static")
            return nil
        }
        guard function.genericParameterClause == nil else {
            refuse("cannot be generic: histories hold concrete types")
            return nil
        }
        method = function.name.text
        let name = function.typeName
        // What stands here names the modules.
        guard !["Self", "Swift", "Perdure"].contains(name), macro != "@Activity" || name != "Activities" else {
            refuse("no type can be named \(name) here: give the method another name, and this one as name:")
            return nil
        }
        let isActivity = macro == "@Activity"
        let types = all.map(\.type) + [function.signature.returnClause?.type].compactMap(\.self)
        if !isActivity, types.contains(where: { $0.names.contains(name) }) {
            refuse(
                "the type \(name) that stands for it hides the type \(name) that it names: rename the method, or write "
                    + "the type with its module, as MyModule.\(name)")
            return nil
        }
        if !isActivity, context.enclosingType?.split(separator: ".").last.map(String.init) == name {
            refuse("the type \(name) that stands for it hides its workflow \(name): give the method another name")
            return nil
        }
        typeName = name.asTypeName
        wireName = attribute.nameArgument ?? "\"\(name)\""
        inputType = parameters.first?.type.trimmedDescription ?? "Swift.Void"
        outputType = function.signature.returnClause?.type.trimmedDescription ?? "Swift.Void"
        connectionType = all.first(where: isConnection)?.type.trimmedDescription ?? ""
        isAsync = function.signature.effectSpecifiers?.asyncSpecifier != nil
        isThrowing = function.signature.effectSpecifiers?.throwsClause != nil
        func argument(_ parameter: FunctionParameterSyntax, _ value: String) -> String {
            parameter.firstName.text == "_" ? value : "\(parameter.firstName.text): \(value)"
        }
        let arguments = all.enumerated().map { place, parameter in
            argument(
                parameter, takesContext && place == 0 ? "context" : isConnection(parameter) ? "connection" : "input")
        }
        call = "\(method)(\(arguments.joined(separator: ", ")))"
        let access =
            function.modifiers.contains { ["public", "package", "open"].contains($0.name.text) } ? "public " : ""
        self.access = access
        let text =
            attribute.argument("description").flatMap { $0.is(NilLiteralExprSyntax.self) ? nil : $0.trimmedDescription }
            ?? function.leadingTrivia.documentation?.swiftLiteral
        description = text.map { "\(access)static var description: Swift.String? { \($0) }\n    " } ?? ""
    }

    /// The effects in front of a call.
    var effects: String { (isThrowing ? "try " : "") + (isAsync ? "await " : "") }
}

extension FunctionDeclSyntax {
    /// The name of the type that stands for the method: its own, capitalised.
    var typeName: String {
        let name = name.text.filter { $0 != "`" }
        return name.prefix(1).uppercased() + name.dropFirst()
    }
}

extension String {
    /// As the language takes it for the name of a type that is a member.
    var asTypeName: String { ["Any", "Type", "Protocol"].contains(self) ? "`\(self)`" : self }
}

extension TypeSyntax {
    var nameWithoutArguments: String { String(trimmedDescription.prefix { $0 != "<" }) }

    /// The names that are looked up where the type is written: not those behind a point.
    var names: Set<String> {
        var names: Set<String> = []
        for token in tokens(viewMode: .sourceAccurate) {
            guard case .identifier(let name) = token.tokenKind,
                token.previousToken(viewMode: .sourceAccurate)?.tokenKind != .period
            else { continue }
            names.insert(name)
        }
        return names
    }
}

extension FunctionParameterSyntax {
    fileprivate var isInout: Bool {
        type.as(AttributedTypeSyntax.self)?.specifiers.contains { $0.trimmedDescription == "inout" } ?? false
    }
}

extension AttributeSyntax {
    /// The expression of `name:`, unless it is nil.
    var nameArgument: String? {
        guard let expression = argument("name"), !expression.is(NilLiteralExprSyntax.self) else { return nil }
        return expression.trimmedDescription
    }

    func argument(_ label: String) -> ExprSyntax? {
        guard case .argumentList(let arguments) = arguments else { return nil }
        return arguments.first { $0.label?.text == label }?.expression
    }

    /// Its name without the module.
    var isNamed: String {
        let name = attributeName.trimmedDescription
        return name.hasPrefix("Perdure.") ? String(name.dropFirst("Perdure.".count)) : name
    }
}

extension DeclGroupSyntax {
    /// The methods that carry an attribute.
    func methods(with attributeName: String) -> [(FunctionDeclSyntax, AttributeSyntax)] {
        memberBlock.members.compactMap { member in
            guard let function = member.decl.as(FunctionDeclSyntax.self),
                let attribute = function.attributes.lazy.compactMap({ $0.as(AttributeSyntax.self) })
                    .first(where: { $0.isNamed == attributeName })
            else { return nil }
            return (function, attribute)
        }
    }

    var accessPrefix: String {
        modifiers.contains { ["public", "package", "open"].contains($0.name.text) } ? "public " : ""
    }
}

/// An error that points at the author's code.
struct PerdureDiagnostic: DiagnosticMessage {
    let message: String
    var severity: DiagnosticSeverity { .error }
    var diagnosticID: MessageID { MessageID(domain: "PerdureMacros", id: message) }
    init(_ message: String) { self.message = message }
}
