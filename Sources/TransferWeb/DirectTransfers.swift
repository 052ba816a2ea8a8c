import AsyncHTTPClient
import Bank
import Foundation
import Logging
import PerdureModel
import Postgres
import WebCommon

/// How a transfer is made.
enum TransferMode: String, Sendable, CaseIterable {
    /// By ``PlainTransfer``, in this process.
    case plain
    /// By ``RetryingTransfer``, in this process.
    case retrying
    /// By a workflow, in the workers.
    case durable

    var name: String {
        switch self {
        case .plain: "Plain"
        case .retrying: "Retries in memory"
        case .durable: "Durable"
        }
    }
}

/// Makes the transfers of the modes without the engine, in this process, and notes in `bank.direct_transfers` how they
/// fare, for those who watch. What is under way when the process ends is lost, as it would be anywhere.
final class DirectTransfers: Sendable {
    private let pool: PostgresPool
    private let accounts: AccountClient
    private let logger: Logger
    /// This process, as `pid@host`.
    let process: String

    private static let host = ProcessInfo.processInfo.hostName

    /// - Parameters:
    ///   - timeout: how long one call of the account API may take.
    ///   - http: should have connections enough for all of a comparison's transfers: see ``manyConnections()``.
    init(pool: PostgresPool, accountAPI: String, timeout: Duration, http: HTTPClient, logger: Logger) {
        self.pool = pool
        self.logger = logger
        process = "\(ProcessInfo.processInfo.processIdentifier)@\(Self.host)"
        accounts = AccountClient(url: accountAPI, timeout: timeout, http: http)
    }

    /// A client under which a hundred transfers at once do not wait for each other's connections: that would look like
    /// a slow account API.
    static func manyConnections() -> HTTPClient {
        var configuration = HTTPClient.Configuration()
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 256
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }

    /// Gives up what processes of this machine were making when they died.
    func loseThoseOfDeadProcesses() async throws {
        let rows = try await pool.query("select distinct process from bank.direct_transfers where status = 'RUNNING'")
        for row in rows {
            let owner = try row.decode(String.self, at: 0)
            let parts = owner.split(separator: "@", maxSplits: 1)
            guard parts.count == 2, parts[1] == Self.host, let pid = pid_t(parts[0]) else { continue }
            // This process has begun nothing yet, so a row with its id is an older one's.
            guard owner == process || (kill(pid, 0) != 0 && errno == ESRCH) else { continue }
            let lost = try await pool.query("select bank.lose_direct_transfers(\(owner))")[0].decode(Int32.self, at: 0)
            logger.notice("\(lost) transfers without the engine were lost with process \(owner)")
        }
    }

    /// Begins a transfer and returns its id, without waiting for any of its calls.
    func start(_ transfer: Transfer, _ mode: TransferMode) async throws -> UUID {
        let id = try await pool.query(
            """
            select bank.start_direct_transfer(
                \(mode.rawValue), \(transfer.fromAccount), \(transfer.toAccount), \(transfer.amount.cents), \(process))
            """)[0].decode(UUID.self, at: 0)
        begin(transfer, mode, id)
        return id
    }

    /// Begins the transfers of a comparison that are this process's to make.
    func start(comparison: Int64) async throws {
        let rows = try await pool.query(
            """
            select d.transfer_id, d.mode, d.from_account, d.to_account, d.amount_cents
            from bank.comparison_transfers c join bank.direct_transfers d using (transfer_id)
            where c.comparison_id = \(comparison) and d.process = \(process) and d.status = 'RUNNING'
            order by c.number
            """)
        for row in rows {
            let transfer = Transfer(
                from: try row.decode("from_account"), to: try row.decode("to_account"),
                amount: Money(cents: try row.decode("amount_cents")))
            guard let mode = TransferMode(rawValue: try row.decode("mode")) else { continue }
            begin(transfer, mode, try row.decode("transfer_id"))
        }
    }

    private func begin(_ transfer: Transfer, _ mode: TransferMode, _ id: UUID) {
        Task {
            let name = id.uuidString.lowercased()
            let calls = CallLog(transfer)
            let observed = accounts.observed { [self] call, phase in
                let all = await calls.add(call, phase)
                await note { try await pool.query("select from bank.record_direct_calls(\(id), \(all))") }
            }
            var failure: String?
            do {
                switch mode {
                case .plain: try await PlainTransfer(accounts: observed).run(transfer, id: name)
                case .retrying: try await RetryingTransfer(accounts: observed).run(transfer, id: name)
                case .durable: preconditionFailure("durable transfers are the workers' to make")
                }
            } catch {
                failure = "\(error)"
            }
            let status = failure == nil ? "COMPLETED" : "FAILED"
            await note { [failure] in
                try await pool.query("select from bank.end_direct_transfer(\(id), \(status), \(failure))")
            }
        }
    }

    /// The notes are for those who watch: the transfer goes on without them.
    private func note(_ write: () async throws -> PostgresRows) async {
        do {
            _ = try await write()
        } catch {
            logger.warning("how a transfer fares could not be noted: \(error)")
        }
    }
}

/// The calls that one transfer has made, in order.
private actor CallLog {
    private struct Entry {
        var step: String
        var attempt: Int
        var startedAt: Double
        var endedAt: Double?
        var failure: String?
    }

    private let transfer: Transfer
    private var entries: [Entry] = []

    init(_ transfer: Transfer) { self.transfer = transfer }

    /// Returns all of them as JSON, in the shape of `bank.direct_transfers.calls`.
    func add(_ call: AccountClient.Call, _ phase: AccountClient.Call.Phase) -> PostgresJSON {
        let now = Date().timeIntervalSince1970
        switch phase {
        case .began:
            let step = step(of: call).rawValue
            let attempt = 1 + entries.count { $0.step == step }
            entries.append(Entry(step: step, attempt: attempt, startedAt: now))
        case .ended(let failure):
            entries[entries.count - 1].endedAt = now
            entries[entries.count - 1].failure = failure
        }
        let values = entries.map { entry in
            JSON.object([
                "step": .string(entry.step),
                "attempt": .number("\(entry.attempt)"),
                "started_at": .number("\(entry.startedAt)"),
                "ended_at": entry.endedAt.map { .number("\($0)") } ?? .null,
                "failure": entry.failure.map(JSON.string) ?? .null,
            ])
        }
        return PostgresJSON(bytes: Array(JSON.array(values).text.utf8))
    }

    private func step(of call: AccountClient.Call) -> TransferStep {
        switch call.kind {
        case .balance: call.account == transfer.fromAccount ? .checkBalanceFrom : .checkBalanceTo
        case .withdraw: .withdraw
        case .deposit: .deposit
        }
    }
}
