import Foundation
import Hummingbird
import Logging
import NIOCore
import ServiceLifecycle

/// An HTTP server with the services that it needs, until SIGINT or SIGTERM ends both.
public struct WebServer: Sendable {
    /// What cannot be put right by trying again: the message says what to do, and nothing else needs to be shown.
    public struct StartError: Error, CustomStringConvertible {
        public let description: String
        public init(_ description: String) { self.description = description }
    }

    public var name: String
    public var host: String
    public var port: Int
    public var logger: Logger

    /// - Parameters:
    ///   - port: 0 takes any free one, which `onReady` tells.
    ///   - portVariable: the environment variable that people change when the port is taken.
    public init(name: String, host: String, port: Int, portVariable: String, logger: Logger) {
        self.name = name
        self.host = host
        self.port = port
        self.portVariable = portVariable
        self.logger = logger
    }

    private var portVariable: String

    /// Runs until it is told to stop, and lets requests that are being answered finish.
    /// - Parameters:
    ///   - services: started before the server and stopped after it.
    ///   - onReady: called with the port once connections are taken.
    /// - Throws: ``StartError`` for a taken port, else what a service threw.
    public func run(
        _ router: Router<BasicRequestContext>, services: [any Service] = [],
        onReady: @escaping @Sendable (Int) async -> Void = { _ in }
    ) async throws {
        let application = Application(
            router: router,
            configuration: ApplicationConfiguration(address: .hostname(host, port: port), serverName: name),
            onServerRunning: { channel in await onReady(channel.localAddress?.port ?? port) },
            logger: logger)
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: services + [application], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
        do {
            try await group.run()
        } catch let error as IOError where error.errnoCode == EADDRINUSE {
            throw StartError("port \(port) on \(host) is taken: stop what uses it, or set \(portVariable) to another port")
        } catch let error as IOError where error.errnoCode == EACCES {
            throw StartError("port \(port) on \(host) needs more rights: set \(portVariable) to a port above 1023")
        }
    }
}
