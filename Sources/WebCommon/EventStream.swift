import HTTPTypes
import Hummingbird
import ServiceLifecycle

/// One message of an event stream (`text/event-stream`), in the format of the HTML standard.
public struct ServerSentEvent: Sendable, Hashable {
    public var event: String
    public var data: String
    public var id: String?

    public init(event: String, data: String, id: String? = nil) {
        self.event = event
        self.data = data
        self.id = id
    }

    var text: String {
        var text = "event: \(event)\n"
        if let id { text += "id: \(id)\n" }
        for line in data.split(separator: "\n", omittingEmptySubsequences: false) { text += "data: \(line)\n" }
        return text + "\n"
    }
}

extension Response {
    /// A stream of events that ends when the client leaves, the server stops or the sequence ends.
    ///
    /// The sequence is opened once the answer is being sent and let go when that ends, so nothing is left of a client
    /// that leaves at any moment.
    ///
    /// A comment goes out after `heartbeat` without an event, so that proxies keep the connection and a client that has
    /// gone is noticed. A client that was cut off comes back after `retry`; so does one that reads too slowly, which is
    /// cut off instead of buffered for.
    public static func events<Events: AsyncSequence & Sendable>(
        request: Request, retry: Duration = .seconds(2), heartbeat: Duration = .seconds(15),
        _ open: @escaping @Sendable () async -> Events
    ) -> Response where Events.Element == ServerSentEvent, Events.Failure == Never {
        let headers: HTTPFields = [
            .contentType: "text/event-stream; charset=utf-8", .cacheControl: "no-store",
            HTTPField.Name("X-Accel-Buffering")!: "no",
        ]
        let body = ResponseBody { writer in
            let (messages, continuation) = AsyncStream.makeStream(
                of: String.self, bufferingPolicy: .bufferingOldest(64))
            continuation.yield("retry: \(retry.components.seconds * 1000)\n\n")
            let producer = Task {
                await cancelWhenGracefulShutdown {
                    await withTaskGroup { group in
                        group.addTask {
                            for await event in await open() {
                                guard case .enqueued = continuation.yield(event.text) else { return }
                            }
                        }
                        group.addTask {
                            while (try? await Task.sleep(for: heartbeat)) != nil {
                                continuation.yield(": still here\n\n")
                            }
                        }
                        await group.next()
                        group.cancelAll()
                    }
                }
                continuation.finish()
            }
            defer { producer.cancel() }
            do {
                try await request.body.consumeWithCancellationOnInboundClose { _ in
                    for await message in messages { try await writer.write(ByteBuffer(string: message)) }
                }
            } catch is CancellationError {
                // The client has left: there is nobody to tell.
            }
            try await writer.finish(nil)
        }
        return Response(status: .ok, headers: headers, body: body)
    }
}
