import Foundation
import TestSupport
import Testing

@Suite("The guide of tests")
struct TestingGuideTests {
    @Test("Its example is the code that is compiled and run here")
    func isCompiled() throws {
        let guide = try String(contentsOf: checkout.appending(path: "docs/guides/testing.md"), encoding: .utf8)
        let example = try String(
            contentsOf: checkout.appending(path: "Tests/BankTests/TestingExample.swift"), encoding: .utf8)
        #expect(
            guide.contains("<!-- testing example -->\n```swift\n\(example)```\n"),
            "Copy Tests/BankTests/TestingExample.swift into docs/guides/testing.md, below its mark.")
    }
}
