public import PerdureEngine

/// Changes payloads on their way to the database and back: encrypts them, compresses them, or keeps large ones
/// elsewhere.
///
/// A codec marks what it makes by an ``Payload/encoding`` of its own, and leaves alone what has another when it
/// decodes. It may wait, and be called at any time, for any run, and for the same payload again.
public protocol PayloadCodec: Sendable {
    /// - Parameter payloads: the arguments, results or details that stand in one place, in their order.
    /// - Throws: whatever is wrong. A workflow task then fails and is tried again; so is the end of an activity, for as
    ///   long as its attempt lasts; a client's call throws the error.
    func encode(payloads: [Payload]) async throws -> [Payload]

    /// - Parameter payloads: what ``encode(payloads:)`` made, or what another program put there without it.
    func decode(payloads: [Payload]) async throws -> [Payload]
}
