import Hummingbird
import Logging
import NIOPosix
import ServiceLifecycle
import TestSupport
import Testing
import WebCommon

/// A server that stops while connections come in.
struct StoppingServerTests {
    /// Each round ends a server while eight clients connect as fast as they can. A server that drops a connection that
    /// it has not finished would end the process of the tests.
    @Test(arguments: Ending.allCases)
    func dropsConnectionsThatItIsAccepting(ending: Ending) async throws {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        for _ in 0..<200 {
            let (ports, continuation) = AsyncStream.makeStream(of: Int.self)
            let application = Application(
                router: Router(), server: .http1Connections,
                configuration: .init(address: .hostname("127.0.0.1", port: 0)),
                onServerRunning: { channel in continuation.yield(channel.localAddress?.port ?? 0) }, logger: logger)
            let server = ServiceGroup(services: [application], logger: logger)
            let running = Task { try await server.run() }
            var iterator = ports.makeAsyncIterator()
            let port = try #require(await iterator.next())
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        // Until the server has closed its port.
                        while let client = try? await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
                            .connect(host: "127.0.0.1", port: port).get()
                        {
                            try? await client.close()
                        }
                    }
                }
                switch ending {
                case .gracefulShutdown: await server.triggerGracefulShutdown()
                case .cancellation: running.cancel()
                }
                try await group.waitForAll()
            }
            try? await running.value
        }
    }

    enum Ending: CaseIterable { case gracefulShutdown, cancellation }
}
