import Foundation
import PerdureEngine
import TestSupport
import Testing

@Suite struct ReferenceTests {
    @Test func `docs reference sql md names what the database offers, no more and no less`() async throws {
        // The roles belong to the whole cluster, and the reference tells what a worker may execute.
        for group in ["perdure_worker", "perdure_reader"] { try? await administer("create role \(group) nologin") }
        try await EmptyDatabase.with { database in
            try await database.migrator().migrate()
            let written = try await outcome(of: "/usr/bin/psql", ["-X", database.url, "-f", "docs/reference/sql.psql"])
            #expect(written.status == 0, "\(written.errors)")
            let kept = try String(contentsOf: checkout.appending(path: "docs/reference/sql.md"), encoding: .utf8)
            /// Headings and signatures; a comment may be put better before the page is written anew.
            func names(_ text: String) -> [Substring] {
                text.split(separator: "\n").filter { $0.hasPrefix("### ") || $0.hasPrefix("perdure.") }
            }
            let change = names(kept).difference(from: names(written.output))
            #expect(
                change.isEmpty,
                "\(Array(change)): psql \"$DATABASE_URL\" -X -f docs/reference/sql.psql > docs/reference/sql.md")
        }
    }
}
