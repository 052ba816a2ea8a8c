import SwiftDiagnostics
import SwiftSyntax
import SwiftSyntaxBuilder
import SwiftSyntaxMacros

/// `@ActivityContainer`: `Activities`, with a type for every method marked `@Activity`, and the list of them all.
struct ActivityContainerMacro: ExtensionMacro, MemberMacro {
    static func expansion(
        of node: AttributeSyntax, attachedTo declaration: some DeclGroupSyntax,
        providingExtensionsOf type: some TypeSyntaxProtocol, conformingTo protocols: [TypeSyntax],
        in context: some MacroExpansionContext
    ) throws -> [ExtensionDeclSyntax] {
        let list = declaration.methods(with: "Activity").map { function, _ in
            "Activities.\(function.name.text.prefix(1).uppercased() + function.name.text.dropFirst())(container: self)"
        }.joined(separator: ", ")
        // An actor's list is asked for from outside of it.
        let isolation = declaration.is(ActorDeclSyntax.self) ? "nonisolated " : ""
        return [
            try ExtensionDeclSyntax(
                """
                extension \(type.trimmed): ActivityContainer {
                    \(raw: declaration.accessPrefix)\(raw: isolation)var allActivities: [any ActivityDefinition] { [\(raw: list)] }
                }
                """)
        ]
    }

    static func expansion(
        of node: AttributeSyntax, providingMembersOf declaration: some DeclGroupSyntax,
        conformingTo protocols: [TypeSyntax], in context: some MacroExpansionContext
    ) throws -> [DeclSyntax] {
        let name =
            declaration.as(StructDeclSyntax.self)?.name.text ?? declaration.as(ClassDeclSyntax.self)?.name.text
            ?? declaration.as(ActorDeclSyntax.self)?.name.text
        guard let name else {
            context.diagnose(
                Diagnostic(
                    node: node,
                    message: PerdureDiagnostic("@ActivityContainer goes on a struct, a final class or an actor")))
            return []
        }
        let isActor = declaration.is(ActorDeclSyntax.self)
        let access = declaration.accessPrefix
        let source = SourceText(declaration, in: context)
        let activities = declaration.methods(with: "Activity").compactMap { function, attribute -> String? in
            guard let handler = Handler(function, attribute: attribute, macro: "@Activity", in: context) else {
                return nil
            }
            let effects = isActor && !handler.isAsync ? (handler.isThrowing ? "try await " : "await ") : handler.effects
            // The container's text stands there once; each activity tells where its own begins.
            let line = source.flatMap { _ in
                context.location(of: function, at: .afterLeadingTrivia, filePathMode: .fileID)?.line.trimmedDescription
            }
            let code =
                line.map {
                    "\(access)static var sourceCode: SourceCode? { Activities.sourceCode.beginning(atLine: \($0)) }\n    "
                } ?? ""
            return """
                \(access)struct \(handler.typeName): \(handler.takesConnection ? "Transactional" : "")ActivityDefinition {
                    \(access)static var name: String { \(handler.wireName) }
                    \(code)let container: \(name)
                    \(access)func run(\(handler.takesConnection ? "connection: PostgresConnection, " : "")input: \(handler.inputType)) async throws -> \(handler.outputType) {
                        \(effects)container.\(handler.call)
                    }
                }
                """
        }
        let text = source.map { "static let sourceCode = \($0.expression)\n" } ?? ""
        return ["\(raw: access)enum Activities { \(raw: text)\(raw: activities.joined(separator: "\n")) }"]
    }
}

/// `@Activity` is a mark that `@ActivityContainer` reads.
struct ActivityMacro: PeerMacro {
    static func expansion(
        of node: AttributeSyntax, providingPeersOf declaration: some DeclSyntaxProtocol,
        in context: some MacroExpansionContext
    ) throws -> [DeclSyntax] {
        if !declaration.is(FunctionDeclSyntax.self) {
            context.diagnose(Diagnostic(node: node, message: PerdureDiagnostic("@Activity goes on a method")))
        }
        return []
    }
}
