import SwiftDiagnostics
import SwiftSyntax
import SwiftSyntaxMacros

/// `@WorkflowUpdate`: a type that stands for the update.
struct WorkflowUpdateMacro: PeerMacro {
    static func expansion(
        of node: AttributeSyntax, providingPeersOf declaration: some DeclSyntaxProtocol,
        in context: some MacroExpansionContext
    ) throws -> [DeclSyntax] {
        guard let function = declaration.as(FunctionDeclSyntax.self),
            let handler = Handler(function, attribute: node, macro: "@WorkflowUpdate", in: context),
            let workflow = context.enclosingType
        else { return [] }
        var members = handler.description
        if let policy = node.argument("unfinishedPolicy") {
            members +=
                "\(handler.access)static var unfinishedPolicy: Perdure.HandlerUnfinishedPolicy { "
                + "\(policy.trimmedDescription) }\n    "
        }
        if let validator = node.argument("validator"), !validator.is(NilLiteralExprSyntax.self) {
            guard let name = validator.as(StringLiteralExprSyntax.self)?.representedLiteralValue, !name.isEmpty else {
                context.diagnose(
                    Diagnostic(
                        node: validator,
                        message: PerdureDiagnostic("@WorkflowUpdate: validator is the name of a method, as a literal")))
                return []
            }
            let argument = handler.inputType.isVoid ? "" : "input: input"
            members += """
                \(handler.access)func validateInput(workflow: \(workflow), _ input: \(handler.inputType)) throws {
                        try workflow.\(name)(\(argument))
                    }
                    
                """
        }
        return [
            """
            \(raw: handler.access)struct \(raw: handler.typeName): Perdure.WorkflowUpdateDefinition {
                \(raw: handler.access)typealias Workflow = \(raw: workflow)
                \(raw: handler.access)static var name: Swift.String { \(raw: handler.wireName) }
                \(raw: handler.access)init() {}
                \(raw: members)\(raw: handler.access)func run(
                    workflow: inout \(raw: workflow), context: Perdure.WorkflowContext<\(raw: workflow)>, \
            input: \(raw: handler.inputType)
                ) async throws -> \(raw: handler.outputType) {
                    \(raw: handler.effects)workflow.\(raw: handler.call)
                }
            }
            """
        ]
    }
}
