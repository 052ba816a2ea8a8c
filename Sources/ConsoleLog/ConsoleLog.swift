import Foundation
public import Logging

/// Log lines for people: time, level, what happened, and then the details, in colours where somebody looks.
public struct ConsoleLog: LogHandler {
    public var logLevel: Logger.Level = .info
    public var metadata: Logger.Metadata = [:]
    public var metadataProvider: Logger.MetadataProvider?

    private let label: String
    private let isColored: Bool

    /// Makes this the log of the whole process. Called once, before the first logger is made.
    ///
    /// `LOG_LEVEL` (trace, debug, info, notice, warning, error, critical) says how much is told. There are colours on a
    /// terminal, with `FORCE_COLOR` everywhere and with `NO_COLOR` nowhere.
    public static func bootstrap(environment: [String: String] = ProcessInfo.processInfo.environment) {
        let level = environment["LOG_LEVEL"].flatMap { Logger.Level(rawValue: $0.lowercased()) } ?? .info
        let isForced = environment["FORCE_COLOR"].map { !$0.isEmpty && $0 != "0" } ?? false
        let isColored = environment["NO_COLOR"] == nil && (isForced || isatty(STDOUT_FILENO) == 1)
        // A write that nobody reads is to be an error of the write, and not the end of the process.
        signal(SIGPIPE, SIG_IGN)
        LoggingSystem.bootstrap { label in ConsoleLog(label: label, level: level, isColored: isColored) }
    }

    init(label: String, level: Logger.Level, isColored: Bool) {
        self.label = label
        self.logLevel = level
        self.isColored = isColored
    }

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    public func log(event: LogEvent) {
        var all = metadata
        if let provided = metadataProvider?.get() { all.merge(provided) { $1 } }
        if let given = event.metadata { all.merge(given) { $1 } }
        let line = line(event.level, "\(event.message)", all, at: Date())
        // One write a line, so that lines of several threads and processes do not mix. Whoever reads them may have
        // gone, which is no reason to end: the log is lost then, and nothing else.
        try? FileHandle.standardOutput.write(contentsOf: Data(line.utf8))
    }

    func line(_ level: Logger.Level, _ message: String, _ metadata: Logger.Metadata, at time: Date) -> String {
        let clock = time.formatted(
            .verbatim(
                """
                \(hour: .twoDigits(clock: .twentyFourHour, hourCycle: .zeroBased)):\
                \(minute: .twoDigits):\(second: .twoDigits)
                """,
                locale: Locale(identifier: "en_US_POSIX"), timeZone: .current,
                calendar: Calendar(identifier: .gregorian)))
        let details = metadata.sorted { $0.key < $1.key }.map { "\($0.key)=\(Self.oneLine("\($0.value)"))" }
        let name = level.rawValue.padding(toLength: 8, withPad: " ", startingAt: 0)
        return [
            paint(clock, "2"), paint(name, Self.color(of: level)), paint(label, "2"),
            paint(Self.oneLine(message), level >= .warning ? Self.color(of: level) : "0"),
            paint(details.joined(separator: " "), "2"),
        ].joined(separator: " ") + "\n"
    }

    private func paint(_ text: String, _ color: String) -> String {
        isColored && !text.isEmpty ? "\u{1B}[\(color)m\(text)\u{1B}[0m" : text
    }

    /// A message that holds a line break or an escape must not be able to look like another line.
    private static func oneLine(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F }) else { return text }
        return String(
            String.UnicodeScalarView(text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? " " : $0 }))
    }

    private static func color(of level: Logger.Level) -> String {
        switch level {
        case .trace, .debug: "2"
        case .info: "36"
        case .notice: "32"
        case .warning: "33"
        case .error, .critical: "1;31"
        }
    }
}
