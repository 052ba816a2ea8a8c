import SwiftCompilerPlugin
import SwiftSyntaxMacros

@main
struct PerdurePlugin: CompilerPlugin {
    let providingMacros: [any Macro.Type] = [
        WorkflowMacro.self, WorkflowSignalMacro.self, WorkflowQueryMacro.self, WorkflowUpdateMacro.self,
        WorkflowStateMacro.self, ActivityContainerMacro.self, ActivityMacro.self,
    ]
}
