import HummingbirdCore
import Logging
import NIOCore
import Synchronization

/// HTTP/1.1 connections that a server may drop before it serves them.
///
/// A server that stops drops a connection that it is just accepting. When the `NIOAsyncChannel` of that connection is
/// freed, it ends the process with "Deinited NIOAsyncWriter without calling finish()". A dropped connection of this
/// type closes itself.
struct HTTP1Connections: ServerChildChannel {
    let channel: HTTP1Channel

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Connection> {
        self.channel.setup(channel: channel, logger: logger).map(Connection.init)
    }

    func handle(value: Connection, logger: Logger) async {
        guard let connection = value.take() else { return }
        await channel.handle(value: connection, logger: logger)
    }

    final class Connection: ServerChildChannelValue {
        let channel: any Channel
        private let unserved: Mutex<HTTP1Channel.Value?>

        init(_ connection: HTTP1Channel.Value) {
            channel = connection.channel
            unserved = Mutex(connection)
        }

        /// The connection, once: who takes it closes it.
        func take() -> HTTP1Channel.Value? { unserved.withLock { $0.take() } }

        deinit {
            guard let connection = take() else { return }
            Task { try await connection.executeThenClose { _, _ in } }
        }
    }
}

extension HTTPServerBuilder {
    /// Serves HTTP/1.1; the server may be stopped, or its task cancelled, at any moment.
    public static var http1Connections: HTTPServerBuilder {
        .init { responder in HTTP1Connections(channel: HTTP1Channel(responder: responder)) }
    }
}
