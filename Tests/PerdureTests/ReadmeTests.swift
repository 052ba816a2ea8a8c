import Foundation
import PerdureTesting
import Testing

@Suite("The README's example")
struct ReadmeTests {
    @Test("It is the code that is compiled here")
    func isCompiled() throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent()
        let readme = try String(contentsOf: folder.appending(path: "../../README.md"), encoding: .utf8)
        let example = try String(contentsOf: folder.appending(path: "ReadmeExample.swift"), encoding: .utf8)
        #expect(
            readme.contains("<!-- example -->\n```swift\n\(example)```\n"),
            "Copy Tests/PerdureTests/ReadmeExample.swift into the README, below <!-- example -->.")
    }

    @Test("It does what it says")
    func works() async throws {
        try await TestDatabase.with { database in
            let welcome = try await welcomeAda(pool: database.pool)
            #expect(welcome == "Welcome, Ada!")
        }
    }
}
