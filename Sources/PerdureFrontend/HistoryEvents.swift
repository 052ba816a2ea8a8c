import PerdureEngine

/// A history as Temporal's clients read it: one event after the other, each with its id and time.
enum HistoryEvents {
    /// - Parameter batches: what `perdure.get_history` returns.
    /// - Parameter first: events before this one are left out.
    static func events(in batches: JSON, from first: Int64 = 1) -> [JSON] {
        var events: [JSON] = []
        for batch in batches.arrayValue ?? [] {
            let firstID = batch["firstEventId"]?.int64Value ?? 1
            for (place, event) in (batch["events"]?.arrayValue ?? []).enumerated() {
                let id = firstID + Int64(place)
                guard id >= first else { continue }
                var event = event
                event["eventId"] = .number(id)
                event["taskId"] = .number(id)
                // No value is no payload: Temporal's SDKs take a list without any for a broken history.
                if event["attributes"]?["result"] == [] { event["attributes"]?["result"] = nil }
                if event["eventTime"] == nil { event["eventTime"] = batch["eventTime"] }
                renameBuild(of: &event)
                events.append(event)
            }
        }
        return events
    }

    /// Temporal's server tells builds in `workerVersion` only. Events that tell one in `binaryChecksum`, as those of
    /// older histories do, get it there if they are of workflow tasks that were completed: SDKs read it.
    private static func renameBuild(of event: inout JSON) {
        guard let build = event["attributes"]?.given("binaryChecksum") else { return }
        event["attributes"]?["binaryChecksum"] = nil
        if event.text("eventType") == "WorkflowTaskCompleted" {
            event["attributes"]?["workerVersion"] = ["buildId": .string(build)]
        }
    }
}
