import PerdureModel

/// How the queues of a namespace were over the last hours, in slots of the same length, oldest first.
struct QueueHours: Sendable {
    enum Span: String, CaseIterable, Sendable {
        case hour = "1h"
        case sixHours = "6h"
        case day = "24h"

        var label: String {
            switch self {
            case .hour: "Last hour"
            case .sixHours: "6 hours"
            case .day: "24 hours"
            }
        }

        /// How long a slot is.
        var bucket: Duration {
            switch self {
            case .hour: .seconds(60)
            case .sixHours: .seconds(300)
            case .day: .seconds(900)
            }
        }

        /// How many slots there are.
        var count: Int {
            switch self {
            case .hour: 60
            case .sixHours: 72
            case .day: 96
            }
        }
    }

    struct Slot: Sendable {
        let start: Timestamp
        let finished: Double
        let failing: Double
        let oldestSeconds: Double
    }

    struct Queue: Sendable {
        let name: String
        let kind: String
        /// How many tasks waited when last looked at.
        let waiting: Int
        let slots: [Slot]
    }

    let span: Span
    /// All queues together; none where nothing was seen.
    let all: [Slot]
    let queues: [Queue]

    init(_ rows: [JSON], _ span: Span) {
        self.span = span
        var all: [Slot] = []
        var queues: [Queue] = []
        for row in rows {
            let slots = (row["slots"]?.elements ?? []).compactMap(Self.slot)
            if let name = row.text("task_queue") {
                queues.append(
                    Queue(
                        name: name, kind: row.text("kind") ?? "", waiting: row.integer("waiting") ?? 0, slots: slots))
            } else {
                all = slots
            }
        }
        self.all = all
        self.queues = queues
    }

    private static func slot(_ row: JSON) -> Slot? {
        let values = row.elements
        guard values.count == 4, let start = values[0].stringValue.flatMap({ Timestamp($0) }) else { return nil }
        let numbers = values.dropFirst().map { Double($0.text) ?? 0 }
        return Slot(start: start, finished: numbers[0], failing: numbers[1], oldestSeconds: numbers[2])
    }
}
