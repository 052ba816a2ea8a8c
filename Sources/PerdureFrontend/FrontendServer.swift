import Foundation
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import Logging
import PerdureEngine
import Postgres
import ServiceLifecycle

/// Temporal's WorkflowService and OperatorService over the engine: takes the bytes of a request, puts them into the
/// engine's JSON, calls, and puts the answer back.
struct FrontendServer: Service, RegistrableRPCService {
    private static let longestDrain = Duration.seconds(10)

    private let database: FrontendDatabase
    private let attributes: SearchAttributes
    private let notices: Notices
    private let waits: Waits
    private let reports: Sender
    private let requests: Sender
    private let agents: PollAgents
    private let workers: SDKWorkers
    private let upkeep: Upkeep
    private let batchJobs: BatchJobs
    private let calls: [String: Call]
    private let settings: FrontendSettings
    private let logger: Logger

    init(pool: PostgresPool, settings: FrontendSettings, logger: Logger) {
        database = FrontendDatabase(pool: pool, logger: logger)
        attributes = SearchAttributes(database: database)
        notices = Notices(pool.configuration, logger: logger)
        waits = Waits(database: database, notices: notices, logger: logger)
        workers = SDKWorkers(database: database, logger: logger)
        reports = Sender.ofReports(database, logger: logger)
        requests = Sender.ofRequests(database, logger: logger)
        let history = PollerHistory()
        let claims = TaskClaims(database: database, workers: workers, logger: logger)
        agents = PollAgents(database: database, claims: claims, notices: notices, logger: logger)
        upkeep = Upkeep(database: database, agents: agents, logger: logger)
        batchJobs = BatchJobs(engine: Engine(pool: pool), agents: agents, logger: logger)
        let tables = [
            WorkflowCalls(
                database: database, requests: requests, agents: agents, claims: claims, waits: waits,
                attributes: attributes
            ).table,
            UpdateCalls(
                database: database, notices: notices,
                starts: WorkflowCalls(
                    database: database, requests: requests, agents: agents, claims: claims, waits: waits,
                    attributes: attributes)
            ).table,
            BatchCalls(database: database).table, HistoryCalls(database: database, waits: waits).table,
            VisibilityCalls(database: database).table,
            PollCalls(database: database, agents: agents, claims: claims, history: history).table,
            TaskQueueCalls(database: database, history: history).table,
            WorkflowTaskCalls(
                database: database, reports: reports, agents: agents, claims: claims, waits: waits,
                attributes: attributes
            ).table,
            ActivityTaskCalls(database: database, reports: reports, agents: agents, claims: claims).table,
            ActivityChangeCalls(database: database, agents: agents).table,
            NamespaceCalls(database: database).table,
            SearchAttributeCalls(database: database, attributes: attributes).table,
            ClusterCalls(database: database, settings: settings).table,
        ]
        calls = tables.reduce(into: [:]) { $0.merge($1) { first, _ in first } }
        self.settings = settings
        self.logger = logger
    }

