import Bank
import ConsoleLog
import Foundation
import Logging
import Postgres
import ServiceLifecycle

/// Keeps a number of worker processes running: what `bank-worker supervise` does.
///
/// A worker that dies is started again after a second. All run the build that `bank.current_deployment` names: when
/// that changes they are told to finish, and come back as the new build. Workers that `bank.crash_worker` picks are
/// killed, by the one process that knows which ones are its own. While the database is away the workers go on as they
/// are.
actor Supervisor: Service {
    struct Deployment: Sendable, Hashable {
        var buildID: String
        var bug: String?
    }

    private struct Slot {
        var process: Process?
        var deployment: Deployment?
    }

    private let program: URL
    private let pool: PostgresPool
    private let pidFolder: URL?
    private let logger: Logger

    private var slots: [Slot]
    private var deployment: Deployment?
    private var isStopping = false

    private static let restartDelay = Duration.seconds(1)
    private static let interval = Duration.milliseconds(300)
    /// A worker gives its activities ten seconds to finish.
    private static let patience = Duration.seconds(15)
    private static let host = ProcessInfo.processInfo.hostName

    /// - Parameters:
    ///   - program: the worker's executable.
    ///   - pidFolder: where `worker-1.pid` and so on are written, for people who want to kill one by hand; nil for
    ///     nowhere.
    init(program: URL, count: Int, pool: PostgresPool, pidFolder: URL?, logger: Logger) {
        self.program = program
        self.pool = pool
        self.pidFolder = pidFolder
        self.logger = logger
        slots = Array(repeating: Slot(), count: count)
    }

    /// Supervises until a graceful shutdown; then stops the workers, and waits for them.
    func run() async throws {
        deployment = try await readDeployment()
        for number in slots.indices { start(number) }
        await cancelWhenGracefulShutdown { await self.follow() }
        await stop()
    }

    // MARK: What the database wants

    private func follow() async {
        while (try? await Task.sleep(for: Self.interval)) != nil {
            do {
                let wanted = try await readDeployment()
                if wanted != deployment { deploy(wanted) }
                try await crash()
            } catch is CancellationError {
                return
            } catch {
                logger.warning("What is deployed cannot be read; the workers go on: \(error)")
                try? await Task.sleep(for: .seconds(2))
            }
        }
    }

    private func readDeployment() async throws -> Deployment {
        let row = try await pool.query("select build_id, bug from bank.current_deployment")[0]
        return Deployment(buildID: try row.decode(at: 0), bug: try row.decode(at: 1))
    }

    private func deploy(_ wanted: Deployment) {
        deployment = wanted
        logger.notice("Deploying \(wanted.buildID)\(wanted.bug.map { ", with a bug in the \($0)" } ?? "")")
        for slot in slots { slot.process?.terminate() }
    }

    private func crash() async throws {
        var mine: [String: Int] = [:]
        for (number, slot) in slots.enumerated() {
            if let process = slot.process { mine["\(process.processIdentifier)@\(Self.host)"] = number }
        }
        for row in try await pool.query("select bank.take_crash_requests(\(Array(mine.keys)))") {
            let identity = try row.decode(String.self, at: 0)
            // It may have ended since; then its number is another process's, and it is not ours to kill.
            guard let number = mine[identity], let process = slots[number].process, process.isRunning,
                "\(process.processIdentifier)@\(Self.host)" == identity
            else { continue }
            logger.notice("kill -9 \(process.processIdentifier), as somebody asked")
            kill(process.processIdentifier, SIGKILL)
        }
    }

    // MARK: Processes

    private func start(_ number: Int) {
        guard !isStopping, let deployment else { return }
        let process = Process()
        process.executableURL = program
        var environment = ProcessInfo.processInfo.environment
        environment["PERDURE_BUILD_ID"] = deployment.buildID
        environment["PERDURE_BANK_BUG"] = deployment.bug
        environment["PERDURE_WORKER_NAME"] = "worker-\(number + 1)"
        process.environment = environment
        process.terminationHandler = { [weak self] ended in
            let end = (ended.terminationReason == .uncaughtSignal, ended.terminationStatus)
            Task { await self?.ended(number, bySignal: end.0, status: end.1) }
        }
        do {
            try process.run()
            slots[number] = Slot(process: process, deployment: deployment)
            logger.info("Worker \(number + 1) is process \(process.processIdentifier), build \(deployment.buildID)")
            write("\(process.processIdentifier)\n", number)
        } catch {
            logger.error("Worker \(number + 1) cannot be started: \(error)")
            restart(number, after: Self.restartDelay)
        }
    }

    private func ended(_ number: Int, bySignal: Bool, status: Int32) {
        let wasReplaced = slots[number].deployment != deployment
        let identity = slots[number].process.map { "\($0.processIdentifier)@\(Self.host)" }
        slots[number] = Slot()
        write(nil, number)
        guard !isStopping else { return }
        if wasReplaced && !bySignal && status == 0 {
            start(number)
        } else {
            let how = bySignal ? "was killed by signal \(status)" : "ended with code \(status)"
            logger.error("Worker \(number + 1) \(how); another starts in a second")
            if bySignal, status == SIGKILL, let identity { record(crashOf: identity) }
            restart(number, after: Self.restartDelay)
        }
    }

    /// The page shows a `kill -9` from a terminal as it shows its own.
    private func record(crashOf identity: String) {
        Task {
            do {
                _ = try await pool.query("select bank.record_crash(\(identity))")
            } catch {
                logger.warning("The crash of \(identity) cannot be recorded: \(error)")
            }
        }
    }

    private func restart(_ number: Int, after delay: Duration) {
        Task {
            try? await Task.sleep(for: delay)
            start(number)
        }
    }

    private func stop() async {
        isStopping = true
        for slot in slots { slot.process?.terminate() }
        let deadline = ContinuousClock.now + Self.patience
        while slots.contains(where: { $0.process != nil }), ContinuousClock.now < deadline {
            // Not Task.sleep alone: the task may be cancelled already.
            await Task { try? await Task.sleep(for: .milliseconds(50)) }.value
        }
        for slot in slots {
            if let process = slot.process, process.isRunning { kill(process.processIdentifier, SIGKILL) }
        }
    }

    private func write(_ text: String?, _ number: Int) {
        guard let file = pidFolder?.appending(path: "worker-\(number + 1).pid") else { return }
        do {
            if let text {
                try Data(text.utf8).write(to: file, options: .atomic)
            } else {
                try FileManager.default.removeItem(at: file)
            }
        } catch CocoaError.fileNoSuchFile {
        } catch {
            logger.warning("\(file.path) cannot be written: \(error)")
        }
    }
}

