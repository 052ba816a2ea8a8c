public import Foundation
public import Logging
import Synchronization

extension Engine {
    /// Lets the effects of runs on others take place: children start, signals arrive, relatives learn of an end. Call
    /// it right after the commit that decided them, outside of a transaction. What it does not do, upkeep does.
    ///
    /// - Parameter runIDs: the runs that decided; nil for all runs with effects that are due, which is for upkeep.
    /// - Returns: how many took place.
    @discardableResult
    public func drainTransfers(shard: Int16, runIDs: [UUID]?) async throws -> Int {
        Int(try await row("call perdure.drain_transfers(\(shard), \(runIDs))").decode(Int32.self, at: 0))
    }
}

/// Drains transfers off the way of whoever has committed them. What comes while a call is under way goes with the next
/// one, so that a shard has one at a time.
public final class TransferDrain: Sendable {
    private struct State: Sendable {
        var waiting: [Int16: Set<UUID>] = [:]
        var busy: Set<Int16> = []
        var lastPass: [Int16: ContinuousClock.Instant] = [:]
        var onDrained: @Sendable () -> Void = {}
    }

    private let engine: Engine
    private let logger: Logger
    private let state = Mutex(State())

    public init(engine: Engine, logger: Logger) {
        self.engine = engine
        self.logger = logger
    }

    /// - Parameter body: called when runs may have work that had none.
    public func onDrained(_ body: @escaping @Sendable () -> Void) { state.withLock { $0.onDrained = body } }

    private func tellDrained() { state.withLock { $0.onDrained }() }

    /// These runs have committed effects on others, or have closed and may have relatives.
    public func drain(_ runIDs: some Sequence<UUID>, of shard: Int16) {
        let isIdle = state.withLock { state in
            state.waiting[shard, default: []].formUnion(runIDs)
            return state.busy.insert(shard).inserted
        }
        guard isIdle else { return }
        Task { await work(on: shard) }
    }

    private func work(on shard: Int16) async {
        while let runIDs = take(from: shard) {
            do {
                if try await engine.drainTransfers(shard: shard, runIDs: runIDs) > 0 { tellDrained() }
            } catch {
                // Upkeep comes for them.
                logger.debug("Effects on other runs are left to upkeep", metadata: ["error": "\(error)"])
            }
        }
    }

    private func take(from shard: Int16) -> [UUID]? {
        state.withLock { state in
            let runIDs = state.waiting.removeValue(forKey: shard) ?? []
            if runIDs.isEmpty { state.busy.remove(shard) }
            return runIDs.isEmpty ? nil : Array(runIDs)
        }
    }

    /// What nobody drained, at most once a second: a part of upkeep.
    public func pass(over shard: Int16) async throws {
        let isDue = state.withLock { state in
            if let last = state.lastPass[shard], last + .seconds(1) > .now { return false }
            state.lastPass[shard] = .now
            return true
        }
        guard isDue else { return }
        if try await engine.drainTransfers(shard: shard, runIDs: nil) > 0 { tellDrained() }
    }
}
