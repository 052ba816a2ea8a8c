import SwiftDiagnostics
import SwiftSyntax
import SwiftSyntaxMacros

/// A method that an attribute makes a signal, a query or an activity.
struct Handler {
    let method: String
    /// The name of the type that stands for it.
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
    let isAsync: Bool
    let isThrowing: Bool
    let access: String
    /// The declaration of what the handler does, from `description:` or the comment above it; empty if there is neither.
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
        let takesContext = all.first?.type.trimmedDescription.hasPrefix("WorkflowContext") ?? false
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
        typeName = method.prefix(1).uppercased() + method.dropFirst()
        wireName = attribute.nameArgument ?? "\"\(typeName)\""
        inputType = parameters.first?.type.trimmedDescription ?? "Void"
        outputType = function.signature.returnClause?.type.trimmedDescription ?? "Void"
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
        description = text.map { "\(access)static var description: String? { \($0) }\n    " } ?? ""
    }

    /// The effects in front of a call.
    var effects: String { (isThrowing ? "try " : "") + (isAsync ? "await " : "") }
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

    var isNamed: String { attributeName.trimmedDescription }
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
