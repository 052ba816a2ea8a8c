import Foundation
import Logging
import Metrics
import TestSupport
import Testing

@testable import Perdure

@Suite("Workflow threads")
struct WorkflowThreadsTests {
    private func with<Value>(
        count: Int = 2, limit: Duration = .seconds(30), _ body: (WorkflowThreads) async throws -> Value
    ) async throws -> Value {
        let threads = WorkflowThreads(
            count: count, deadlockTimeout: limit,
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }),
            writtenOffThreads: Gauge(label: "test"))
        do {
            let value = try await body(threads)
            await threads.stop()
            return value
        } catch {
            await threads.stop()
            throw error
        }
    }

    @Test("Its result or error comes back")
    func results() async throws {
        struct Bug: Error {}
        try await with { threads in
            let value = try await threads.run({ 6 * 7 }, late: {})
            #expect(value == 42)
            await #expect(throws: Bug.self) { try await threads.run({ throw Bug() }, late: {}) }
        }
    }

    @Test("Code that blocks costs its thread, not the others, and its end is noticed")
    func stuck() async throws {
        let isStuck = Box(true)
        let ended = Box(0)
        try await with(limit: .milliseconds(50)) { threads in
            for _ in 0..<5 {
                await #expect(throws: DeadlineExceeded.self) {
                    try await threads.run {
                        while isStuck.value { Thread.sleep(forTimeInterval: 0.005) }
                    } late: {
                        ended.add(1)
                    }
                }
            }
            let value = try await threads.run({ 7 }, late: {})
            #expect(value == 7)
            #expect(ended.value == 0)
            isStuck.value = false
            try await eventually("all come back") { ended.value == 5 }
        }
    }

    @Test("What is queued runs before the threads end")
    func stop() async throws {
        let ran = Box(0)
        try await with(count: 1) { threads in
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<1000 {
                    group.addTask { try? await threads.run({ ran.add(1) }, late: {}) }
                }
            }
        }
        #expect(ran.value == 1000)
    }
}
