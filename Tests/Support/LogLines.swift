public import Logging
import Synchronization

/// What was logged, each line as its level, message and metadata.
public final class LogLines: Sendable {
    private let lines = Mutex<[String]>([])
    public init() {}
    public var all: [String] { lines.withLock { $0 } }
    /// A logger that writes here.
    public var logger: Logger { Logger(label: "test") { _ in LineLog(lines: self) } }
    fileprivate func add(_ line: String) { lines.withLock { $0.append(line) } }
}

private struct LineLog: LogHandler {
    let lines: LogLines
    var logLevel = Logger.Level.trace
    var metadata = Logger.Metadata()
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        lines.add("\(event.level): \(event.message)" + (event.metadata.map { " \($0)" } ?? ""))
    }
}
