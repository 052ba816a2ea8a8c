import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Logging
import Postgres
import Testing
import WebCommon

@testable import HistoryWeb

/// The history pages over a database of their own, in which `runs.sql` has walked some runs.
struct TestSite {
    let pool: PostgresPool

    /// A server on a port of its own for the time of `body`.
    static func with(_ body: @Sendable (TestSite, any TestClientProtocol) async throws -> Void) async throws {
        let name = "history_web_test_\(UUID().uuidString.lowercased().replacing("-", with: ""))"
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let owner = try await PostgresConnection.connect(PostgresConfiguration(server), logger: logger)
        try await owner.simpleQuery("create database \(name)")

        let result: Result<Void, any Error>
        do {
            try await prepare(conninfo(database: name), logger)
            let pool = PostgresPool(PostgresConfiguration(try conninfo(database: name)), logger: logger)
            let site = try Site(store: HistoryStore(pool), namespace: "default", settings: WebSettings(port: 0))
            let application = Application(router: site.router(), logger: logger)
            try await application.test(.live) { try await body(TestSite(pool: pool), $0) }
            await pool.close()
            result = .success(())
        } catch {
            result = .failure(error)
        }
        try await owner.simpleQuery("drop database \(name) with (force)")
        await owner.close()
        try result.get()
    }

    private static func prepare(_ conninfo: String, _ logger: Logger) async throws {
        let database = try await PostgresConnection.connect(PostgresConfiguration(conninfo), logger: logger)
        try await database.simpleQuery("set client_min_messages = warning")
        let walk = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "runs.sql")
        for file in try schemaFiles() + [walk] {
            try await database.simpleQuery(String(contentsOf: file, encoding: .utf8))
        }
        await database.close()
    }

    private static let server =
        ProcessInfo.processInfo.environment["PERDURE_TEST_DATABASE_URL"]
        ?? "postgresql://postgres@127.0.0.1:55432/postgres"

    private static func conninfo(database: String) throws -> String {
        var url = try #require(URLComponents(string: server))
        url.path = "/\(database)"
        return try #require(url.string)
    }

    private static func schemaFiles() throws -> [URL] {
        let root = URL(filePath: #filePath).appending(path: "../../..").standardizedFileURL
        return try ["migrations", "sql/engine", "sql/views"].flatMap { folder in
            let files = root.appending(path: folder)
            // Not the bank's, whose migrations begin at 0010: the pages know of none.
            return try FileManager.default.contentsOfDirectory(atPath: files.path)
                .filter { $0.hasSuffix(".sql") && (folder != "migrations" || $0.hasPrefix("000")) }.sorted().map {
                    files.appending(path: $0)
                }
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