extension Supervisor {
    /// What `bank-worker supervise [--count N] [--pid-files FOLDER]` asks for.
    struct Arguments: Sendable, Hashable {
        var count = 2
        var pidFolder: String?

        /// - Parameter arguments: what follows `supervise`.
        init(_ arguments: some Collection<String>) throws(StartupFailure) {
            var rest = Array(arguments)[...]
            while let name = rest.popFirst() {
                guard name == "--count" || name == "--pid-files" else {
                    throw StartupFailure(
                        "unknown argument \"\(name)\": supervise takes --count N and --pid-files FOLDER")
                }
                guard let value = rest.popFirst() else { throw StartupFailure("\(name) needs a value") }
                if name == "--pid-files" {
                    pidFolder = value
                } else if let number = Int(value), (0...64).contains(number) {
                    count = number
                } else {
                    throw StartupFailure("--count is \"\(value)\": give a number up to 64")
                }
            }
        }
    }

    /// Supervises until SIGTERM or SIGINT.
    static func run(_ arguments: Arguments) async throws {
        ConsoleLog.bootstrap()
        let logger = Logger(label: "supervisor")
        var database = PostgresConfiguration.fromEnvironment()
        database.applicationName = "perdure bank-worker supervisor"
        let pool = PostgresPool(database, maximumConnections: 1, logger: logger)
        let supervisor = Supervisor(
            program: try programItself(), count: arguments.count, pool: pool,
            pidFolder: arguments.pidFolder.map { URL(filePath: $0) }, logger: logger)
        try await BankWorkerProgram.serve(supervisor, logger: logger)
        await pool.close()
    }

    private static func programItself() throws(StartupFailure) -> URL {
        guard let program = Bundle.main.executableURL else {
            throw StartupFailure("cannot tell where this program is; start it by its whole path")
        }
        return program
    }
}
