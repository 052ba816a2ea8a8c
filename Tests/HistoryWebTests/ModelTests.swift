import Foundation
import PerdureModel
import Testing
import WebCommon

@testable import HistoryWeb

private func json(_ text: String) throws -> JSON { try JSON(parsing: text.utf8) }

private func event(_ id: Int, _ seconds: Double, _ type: String, _ attributes: String = "{}") throws -> HistoryEvent {
    HistoryEvent(
        eventId: Int64(id), eventTime: Timestamp(microseconds: 1_800_000_000_000_000).advanced(by: .seconds(seconds)),
        eventType: EventType(rawValue: type),
        attributes: try json(attributes))
}

@Suite struct ReadableTests {
    @Test func tellsTimesInUTC() {
        #expect(Timestamp("2026-01-31T10:30:00.5+01:30")?.readable == "2026-01-31 09:00:00.500")
    }

    @Test func tellsDurationsInWords() {
        #expect(Duration.milliseconds(850).readable == "850 ms")
        #expect(Duration.milliseconds(59_990).readable == "59.9 s")
        #expect(Duration.seconds(184).readable == "3 min 04 s")
        #expect(Duration.seconds(3 * 86_400 + 4 * 3600).readable == "3 d 4 h")
    }
}

@Suite struct StepTests {
    @Test func gathersTheEventsOfAStep() throws {
        let steps = Step.steps(of: [
            try event(1, 0, "WorkflowExecutionStarted", #"{"workflowType": {"name": "T"}}"#),
            try event(5, 1, "ActivityTaskScheduled", #"{"activityId": "1", "activityType": {"name": "withdraw"}}"#),
            try event(6, 1, "TimerStarted", #"{"timerId": "t", "startToFireTimeout": "3s"}"#),
            try event(
                7, 2, "ActivityTaskStarted", #"{"scheduledEventId": 5, "attempt": 3, "lastFailure": {"message": "no"}}"#
            ),
            try event(8, 3, "ActivityTaskCompleted", #"{"scheduledEventId": 5, "startedEventId": 7}"#),
            try event(9, 4, "TimerFired", #"{"timerId": "t", "startedEventId": 6}"#),
        ])
        #expect(steps.map { $0.events.map(\.id) } == [[1], [5, 7, 8], [6, 9]])
        let activity = steps[1]
        #expect(activity.outcome == .completed)
        #expect(activity.failedAttempts == 2)
        #expect(activity.outcomeText == "Completed after 2 failed attempts")
        #expect(activity.failure?.message == "no")
        #expect(steps[2].outcome == .completed)
    }

    @Test func tellsWhatAnOpenActivityWaitsFor() throws {
        let events = [
            try event(5, 1, "ActivityTaskScheduled", #"{"activityId": "1", "activityType": {"name": "withdraw"}}"#)
        ]
        func outcome(_ activity: String) throws -> Step {
            Step.steps(of: events, pending: [try #require(PendingActivity(json(activity)))])[0]
        }
        #expect(Step.steps(of: events)[0].outcome == .waiting)
        let backingOff = try outcome(
            #"{"activity_id": "1", "activity_type": "withdraw", "state": "Scheduled", "attempt": 4, "#
                + #""last_failure": {"message": "down"}}"#
        )
        #expect(backingOff.outcomeText == "Waits for attempt 4")
        #expect(backingOff.failure?.message == "down")
        let running = try outcome(
            #"{"activity_id": "1", "activity_type": "withdraw", "state": "Started", "attempt": 2, "#
                + #""last_started_time": "2027-01-15T08:00:02Z"}"#
        )
        #expect(running.outcomeText == "Running attempt 2")
    }

    @Test func followsCausesToTheirRoot() throws {
        let failure = Failure(
            shown: try json(
                """
                {"message": "outer", "activityFailureInfo": {"activityType": {"name": "withdraw"}, \
                "retryState": "MaximumAttemptsReached"},
                 "cause": {"message": "inner", "stackTrace": "line 1", \
                "applicationFailureInfo": {"type": "IOError", "nonRetryable": true}}}
                """))
        #expect(Array(failure.chain).map(\.message) == ["outer", "inner"])
        #expect(failure.root.shownType == "IOError")
        #expect(failure.root.facts == ["not retryable"])
        #expect(failure.facts == ["retry state: MaximumAttemptsReached"])
    }
}

@Suite struct TemporalHistoryTests {
    @Test func writesWhatTemporalReads() throws {
        let started = try event(
            1, 0, "WorkflowExecutionStarted",
            """
            {"workflowType": {"name": "T"}, "taskQueue": {"name": "q", "kind": "Normal"},
             "input": [{"encoding": "json/plain", "data": {"a": 1.50}}, {"encoding": "binary/null"}],
             "memo": {"m": {"encoding": "json/plain", "data": "x"}}, "searchAttributes": {"k": "v"}, "attempt": 1}
            """
        ).temporalJSON
        #expect(started.text("eventId") == "1")
        #expect(started.text("eventType") == "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED")
        let attributes = try #require(started["workflowExecutionStartedEventAttributes"])
        #expect(attributes["taskQueue"]?.text("kind") == "TASK_QUEUE_KIND_NORMAL")
        let payloads = attributes["input"]?["payloads"]?.elements ?? []
        #expect(payloads.count == 2)
        #expect(payloads[0]["metadata"]?.text("encoding") == Data("json/plain".utf8).base64EncodedString())
        #expect(payloads[0].text("data") == Data(#"{"a":1.50}"#.utf8).base64EncodedString())
        #expect(payloads[1]["data"] == nil)
        #expect(attributes["memo"]?["fields"]?["m"]?.text("data") == Data(#""x""#.utf8).base64EncodedString())
        #expect(attributes["searchAttributes"]?["indexedFields"]?["k"] != nil)
    }

    @Test func writesIdsAsStringsAndFailuresWithTheirCauses() throws {
        let failed = try event(
            7, 0, "ActivityTaskFailed",
            """
            {"scheduledEventId": 5, "startedEventId": 6, "retryState": "MaximumAttemptsReached", \
            "failure": {"message": "m",
             "cause": {"message": "c", "timeoutFailureInfo": {"timeoutType": "StartToClose",
             "lastHeartbeatDetails": [{"encoding": "json/plain", "data": 1}]}}}}
            """
        ).temporalJSON
        let attributes = try #require(failed["activityTaskFailedEventAttributes"])
        #expect(attributes["scheduledEventId"] == "5")
        #expect(attributes.text("retryState") == "RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED")
        let info = attributes["failure"]?["cause"]?["timeoutFailureInfo"]
        #expect(info?.text("timeoutType") == "TIMEOUT_TYPE_START_TO_CLOSE")
        #expect(info?["lastHeartbeatDetails"]?["payloads"]?.elements.count == 1)
    }
}

@Suite struct CodeTests {
    @Test func colours() {
        func looks(_ text: String) -> [String] {
            SwiftText(text).lines.map { line in line.map { "\($0.look.rawValue):\($0.text)" }.joined(separator: "|") }
        }
        #expect(looks("let a = 1.5 // one") == ["keyword:let|plain: a = |number:1.5|plain: |comment:// one"])
        #expect(looks("@Workflow struct A") == ["attribute:@Workflow|plain: |keyword:struct|plain: A"])
        #expect(looks("a /* b /* c */\nd */ e") == ["plain:a |comment:/* b /* c */", "comment:d */|plain: e"])
        #expect(
            looks(##"f("a\"b") + #"x"y"#) "##) == [##"plain:f(|string:"a\"b"|plain:) + |string:#"x"y"#|plain:) "##])
        #expect(
            looks("\"\"\"\na \"b\"\n\"\"\" + c") == ["string:\"\"\"", "string:a \"b\"", "string:\"\"\"|plain: + c"])
        // What is broken is shown as it stands.
        #expect(looks("\"open\nlet") == ["string:\"open", "keyword:let"])
        #expect(looks("/* open\r\n# @") == ["comment:/* open", "comment:# @"])
        #expect(looks("") == [""])
    }

    @Test func findsTheLinesThatAFailureNames() throws {
        let failure = Failure(
            shown: try json(
                """
                {"message": "outer at Shop/Order.swift:9", \
                "stackTrace": "run() at /build/Shop/Order.swift:12\\nOther.swift:3",
                 "cause": {"message": "inner", "stackTrace": "Order.swift:40\\nBank/Order.swift:41\\nxOrder.swift:42"}}
                """))
        #expect(failure.lines(in: "Shop/Order.swift").map(\.line) == [40, 12, 9])
        #expect(
            failure.lines(in: "Shop/Order.swift").map(\.message) == [
                "inner", "outer at Shop/Order.swift:9", "outer at Shop/Order.swift:9",
            ])
        #expect(failure.lines(in: "Shop/Nothing.swift").isEmpty)
        #expect(
            CodePlace.all(in: "a.swift:1, b.swift:x, c.swift:99999999999 and D.swift:2:17") == [
                CodePlace(file: "a.swift", line: 1), CodePlace(file: "D.swift", line: 2),
            ])
    }
}
