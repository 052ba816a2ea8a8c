package import Logging

extension Logger.MetadataValue {
    /// The most bytes of a text that a log line shows.
    private static let longest = 4096

    /// What the code of an author threw, as a log line shows it: its first 4,096 bytes. A message of 16 MB that is
    /// logged whole takes the time of thousands of tasks.
    package static func cut(_ value: some Any) -> Logger.MetadataValue {
        .string("\(value)".cut(toBytes: longest))
    }
}
