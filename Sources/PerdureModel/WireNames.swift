/// The type of an event, by Temporal's name. Open, so that a history written by a newer version can be read.
public struct EventType: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
    public var description: String { rawValue }

    public static let workflowExecutionStarted = Self(rawValue: "WorkflowExecutionStarted")
    public static let workflowExecutionCompleted = Self(rawValue: "WorkflowExecutionCompleted")
    public static let workflowExecutionFailed = Self(rawValue: "WorkflowExecutionFailed")
    public static let workflowExecutionTimedOut = Self(rawValue: "WorkflowExecutionTimedOut")
    public static let workflowExecutionCanceled = Self(rawValue: "WorkflowExecutionCanceled")
    public static let workflowExecutionTerminated = Self(rawValue: "WorkflowExecutionTerminated")
    public static let workflowExecutionContinuedAsNew = Self(rawValue: "WorkflowExecutionContinuedAsNew")
    public static let workflowExecutionCancelRequested = Self(rawValue: "WorkflowExecutionCancelRequested")
    public static let workflowExecutionSignaled = Self(rawValue: "WorkflowExecutionSignaled")
    public static let workflowExecutionUpdateAdmitted = Self(rawValue: "WorkflowExecutionUpdateAdmitted")
    public static let workflowExecutionUpdateAccepted = Self(rawValue: "WorkflowExecutionUpdateAccepted")
    public static let workflowExecutionUpdateCompleted = Self(rawValue: "WorkflowExecutionUpdateCompleted")

    public static let workflowTaskScheduled = Self(rawValue: "WorkflowTaskScheduled")
    public static let workflowTaskStarted = Self(rawValue: "WorkflowTaskStarted")
    public static let workflowTaskCompleted = Self(rawValue: "WorkflowTaskCompleted")
    public static let workflowTaskFailed = Self(rawValue: "WorkflowTaskFailed")
    public static let workflowTaskTimedOut = Self(rawValue: "WorkflowTaskTimedOut")

    public static let activityTaskScheduled = Self(rawValue: "ActivityTaskScheduled")
    public static let activityTaskStarted = Self(rawValue: "ActivityTaskStarted")
    public static let activityTaskCompleted = Self(rawValue: "ActivityTaskCompleted")
    public static let activityTaskFailed = Self(rawValue: "ActivityTaskFailed")
    public static let activityTaskTimedOut = Self(rawValue: "ActivityTaskTimedOut")
    public static let activityTaskCancelRequested = Self(rawValue: "ActivityTaskCancelRequested")
    public static let activityTaskCanceled = Self(rawValue: "ActivityTaskCanceled")

    public static let timerStarted = Self(rawValue: "TimerStarted")
    public static let timerFired = Self(rawValue: "TimerFired")
    public static let timerCanceled = Self(rawValue: "TimerCanceled")

    public static let markerRecorded = Self(rawValue: "MarkerRecorded")
    public static let upsertWorkflowSearchAttributes = Self(rawValue: "UpsertWorkflowSearchAttributes")
    public static let workflowPropertiesModified = Self(rawValue: "WorkflowPropertiesModified")

    public static let startChildWorkflowExecutionInitiated = Self(rawValue: "StartChildWorkflowExecutionInitiated")
    public static let startChildWorkflowExecutionFailed = Self(rawValue: "StartChildWorkflowExecutionFailed")
    public static let childWorkflowExecutionStarted = Self(rawValue: "ChildWorkflowExecutionStarted")
    public static let childWorkflowExecutionCompleted = Self(rawValue: "ChildWorkflowExecutionCompleted")
    public static let childWorkflowExecutionFailed = Self(rawValue: "ChildWorkflowExecutionFailed")
    public static let childWorkflowExecutionCanceled = Self(rawValue: "ChildWorkflowExecutionCanceled")
    public static let childWorkflowExecutionTimedOut = Self(rawValue: "ChildWorkflowExecutionTimedOut")
    public static let childWorkflowExecutionTerminated = Self(rawValue: "ChildWorkflowExecutionTerminated")

    public static let signalExternalWorkflowExecutionInitiated = Self(
        rawValue: "SignalExternalWorkflowExecutionInitiated")
    public static let signalExternalWorkflowExecutionFailed = Self(rawValue: "SignalExternalWorkflowExecutionFailed")
    public static let externalWorkflowExecutionSignaled = Self(rawValue: "ExternalWorkflowExecutionSignaled")
    public static let requestCancelExternalWorkflowExecutionInitiated = Self(
        rawValue: "RequestCancelExternalWorkflowExecutionInitiated")
    public static let requestCancelExternalWorkflowExecutionFailed = Self(
        rawValue: "RequestCancelExternalWorkflowExecutionFailed")
    public static let externalWorkflowExecutionCancelRequested = Self(
        rawValue: "ExternalWorkflowExecutionCancelRequested")
}

/// The type of a command, by Temporal's name.
public struct CommandType: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
    public var description: String { rawValue }

    public static let scheduleActivityTask = Self(rawValue: "ScheduleActivityTask")
    public static let requestCancelActivityTask = Self(rawValue: "RequestCancelActivityTask")
    public static let startTimer = Self(rawValue: "StartTimer")
    public static let cancelTimer = Self(rawValue: "CancelTimer")
    public static let completeWorkflowExecution = Self(rawValue: "CompleteWorkflowExecution")
    public static let failWorkflowExecution = Self(rawValue: "FailWorkflowExecution")
    public static let cancelWorkflowExecution = Self(rawValue: "CancelWorkflowExecution")
    public static let continueAsNewWorkflowExecution = Self(rawValue: "ContinueAsNewWorkflowExecution")
    public static let startChildWorkflowExecution = Self(rawValue: "StartChildWorkflowExecution")
    public static let signalExternalWorkflowExecution = Self(rawValue: "SignalExternalWorkflowExecution")
    public static let requestCancelExternalWorkflowExecution = Self(
        rawValue: "RequestCancelExternalWorkflowExecution")
    public static let upsertWorkflowSearchAttributes = Self(rawValue: "UpsertWorkflowSearchAttributes")
    public static let modifyWorkflowProperties = Self(rawValue: "ModifyWorkflowProperties")
    public static let recordMarker = Self(rawValue: "RecordMarker")
    public static let protocolMessage = Self(rawValue: "ProtocolMessage")
}

/// Which of an activity's or a workflow's timeouts ran out.
public struct TimeoutType: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
    public var description: String { rawValue }

    public static let startToClose = Self(rawValue: "StartToClose")
    public static let scheduleToStart = Self(rawValue: "ScheduleToStart")
    public static let scheduleToClose = Self(rawValue: "ScheduleToClose")
    public static let heartbeat = Self(rawValue: "Heartbeat")
}

/// Why an activity or a workflow was not tried again.
public struct RetryState: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
    public var description: String { rawValue }

    public static let inProgress = Self(rawValue: "InProgress")
    public static let nonRetryableFailure = Self(rawValue: "NonRetryableFailure")
    public static let timeout = Self(rawValue: "Timeout")
    public static let maximumAttemptsReached = Self(rawValue: "MaximumAttemptsReached")
    public static let retryPolicyNotSet = Self(rawValue: "RetryPolicyNotSet")
    public static let internalServerError = Self(rawValue: "InternalServerError")
    public static let cancelRequested = Self(rawValue: "CancelRequested")
}
