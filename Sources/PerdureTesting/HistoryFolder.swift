public import Foundation
public import Perdure
import PerdureModel

/// How one history of a folder was replayed.
public struct WorkflowReplayResult: Sendable {
    /// The file that it stands in.
    public let file: URL
    /// Why the code does not agree with it; nil if it does.
    public let replayFailure: (any Error)?
}

/// Histories that the code does not agree with.
public struct ReplayFailedError: Error, Sendable, CustomStringConvertible {
    /// Those histories alone.
    public let results: [WorkflowReplayResult]

    public var description: String {
        results.map { result in
            "\(result.file.lastPathComponent): \(result.replayFailure.map { "\($0)" } ?? "replayed")"
        }.joined(separator: "\n")
    }
}

extension WorkflowReplayer {
    /// Replays every history of a folder: its files `*.json`, in Temporal's JSON, as `perdure workflow show --output
    /// json`,
    /// the history pages, Temporal's command line and its pages write it, and
    /// ``UntypedWorkflowHandle/exportHistory(to:)``.
    ///
    /// - Parameter throwsOnReplayFailure: whether one that the code does not agree with is an error, when all are
    ///   replayed.
    /// - Returns: one result a file, in the order of their names.
    /// - Throws: ``ReplayFailedError``; an error of the file system, also for a folder without histories.
    @discardableResult
    public func replayWorkflows(
        in folder: URL, throwsOnReplayFailure: Bool = true
    ) async throws -> [WorkflowReplayResult] {
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
            .filter { $0.pathExtension == "json" }
            .sorted { $0.lastPathComponent < $1.lastPathComponent }
        guard !files.isEmpty else {
            throw CocoaError(.fileReadNoSuchFile, userInfo: [NSFilePathErrorKey: folder.appending(path: "*.json").path])
        }
        var results: [WorkflowReplayResult] = []
        for file in files {
            var failure: (any Error)?
            do {
                try await replayWorkflow(historyJSON: String(contentsOf: file, encoding: .utf8))
            } catch {
                failure = error
            }
            results.append(WorkflowReplayResult(file: file, replayFailure: failure))
        }
        let failed = results.filter { $0.replayFailure != nil }
        if throwsOnReplayFailure, !failed.isEmpty { throw ReplayFailedError(results: failed) }
        return results
    }
}

extension UntypedWorkflowHandle {
    /// Writes the run's history into a folder, in Temporal's JSON, for ``Perdure/WorkflowReplayer`` to replay.
    ///
    /// - Returns: the file.
    @discardableResult
    public func exportHistory(to folder: URL) async throws -> URL {
        let history: JSON = ["events": .array(try await fetchHistory().map(TemporalHistory.json))]
        let allowed = CharacterSet.alphanumerics.union(CharacterSet(charactersIn: "-_."))
        let name = id.addingPercentEncoding(withAllowedCharacters: allowed) ?? "history"
        let file = folder.appending(path: "\(name).json")
        try history.description.write(to: file, atomically: true, encoding: .utf8)
        return file
    }
}
