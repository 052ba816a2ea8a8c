import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Logging
import Postgres
import TestSupport
import Testing
import WebCommon

@testable import HistoryWeb

/// The history pages over a database of their own, in which `runs.sql` has walked some runs.
struct TestSite {
    /// As the owner, who may prepare what is looked at.
    let pool: PostgresPool

    /// A server on a port of its own for the time of `body`.
    static func with(
        codec: CodecServer? = nil, visitors: VisitorSettings = VisitorSettings(), role: String = "perdure_worker",
        _ body: @Sendable (TestSite, any TestClientProtocol) async throws -> Void
    ) async throws {
        try await withDatabase("history_web_test") { name in
            try await prepare(databaseURL(name))
            // As a worker or a reader may, and no more; the role stays, for it belongs to the cluster of the tests.
            let user = role == "perdure_worker" ? "perdure_test_pages" : "perdure_test_pages_of_\(role)"
            try? await administer("create role \(user) login in role \(role)")
            var settings = WebSettings(port: 0)
            settings.visitors = visitors
            let pages = PostgresPool(
                PostgresConfiguration(databaseURL(name, user: user)), logger: quiet)
            let pool = PostgresPool(PostgresConfiguration(databaseURL(name)), logger: quiet)
            let result: Result<Void, any Error>
            do {
                let site = try Site(
                    store: HistoryStore(pages, codec: codec), namespace: "default", settings: settings)
                let application = Application(router: site.router(), logger: quiet)
                try await application.test(.live) { try await body(TestSite(pool: pool), $0) }
                result = .success(())
            } catch {
                result = .failure(error)
            }
            await pages.close()
            await pool.close()
            try result.get()
        }
    }

    private static func prepare(_ url: String) async throws {
        let database = try await PostgresConnection.connect(PostgresConfiguration(url), logger: quiet)
        try await database.simpleQuery("set client_min_messages = warning")
        let walk = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "runs.sql")
        for file in try schemaFiles() + [walk] {
            try await database.simpleQuery(String(contentsOf: file, encoding: .utf8))
        }
        await database.close()
    }

    private static func schemaFiles() throws -> [URL] {
        return try ["migrations", "sql/engine", "sql/views"].flatMap { folder in
            let files = checkout.appending(path: folder)
            return try FileManager.default.contentsOfDirectory(atPath: files.path)
                .filter { $0.hasSuffix(".sql") }.sorted().map { files.appending(path: $0) }
        }
    }
}

extension TestClientProtocol {
    /// The status, the text and the headers of an answer.
    func get(_ address: String, headers: HTTPFields = [.accept: "text/html"]) async throws -> TestResponse {
        try await executeRequest(uri: address, method: .get, headers: headers, body: nil)
    }

    /// Sends a form as the site's own page does.
    func post(_ address: String, _ form: String, origin: String? = "http://localhost") async throws -> TestResponse {
        var headers: HTTPFields = [.contentType: "application/x-www-form-urlencoded", .accept: "text/html"]
        headers[HTTPField.Name("Origin")!] = origin
        return try await executeRequest(uri: address, method: .post, headers: headers, body: ByteBuffer(string: form))
    }

    /// The address of a workflow's latest run.
    func run(_ workflowID: String) async throws -> String {
        let response = try await get("/namespaces/default/workflows/\(workflowID.escapedForAddress)")
        #expect(response.status == .found)
        return try #require(response.headers[.location])
    }
}

extension TestResponse {
    var text: String { String(buffer: body) }
}
