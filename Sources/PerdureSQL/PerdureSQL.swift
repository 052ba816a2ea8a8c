/// A file of the engine's SQL, as it was when this was built: what `Plugins/EmbedSQL` writes.
///
/// A module of its own, so that nothing else is compiled when a file of SQL changes.
public struct SQLFile: Sendable {
    /// Relative to the checkout, such as `sql/engine/00_basics.sql`.
    public let path: String
    public let text: String
}
