import Foundation
import PerdureEngine
import Postgres
import TestSupport
import Testing

@testable import PerdureCommand

/// That measurements come to their end and count right. What they measure is not looked at.
@Suite struct BenchTests {
    @Test(arguments: [
        ["backlog", "--workflows", "30"], ["backlog", "--workflows", "30", "--slow-path"],
        ["latency", "--workflows", "3"], ["signal", "--workflows", "3"],
        ["timers", "--workflows", "30", "--seconds", "1", "--rate", "5", "--lead", "15"],
        ["sleeping", "--few", "200", "--many", "400", "--rate", "5", "--seconds", "1"],
        ["scale", "--workflows", "20", "--processes", "1,2,1"],
        ["finished", "--workflows", "30", "--few", "200", "--finished", "400", "--pending", "300"],
    ])
    func `a measurement ends, finds every history complete, and leaves no worker`(_ arguments: [String]) async throws {
        try await EmptyDatabase.with { database in
            try await database.migrator().migrate()
            let bench = try await perdure(["bench"] + arguments + ["-o", "json"], database: database)
            #expect(bench.status == 0, "\(bench.errors)")
            let figures = try JSON(parsing: bench.output)
            #expect(figures["durable_commits"]?.boolValue != nil)
            #expect(bench.errors.contains("Namespace bench-"))
            let working = try await database.connected { connection in
                try await connection.query("select count(*) from perdure.live_workers")[0].decode(Int.self, at: 0)
            }
            #expect(working == 0)
        }
    }

    @Test func `to look at what statements wait for ends well whenever it is over`() async throws {
        try await EmptyDatabase.with { database in
            let options = try BenchOptions.parse(["--database-url", database.url])
            for round in 0..<40 {
                let (value, _) = try await BenchWaits.sampled(options) {
                    try await Task.sleep(for: .microseconds(50 * round))
                    return round
                }
                #expect(value == round)
            }
        }
    }
}
