import Foundation
import TestSupport
import Testing
import WebCommon

@testable import TransferWeb

/// The code that the page shows beside the modes.
@Suite struct CodeListingTests {
    @Test(arguments: TransferMode.allCases) func isWhatThisBuildWasMadeOf(mode: TransferMode) throws {
        let listing = try CodeListing(of: mode, in: Site.resources)
        let source = try String(
            contentsOf: checkout.appending(path: "Sources/Bank/Modes/\(listing.file)"), encoding: .utf8)
        let shown = listing.text.lines.map { $0.map(\.text).joined() }.joined(separator: "\n")
        #expect(shown + "\n" == source)
    }

    @Test func standsEscapedOnThePage() async throws {
        try await BankDatabase.with { database in
            let routes = try TransferRoutes.forTests(database, accountAPI: "http://127.0.0.1:1")
            try await withServer(routes.router()) { url in
                let page = try await request("GET", "\(url)/compare").text
                #expect(page.contains("WorkflowContext&lt;<span class=\"code-keyword\">Self</span>&gt;"))
                for mode in TransferMode.allCases {
                    #expect(page.contains("id=\"code-\(mode.rawValue)\"") && page.contains(CodeListing.file(of: mode)))
                }
            }
        }
    }
}
