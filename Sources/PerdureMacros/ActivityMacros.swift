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
            "Activities.\(function.typeName.asTypeName)(container: self)"
        }.joined(separator: ", ")
        // An actor's list is asked for from outside of it.
        let isolation = declaration.is(ActorDeclSyntax.self) ? "nonisolated " : ""
        return [
            try ExtensionDeclSyntax(
                """
                extension \(type.trimmed): Perdure.ActivityContainer {
                    \(raw: declaration.accessPrefix)\(raw: isolation)\
                var allActivities: [any Perdure.ActivityDefinition] { [\(raw: list)] }
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
        let names = Set(declaration.methods(with: "Activity").map { $0.0.typeName })
        // Types whose names an activity has, by names that none has.
        var hidden: [String] = []
        func reachable(_ type: String, _ alias: String, _ used: Set<String>) -> String {
            guard !used.isDisjoint(with: names) else { return type }
            if !hidden.contains(where: { $0.contains(" \(alias) ") }) {
                hidden.append("\(access)typealias \(alias) = \(type)")
            }
            return "_ActivityTypes.\(alias)"
        }
        let container = reachable(name, "_Container", [name])
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
                    "\(access)static var sourceCode: Perdure.SourceCode? { "
                        + "Activities.sourceCode.beginning(atLine: \($0)) }\n    "
                } ?? ""
            let parameters = function.signature.parameterClause.parameters
            let input = reachable(
                handler.inputType, "_\(function.typeName)_Input",
                parameters.reduce(into: []) { $0.formUnion($1.type.names) })
            let output = reachable(
                handler.outputType, "_\(function.typeName)_Output",
                function.signature.returnClause?.type.names ?? [])
            return """
                \(access)struct \(handler.typeName): \
                Perdure.\(handler.takesConnection ? "Transactional" : "")ActivityDefinition {
                    \(access)static var name: Swift.String { \(handler.wireName) }
                    \(code)let container: \(container)
                    \(access)func run(\
                \(handler.takesConnection ? "connection: \(handler.connectionType), " : "")input: \(input)\
                ) async throws -> \(output) {
                        \(effects)container.\(handler.call)
                    }
                }
                """
        }
        let text = source.map { "static let sourceCode = \($0.expression)\n" } ?? ""
        let enumeration: DeclSyntax =
            "\(raw: access)enum Activities { \(raw: text)\(raw: activities.joined(separator: "\n")) }"
        guard !hidden.isEmpty else { return [enumeration] }
        return [enumeration, "\(raw: access)enum _ActivityTypes { \(raw: hidden.joined(separator: "\n")) }"]
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
