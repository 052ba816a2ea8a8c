extension Limits {
    /// - Throws: ``EngineError`` unless a name has 1 to 1000 bytes, none of them U+0000.
    package static func check(name: String, _ what: String) throws(EngineError) {
        guard (1...self.name).contains(name.utf8.count) else {
            throw EngineError(
                .invalidArgument, "the \(what) must have 1 to \(self.name) bytes",
                hint: "It has \(name.utf8.count).")
        }
        guard !name.utf8.contains(0) else {
            throw EngineError(
                .invalidArgument, "the \(what) holds the character U+0000",
                hint: "PostgreSQL's texts cannot hold it: leave it out.")
        }
    }

    /// - Throws: ``EngineError`` if payloads are larger or nested deeper than the database takes.
    package static func check(_ payloads: [Payload], _ what: @autoclosure () -> String) throws(EngineError) {
        try check(StoredForm(payloads), atMost: self.payloads, what())
    }

    /// - Throws: ``EngineError`` if a document is larger or nested deeper than the database takes, or holds what jsonb
    ///   cannot.
    package static func check(
        _ json: JSON, atMost maximum: Int = payloads, _ what: @autoclosure () -> String
    ) throws(EngineError) {
        try check(StoredForm(json), atMost: maximum, what())
    }

    private static func check(
        _ form: StoredForm, atMost maximum: Int, _ what: @autoclosure () -> String
    ) throws(EngineError) {
        guard form.bytes <= maximum else {
            throw EngineError(
                .tooLarge, "the \(what()) has \(form.bytes) bytes, and at most \(maximum) are taken",
                hint: "Store large data elsewhere and pass a reference to it.")
        }
        guard form.depth < depth else {
            throw EngineError(
                .tooLarge, "the \(what()) is nested deeper than \(depth) levels",
                hint: "Pass what is nested so deep as a text, or as bytes.")
        }
        guard form.isStorable else {
            throw EngineError(
                .invalidArgument,
                "the \(what()) holds the character U+0000, or a number that is none or has too many digits",
                hint: "PostgreSQL's jsonb cannot hold it.")
        }
    }
}
