import PerdureEngine

extension JSON {
    /// The engine keeps what a run that continues as new leaves out. Temporal's server does not: its SDKs send what
    /// stays.
    mutating func nameWhatIsNone() {
        for name in ["retryPolicy", "memo", "searchAttributes"] where self[name] == nil { self[name] = .null }
        if self["input"] == nil { self["input"] = [] }
    }

    /// The last event of a run, as Temporal's server tells it to those who wait for it: whatever it is, when another
    /// run follows it is WorkflowExecutionContinuedAsNew, which every client knows how to follow. Whole histories have
    /// the event itself.
    var asContinued: JSON {
        let continued = "WorkflowExecutionContinuedAsNew"
        guard let next = self["attributes"]?["newExecutionRunId"], text("eventType") != continued else { return self }
        var event = self
        event["eventType"] = .string(continued)
        event["attributes"] = ["newExecutionRunId": next]
        return event
    }
}
