import PerdureEngine

/// Updates as a workflow task carries them to a worker.
enum UpdateMessages {
    /// The messages of a task: one `temporal.api.update.v1.Request` for each update that no event tells of; nil for
    /// none.
    ///
    /// - Parameter updates: an array of requests, as the engine has them.
    static func messages(of updates: JSON, startedEventID: Int64) -> JSON? {
        // A worker takes an update that a reset took over from the history.
        let told = (updates.arrayValue ?? []).filter { $0["admittedEventId"] == nil }
        guard !told.isEmpty else { return nil }
        return .array(
            told.map { request in
                let id = request["meta"]?.text("updateId") ?? ""
                var body = request
                body["@type"] = "temporal.api.update.v1.Request"
                return [
                    "id": .string("\(id)/request"), "protocolInstanceId": .string(id),
                    // It comes before what the task is told.
                    "eventId": .number(startedEventID - 1), "body": body,
                ]
            })
    }
}
