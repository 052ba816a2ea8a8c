import Foundation
import TestSupport
import Testing

/// The log of our programs.
@Suite struct ConsoleLogTests {
    /// As under `start_services.sh`, when Ctrl-C ends what colours the lines.
    @Test func aProgramOutlivesWhoeverReadsItsLog() async throws {
        try await BankDatabase.with { database in
            let log = Pipe()
            let port = try freePort()
            let program = try RunningProcess(
                try builtProgram("account-api"),
                environment: ["DATABASE_URL": database.url, "ACCOUNT_API_PORT": "\(port)", "LOG_LEVEL": "trace"],
                output: log.fileHandleForWriting)
            try log.fileHandleForReading.close()
            try log.fileHandleForWriting.close()
            try await eventually("it serves") {
                (try? await request("GET", "http://127.0.0.1:\(port)/accounts/account_A").status) == 200
            }
            program.send(SIGTERM)
            #expect(await program.waitUntilExit() == 0)
        }
    }
}
