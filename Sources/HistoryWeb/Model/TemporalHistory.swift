import PerdureEngine
import WebCommon

extension HistoryEvent {
    /// The event as Temporal's tools read it, written by the engine.
    var temporalJSON: JSONValue {
        get throws {
            // What the database sent is JSON, and what the engine writes is, too.
            let event = PerdureEngine.HistoryEvent(
                eventId: Int64(id), eventTime: Timestamp(microseconds: time.microseconds),
                eventType: EventType(rawValue: type), attributes: try JSON(parsing: Array(attributes.text.utf8)))
            return try JSONValue(parsing: TemporalHistory.json(event).bytes, maximumDepth: 500)
        }
    }
}
