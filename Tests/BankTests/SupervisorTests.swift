import Foundation
import TestSupport
import Testing
import WebCommon

@testable import TransferWeb

extension EndToEnd {
    /// The supervisor's real processes, and the page that crashes and deploys them.
    @Suite struct SupervisorTests {
        /// Runs the body over a supervisor with two workers, and the page. The supervisor is told to stop afterwards.
        private func withSupervisor(
            _ body: @Sendable @escaping (_ page: String, _ pids: URL, TransferSetting) async throws -> Void
        ) async throws {
            try await TransferSetting.with { setting in
                let folder = FileManager.default.temporaryDirectory.appending(path: "bank-pids-\(UUID().uuidString)")
                try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
                defer { try? FileManager.default.removeItem(at: folder) }
                let supervisor = try RunningProcess(
                    try builtProgram("bank-worker"), ["supervise", "--count", "2", "--pid-files", folder.path],
                    environment: [
                        "DATABASE_URL": setting.database.url, "ACCOUNT_API_URL": setting.accountAPI,
                        "PERDURE_TASK_QUEUE": "bank", "PERDURE_LEASE_SECONDS": "1",
                        "ACCOUNT_API_TIMEOUT_SECONDS": "2", "LOG_LEVEL": "critical",
                    ])
                let routes = try TransferRoutes.forTests(setting.database, accountAPI: setting.accountAPI)
                let result: Result<Void, any Error>
                do {
                    result = .success(
                        try await withServer(routes.router()) { page in
                            try await eventually("the workers come") {
                                try await setting.liveWorkers() == 2
                            }
                            try await body(page, folder, setting)
                        })
                } catch {
                    result = .failure(error)
                }
                supervisor.send(SIGTERM)
                #expect(await supervisor.waitUntilExit() == 0)
                let left = try FileManager.default.contentsOfDirectory(atPath: folder.path)
                #expect(left.isEmpty, "its workers have ended with it")
                // What is told to stop says that it leaves.
                #expect(try await setting.liveWorkers() == 0)
                try result.get()
            }
        }

        private func post(_ url: String, _ form: String, headers: [String: String] = [:]) async throws -> Answer {
            try await request(
                "POST", url, body: form,
                headers: headers.merging(["Content-Type": "application/x-www-form-urlencoded"]) { $1 })
        }

        @Test func aCrashedWorkerIsReplacedAndItsTransferGoesOn() async throws {
            try await withSupervisor { page, pids, setting in
                await setting.gate.hold("POST", "/accounts/account_A/withdraw", .after)
                try await setting.start("account_A", "account_F", 12_34, id: "t-1")
                try await setting.gate.arrived()
                let before = try Set(pidsIn(pids))
                #expect(before.count == 2)

                // The busiest is the one that withdraws.
                let answer = try await post("\(page)/workers/crash", "")
                #expect(answer.status == 200)
                let asked = answer.text.firstMatch(of: #/Asked for kill -9 of (\d+)@/#)
                let victim = try #require(asked.flatMap { Int32($0.1) })
                #expect(before.contains(victim))
                try await eventually("the worker is killed") { kill(victim, 0) != 0 }
                await setting.gate.open()
                try await eventually("another takes its place") {
                    let now = try Set(pidsIn(pids))
                    return now.count == 2 && now != before
                }
                try await setting.waitUntilAllHaveEnded()
                let document = try await setting.transfer("t-1")
                #expect(document["status"]?.stringValue == "COMPLETED")
                #expect(document["verdict"]?.stringValue == "correct")
                #expect(try await setting.database.audit().isProven)
                #expect(
                    try await setting.count(
                        """
                        select count(*) from perdure.worker_lives where state = 'Lost'
                            and identity like \("\(victim)@%")
                        """
                    )
                        == 1)
                let shown = try await request("GET", "\(page)/workers").text
                #expect(shown.contains("kill -9 of \(victim)@") && shown.contains("was found to be gone"))
            }
        }

        @Test func aKillFromATerminalShowsOnThePage() async throws {
            try await withSupervisor { page, pids, setting in
                let victim = try #require(try pidsIn(pids).first)
                kill(victim, SIGKILL)
                try await eventually("the page shows it") {
                    try await request("GET", "\(page)/workers").text.contains("kill -9 of \(victim)@")
                }
                try await eventually("another takes its place") {
                    let lost = try await setting.count(
                        "select count(*) from perdure.worker_lives where state = 'Lost'")
                    let live = try await setting.liveWorkers()
                    return lost == 1 && live == 2
                }
            }
        }

