/// Makes a struct a workflow. Its `run` method is the code; stored variables get a home that signal handlers, queries
/// and `run` share.
///
/// - Parameter name: the workflow type; the struct's name if left out.
@attached(
    extension, conformances: WorkflowDefinition, names: named(name), named(signals), named(queries), named(updates),
    named(sourceCode))
@attached(member, names: named(init(input:)))
@attached(memberAttribute)
public macro Workflow(name: String? = nil) = #externalMacro(module: "PerdureMacros", type: "WorkflowMacro")

/// Makes a method a signal handler: `mutating func name(context: WorkflowContext<Self>, input: Input) async throws`,
/// where the context, the input and the effects may be left out. A struct of the method's name, capitalised, stands for
/// the signal.
///
/// - Parameters:
///   - name: the signal's name; the method's name, capitalised, if left out.
///   - description: what it does, for people who look at a run; the comment above the method if left out.
///   - unfinishedPolicy: whether it is worth a warning that the workflow ends before the handler.
@attached(peer, names: arbitrary)
public macro WorkflowSignal(
    name: String? = nil, description: String? = nil, unfinishedPolicy: HandlerUnfinishedPolicy = .warnAndAbandon
) = #externalMacro(module: "PerdureMacros", type: "WorkflowSignalMacro")

/// Makes a method a query handler: `func name(input: Input) throws -> Output`, where the input may be left out. A
/// struct of the method's name, capitalised, stands for the query.
///
/// - Parameters:
///   - name: the query's name; the method's name, capitalised, if left out.
///   - description: what it answers, for people who look at a run; the comment above the method if left out.
@attached(peer, names: arbitrary)
public macro WorkflowQuery(name: String? = nil, description: String? = nil) =
    #externalMacro(module: "PerdureMacros", type: "WorkflowQueryMacro")

/// Makes a method an update handler: `mutating func name(context: WorkflowContext<Self>, input: Input) async throws ->
/// Output`, where the context, the input, the effects and the result may be left out. A struct of the method's name,
/// capitalised, stands for the update.
///
/// - Parameters:
///   - name: the update's name; the method's name, capitalised, if left out.
///   - description: what it does, for people who look at a run; the comment above the method if left out.
///   - unfinishedPolicy: whether it is worth a warning that the workflow ends before the handler.
///   - validator: the name of a method `func validate(input: Input) throws`, or without `input` if the handler has
///     none, that looks at an update first. If it throws, the update is rejected, and the history does not tell of it.
@attached(peer, names: arbitrary)
public macro WorkflowUpdate(
    name: String? = nil, description: String? = nil, unfinishedPolicy: HandlerUnfinishedPolicy = .warnAndAbandon,
    validator: String? = nil
) = #externalMacro(module: "PerdureMacros", type: "WorkflowUpdateMacro")

/// Gives a workflow's stored variable its home; `@Workflow` attaches it.
@attached(accessor, names: named(init), named(get), named(set))
@attached(peer, names: prefixed(_))
public macro WorkflowState() = #externalMacro(module: "PerdureMacros", type: "WorkflowStateMacro")

/// Makes the methods of a type that are marked with `@Activity` activities: `Container.Activities.MethodName`.
@attached(extension, conformances: ActivityContainer, names: named(allActivities))
@attached(member, names: named(Activities), named(_ActivityTypes))
public macro ActivityContainer() = #externalMacro(module: "PerdureMacros", type: "ActivityContainerMacro")

/// Marks a method of an `@ActivityContainer` as an activity: `func name(input: Input) async throws -> Output`.
///
/// One that takes a `PostgresConnection`, before or after its input, is a ``TransactionalActivityDefinition``: it runs
/// inside the transaction that records its completion.
///
/// - Parameter name: the activity type; the method's name, capitalised, if left out.
@attached(peer)
public macro Activity(name: String? = nil) = #externalMacro(module: "PerdureMacros", type: "ActivityMacro")
