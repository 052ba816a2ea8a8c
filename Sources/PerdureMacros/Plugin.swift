import SwiftCompilerPlugin
import SwiftSyntaxMacros

@main
struct PerdurePlugin: CompilerPlugin {
    let providingMacros: [any Macro.Type] = []
}
