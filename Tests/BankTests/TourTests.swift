import Foundation
import PerdureModel
import TestSupport
import Testing

@testable import TransferWeb

/// The workshop's text, as the page reads it.
@Suite struct TourTests {
    @Test func readsWhatTheFilesUse() {
        let module = Tour.module(
            id: "m",
            """
            # A title

            One paragraph
            over two lines.

            ## A step

            Before `code`.

            ```sh
            first -d '*not emphasis*'
            second
            ```

            **Look** at the [books](http://127.0.0.1:5001/books), *twice*.
            """)
        #expect(module.title == "A title")
        #expect(module.introduction == [[.text("One paragraph over two lines.")]])
        #expect(module.steps.map(\.title) == ["A step"])
        #expect(
            module.steps.first?.blocks == [
                .paragraph([.text("Before "), .code("code"), .text(".")]),
                .command("first -d '*not emphasis*'\nsecond"),
                .paragraph([
                    .strong("Look"), .text(" at the "), .link("books", address: "http://127.0.0.1:5001/books"),
                    .text(", "), .emphasis("twice"), .text("."),
                ]),
            ])
    }

    @Test(arguments: ["", "`", "**", "[a](b", "[a]", "a ` b", "<script>"])
    func showsAnythingElseAsItIsWritten(text: String) {
        #expect(Tour.spans(text) == (text.isEmpty ? [] : [.text(text)]))
    }

    @Test func theWorkshopHasFourModules() throws {
        let tour = try Tour(folder: checkout.appending(path: "docs/workshop"))
        #expect(
            tour.modules.map(\.title) == [
                "Crash-proof", "Simpler retries", "Failure-proof downstream systems", "Bug-resistant development",
            ])
        for module in tour.modules {
            #expect(!module.introduction.isEmpty && module.steps.count >= 4)
            for step in module.steps {
                let looks = step.blocks.contains { block in
                    guard case .paragraph(let spans) = block else { return false }
                    return spans.first == .strong("Look")
                }
                let commands = step.blocks.contains { if case .command = $0 { true } else { false } }
                #expect(looks && commands, "\(module.title): \(step.title) has a command and a place to look")
            }
        }
        // What the page is built with is the same text.
        #expect(try Tour(folder: Site.resources.appending(path: "Workshop")).modules.count == tour.modules.count)
    }
}
