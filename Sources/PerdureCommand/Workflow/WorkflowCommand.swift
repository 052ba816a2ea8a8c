import ArgumentParser

struct WorkflowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "workflow",
        abstract: "Start, list, read and change workflows.",
        subcommands: [
            WorkflowStart.self, WorkflowExecute.self, WorkflowList.self, WorkflowCount.self, WorkflowDescribe.self,
            WorkflowShow.self, WorkflowResult.self, WorkflowSignal.self, WorkflowQuery.self,
            WorkflowUpdateCommand.self, WorkflowCancel.self, WorkflowTerminate.self, WorkflowReset.self,
            WorkflowDelete.self,
        ]
    )
}