    func run() async throws {
        let server = GRPCServer(
            transport: .http2NIOPosix(
                address: .ipv4(host: settings.host, port: settings.port), transportSecurity: settings.security,
                config: .defaults { config in
                    // SDKs ping every 30 seconds, with polls parked and without.
                    config.connection.keepalive.clientBehavior.allowWithoutCalls = true
                    config.connection.keepalive.clientBehavior.minPingIntervalWithoutCalls = .seconds(5)
                    // A worker parks many polls on one connection.
                    config.http2.maxConcurrentStreams = 100_000
                    config.rpc.maxRequestPayloadSize = FrontendSettings.maximumMessageSize
                    config.compression.enabledAlgorithms = [.gzip, .deflate]
                }), services: [self])
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await notices.run() }
            group.addTask { await waits.run() }
            group.addTask { await reports.run() }
            group.addTask { await requests.run() }
            group.addTask { await workers.run() }
            group.addTask { await upkeep.run() }
            group.addTask { await batchJobs.run() }
            group.addTask { try await server.serve() }
            group.addTask {
                if let address = try await server.listeningAddress {
                    logger.notice("Temporal's SDKs reach Perdure at \(address)")
                }
            }
            group.addTask {
                // Calls that are under way may end, but do not keep the process for ever.
                try? await gracefulShutdown()
                try? await Task.sleep(for: Self.longestDrain)
            }
            try await withGracefulShutdownHandler {
                // The server ends when it is told to, or cannot listen.
                while (try await group.next()) != nil {
                    if Task.isShuttingDownGracefully { break }
                }
            } onGracefulShutdown: {
                agents.drain()
                waits.drain()
                server.beginGracefulShutdown()
            }
            group.cancelAll()
        }
    }

    func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
        for (path, method) in TemporalSchema.temporal.methods {
            let parts = path.split(separator: "/")
            let name = String(parts[1])
            register(
                MethodDescriptor(fullyQualifiedService: String(parts[0]), method: name), settings.keys, with: &router
            ) { request in
                try await answer(name, method, request)
            }
        }
        for path in TemporalSchema.temporal.absentMethods {
            let parts = path.split(separator: "/")
            let name = String(parts[1])
            let refusal = OldVersioning.refusals[name] ?? CallError.notYet(name)
            register(
                MethodDescriptor(fullyQualifiedService: String(parts[0]), method: name), settings.keys, with: &router
            ) { _ in
                throw refusal.rpcError(JSONToProtobuf())
            }
        }
        let services = Set(TemporalSchema.temporal.methods.keys.map { String($0.prefix { $0 != "/" }) })
        // Whoever checks needs no key.
        register(
            MethodDescriptor(fullyQualifiedService: "grpc.health.v1.Health", method: "Check"), APIKeys(), with: &router
        ) { request in
            try HealthCheck.answer(request, services: services)
        }
    }

    private func register<Transport: ServerTransport>(
        _ method: MethodDescriptor, _ keys: APIKeys, with router: inout RPCRouter<Transport>,
        _ handler: @escaping @Sendable ([UInt8]) async throws -> [UInt8]
    ) {
        router.registerHandler(forMethod: method, deserializer: RawMessage(), serializer: RawMessage()) {
            request, _ in
            try keys.check(request.metadata)
            let request = try await ServerRequest(stream: request)
            // gRPC does not cancel the task of a call whose client has gone.
            let call = Task { try await handler(request.message) }
            let response = try await withRPCCancellationHandler {
                try await withTaskCancellationHandler {
                    try await call.value
                } onCancel: {
                    call.cancel()
                }
            } onCancelRPC: {
                // A server that ends says so of all calls, but those that are under way may end.
                if !waits.isDraining { call.cancel() }
            }
            return StreamingServerResponse(single: ServerResponse(message: response))
        }
    }

    private func answer(_ name: String, _ method: TemporalSchema.Method, _ message: [UInt8]) async throws -> [UInt8] {
        var namespace = ""
        do {
            guard let call = calls[name] else { throw CallError.notYet(name) }
            let request = try JSON(parsing: try ProtobufToJSON().json(of: method.request, bytes: message))
            namespace = request.text("namespace")
            let response = try await call(request)
            let types = namespace.isEmpty ? [:] : (try? await attributes.types(in: namespace)) ?? [:]
            return try JSONToProtobuf { types[$0] }.bytes(of: method.response, json: response.bytes)
        } catch {
            let refusal =
                (error as? EngineError)?.code == .namespaceNotFound
                ? CallError.noNamespace(namespace) : CallError(error)
            if refusal.code == .internalError {
                logger.error("A call failed", metadata: ["call": "\(name)", "error": .cut(error)])
            } else {
                logger.debug("A call was refused", metadata: ["call": "\(name)", "error": .cut(error)])
            }
            throw refusal.rpcError(JSONToProtobuf())
        }
    }
}

/// The bytes of a message as they are.
private struct RawMessage: MessageSerializer, MessageDeserializer {
    func serialize<Bytes: GRPCContiguousBytes>(_ message: [UInt8]) throws -> Bytes { Bytes(message) }

    func deserialize<Bytes: GRPCContiguousBytes>(_ bytes: Bytes) throws -> [UInt8] {
        bytes.withUnsafeBytes { Array($0) }
    }
}
