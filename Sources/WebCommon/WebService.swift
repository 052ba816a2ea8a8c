import Foundation
import Hummingbird
import Logging
import NIOCore
import ServiceLifecycle

/// Where a web server of ours listens and which names it answers to.
public struct WebSettings: Sendable {
    public var host: String
    /// 0 takes a free one.
    public var port: Int
    public var allowedHosts: Set<String>
    /// The setting that a message about the port names.
    public var portVariable: String
    /// Who does things, and whether anybody may.
    public var visitors = VisitorSettings()

    public init(host: String = "127.0.0.1", port: Int, allowedHosts: Set<String> = [], portVariable: String = "PORT") {
        self.host = host
        self.port = port
        self.allowedHosts = allowedHosts
        self.portVariable = portVariable
    }

    /// Reads `PERDURE_HOST` (127.0.0.1 if it is not set), `PERDURE_ALLOWED_HOSTS` (names, separated by commas, beside
    /// localhost and addresses in digits) and the port. Throws for a port that is none.
    public init(
        portVariable: String, defaultPort: Int,
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws(StartupFailure) {
        func setting(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
        let text = setting(portVariable) ?? String(defaultPort)
        guard let port = Int(text), (0...65535).contains(port) else {
            throw StartupFailure("\(portVariable) is \"\(text)\", which is no port: set it to a number up to 65535")
        }
        let host = setting("PERDURE_HOST") ?? "127.0.0.1"
        let names = (setting("PERDURE_ALLOWED_HOSTS") ?? "").split(separator: ",")
            .map { $0.trimmingCharacters(in: .whitespaces) }
        self.init(host: host, port: port, allowedHosts: Set(names + [host]), portVariable: portVariable)
    }
}

/// Why a program of ours could not start, in one line that says what to do.
public struct StartupFailure: Error, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}

/// Serves until the process gets SIGTERM or SIGINT; then takes no new requests and ends the streams of events.
///
/// - Parameters:
///   - services: run beside the server, a connection pool for example, and are stopped after it.
///   - onRunning: told the port once requests are taken.
/// - Throws: `StartupFailure` if the port is taken or not ours to take, and what a service throws.
public func serve(
    _ router: Router<BasicRequestContext>, settings: WebSettings, services: [any Service] = [], logger: Logger,
    onRunning: @escaping @Sendable (Int) async -> Void = { _ in }
) async throws {
    let application = Application(
        router: router, server: .http1Connections,
        configuration: .init(address: .hostname(settings.host, port: settings.port)),
        onServerRunning: { channel in await onRunning(channel.localAddress?.port ?? settings.port) },
        logger: logger)
    // The group would report in several lines what is told in one below.
    var quiet = logger
    quiet.logLevel = .critical
    let group = ServiceGroup(
        configuration: .init(
            services: services + [application], gracefulShutdownSignals: [.sigterm, .sigint], logger: quiet))
    do {
        try await group.run()
    } catch let error as IOError where error.errnoCode == EADDRINUSE {
        throw StartupFailure(
            "port \(settings.port) of \(settings.host) is taken: stop what uses it or set \(settings.portVariable)")
    } catch let error as IOError where error.errnoCode == EACCES || error.errnoCode == EADDRNOTAVAIL {
        throw StartupFailure(
            "cannot listen at port \(settings.port) of \(settings.host) (\(error)): "
                + "set PERDURE_HOST and \(settings.portVariable)"
        )
    }
}

/// Runs a program's main function; a `StartupFailure` becomes one line on standard error and exit status 1.
public func runProgram(_ name: String, _ body: @Sendable () async throws -> Void) async {
    do {
        try await body()
    } catch {
        FileHandle.standardError.write(Data("\(name): \(error)\n".utf8))
        exit(1)
    }
}