        @Test(arguments: ["workflow", "activity"]) func aBugIsDeployedAndFixed(bug: String) async throws {
            try await withSupervisor { page, _, setting in
                #expect(try await post("\(page)/workers/deploy", "bug=\(bug)").status == 200)
                try await setting.waitForBuild("v2")
                for number in 0..<5 {
                    try await setting.start("account_A", "account_F", 1_00, id: "t-\(number)")
                }
                try await eventually("the bug stops all") {
                    let text = try await request("GET", "\(page)/workers").text
                    return try await setting.count(
                        """
                        select (select count(*) from perdure.pending_workflow_tasks where last_failure is not null)
                            + (select count(*) from perdure.pending_activities where last_failure is not null)
                        """) == 5
                        && text.contains(bug == "workflow" ? "cannot make a receipt number" : "whole number")
                }
                if bug == "workflow" {
                    let document = try await setting.transfer("t-0")
                    #expect(document["task_failure"]?.stringValue?.contains("receipt number") == true)
                }
                #expect(try await post("\(page)/workers/deploy", "bug=none").status == 200)
                try await setting.waitForBuild("v3")
                try await setting.waitUntilAllHaveEnded()
                let audit = try await setting.database.audit()
                #expect(audit.isProven && audit.balances["account_F"] == 90_000 + 5_00)
                let untied = try await setting.count(
                    "select count(*) from bank.journal where mode = 'durable' and cause <> 'completed'")
                #expect(untied == 0, "every entry is tied to the event that caused it")
            }
        }

        @Test func nobodyElseBreaksAnything() async throws {
            try await BankDatabase.with { database in
                let workshop = try TransferRoutes.forTests(database)
                try await withServer(workshop.router()) { page in
                    for form in ["bug=database", "bug=", "", "bug=%00"] {
                        let answer = try await post("\(page)/workers/deploy", form)
                        #expect(answer.status == 400, "\(form)")
                    }
                    #expect(try await post("\(page)/workers/crash", "worker=1%40here").status == 404)
                    #expect(try await request("POST", "\(page)/workers/crash", body: "{}").status == 415)
                    for path in ["crash", "deploy"] {
                        let foreign = try await post(
                            "\(page)/workers/\(path)", "bug=workflow", headers: ["Origin": "https://example.org"])
                        #expect(foreign.status == 403)
                    }
                }
                let shop = try TransferRoutes.forTests(database, isWorkshop: false)
                try await withServer(shop.router()) { page in
                    let text = try await request("GET", "\(page)/workers").text
                    #expect(text.contains("Only looking is possible here") && !text.contains("<form"))
                    #expect(try await post("\(page)/workers/crash", "").status == 403)
                    #expect(try await post("\(page)/workers/deploy", "bug=workflow").status == 403)
                }
                let deployed = try await database.pool.query("select count(*) from bank.deployments")[0]
                #expect(try deployed.decode(Int64.self, at: 0) == 1)
            }
        }

        @Test(arguments: [["--count"], ["--count", "x"], ["--count", "-1"], ["--workers", "2"]])
        func badArgumentsAreSaid(arguments: [String]) async throws {
            let process = try RunningProcess(
                try builtProgram("bank-worker"), ["supervise"] + arguments,
                output: FileHandle(forWritingAtPath: "/dev/null"))
            #expect(await process.waitUntilExit() == 1)
        }

        private func pidsIn(_ folder: URL) throws -> [Int32] {
            try FileManager.default.contentsOfDirectory(atPath: folder.path).compactMap { name in
                // One that ends at this moment takes its file with it.
                let text = try? String(contentsOf: folder.appending(path: name), encoding: .utf8)
                return text.flatMap { Int32($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
            }
        }
    }
}

extension TransferSetting {
    fileprivate func liveWorkers() async throws -> Int {
        try await count("select count(*) from perdure.live_workers where alive")
    }

    /// Waits until two workers live, all of that build.
    fileprivate func waitForBuild(_ build: String) async throws {
        try await eventually("build \(build) is deployed") {
            let fresh = try await count(
                "select count(*) from perdure.live_workers where alive and build_id = \(build)")
            let workers = try await liveWorkers()
            return fresh == 2 && workers == 2
        }
    }
}
