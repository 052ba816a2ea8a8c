import Foundation
import PerdureEngine

/// A run that is live in this process.
struct CachedRun: Sendable {
    let run: any LiveRun
    let workflowID: String
    let workflowType: String
    /// The last event that it was fed, which is the start of its last workflow task.
    var lastEventID: Int64
    /// The last event that holds nothing new to it: what came of its own commands.
    var upToDateThrough: Int64 = 0
    /// The id of the run's next event, if ``ownEvents`` is all that the run was not fed yet.
    var nextEventID: Int64?
    /// How many bytes its history had then.
    var historySize: Int64 = 0
    /// What the last workflow task's completion and commands became.
    var ownEvents: [HistoryEvent] = []
    /// The database's time, as this machine's clock goes on from the last answer.
    var clock = ServerClock(at: Timestamp(microseconds: 0))

    init(run: any LiveRun, workflowID: String, workflowType: String) {
        self.run = run
        self.workflowID = workflowID
        self.workflowType = workflowType
        lastEventID = 0
    }

    /// Its last workflow task, which rejected all updates, leaves no event.
    mutating func forgotTask(nextEventID next: Int64, historySize: Int64, at time: Timestamp) {
        lastEventID = next - 1
        upToDateThrough = next - 1
        ownEvents = []
        nextEventID = next
        self.historySize = historySize
        clock = ServerClock(at: time)
    }

    /// Remembers what the engine made of a workflow task, so that the next step needs no history from it.
    mutating func completed(
        _ completion: WorkflowTaskCompletion, nextEventID next: Int64, historySize: Int64, at time: Timestamp
    ) {
        upToDateThrough = next - 1
        self.historySize = historySize
        clock = ServerClock(at: time)
        ownEvents = [
            HistoryEvent(eventId: lastEventID + 1, eventTime: time, eventType: .workflowTaskCompleted)
        ]
        for command in completion.commands {
            // Events that hold more than their commands are read from the history.
            let type: EventType
            switch command.commandType {
            case .scheduleActivityTask: type = .activityTaskScheduled
            case .startTimer: type = .timerStarted
            default:
                nextEventID = nil
                return
            }
            ownEvents.append(
                HistoryEvent(
                    eventId: lastEventID + 1 + Int64(ownEvents.count), eventTime: time, eventType: type,
                    attributes: command.attributes))
        }
        nextEventID = ownEvents.last?.eventId == next - 1 ? next : nil
    }
}

/// The database's clock, by its last answer and the time that has passed here since: never ahead of it.
struct ServerClock: Sendable {
    private let time: Timestamp
    private let instant = ContinuousClock.now

    init(at time: Timestamp) { self.time = time }

    var now: Timestamp { time.advanced(by: instant.duration(to: .now)) }
}
