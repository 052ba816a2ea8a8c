import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Logging
import PerdureModel
import Testing

@testable import WebCommon

private func templates(_ texts: [String: String]) throws -> PageTemplates {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    for (name, text) in texts {
        try text.write(to: folder.appendingPathComponent("\(name).mustache"), atomically: true, encoding: .utf8)
    }
    return try PageTemplates(folder: folder)
}

@Suite struct PageTemplateTests {
    @Test(arguments: [
        "<script>alert(1)</script>", "\"' onload=x", "\"\u{301} onload=x", "<\u{200D}b", "&lt;", "a\r\n<b>",
    ])
    func escapesEverything(hostile: String) throws {
        let templates = try templates([
            "page": "<p title=\"{{value}}\">{{>part}}</p>", "part": "{{#list}}{{.}}{{/list}}",
        ])
        let page = templates.render("page", ["value": hostile, "list": [hostile]] as [String: Any])
        let inner = page.dropFirst("<p title=\"".count).dropLast("</p>".count)
        #expect(inner.unicodeScalars.filter { $0 == "\"" }.count == 1)
        #expect(inner.unicodeScalars.filter { $0 == "<" }.isEmpty)
        #expect(inner.unicodeScalars.filter { $0 == "'" }.isEmpty)
    }

    @Test(arguments: ["{{{value}}}", "{{& value}}", "{{% CONTENT_TYPE:TEXT}}", "{{>nothing}}", "{{#open}}"])
    func refusesWhatWouldNotBeSafe(text: String) {
        #expect(throws: PageTemplates.Unusable.self) { try templates(["page": text]) }
    }
}

@Suite struct AddressTests {
    @Test func readsFormsStrictly() throws {
        let fields = try FormFields("a=1&b=x%20y+z&c=&a=2&d=%C3%BC")
        #expect(fields["a"] == "1")
        #expect(fields.all("a") == ["1", "2"])
        #expect(fields["b"] == "x y z")
        #expect(fields["c"] == nil)
        #expect(fields["d"] == "ü")
    }

    @Test(arguments: ["a=%", "a=%4", "a=%zz", "a=%00", "a=%FF", "%00=a"])
    func refusesWhatCannotBeDecoded(text: String) {
        #expect(throws: WebError.self) { try FormFields(text) }
    }

    @Test(arguments: [
        "plain", "a/b", "..", ".", "ü <&>", "100%", "a.b", "...", "~", "~.", "~..", "~~..", "~a", "%2e%2e", ".%2e",
        "a?b#c",
        " ", "\n", "\r\n\t", "\\", "//", "a/../b", "e\u{301}", "\u{202e}", "+",
    ])
    func escapesSegmentsSoThatTheyComeBack(text: String) {
        let segment = text.segmentOfAddress
        // What a browser takes for a step, whatever is escaped.
        #expect(!segment.contains("/") && ![".", ".."].contains(segment.replacing("%2E", with: ".")))
        #expect(FormFields.segment(segment) == text)
    }

    @Test(arguments: ["transfer-1", "~a", "a.b", "a~.", "%2E"]) func readsOldAddresses(segment: String) {
        #expect(FormFields.segment(segment) == (segment == "%2E" ? "." : segment))
    }
}

@Suite struct StandardMiddlewareTests {
    private func application() -> some ApplicationProtocol {
        let router = Router()
        router.addStandardMiddleware(
            settings: WebSettings(port: 0, allowedHosts: ["pages.example"]),
            errorPage: { error, _ in "<h1>\(error.status.code)</h1>" })
        router.route(
            "thing/:name",
            [
                .get: { _, context in Response(json: .string(try context.pathSegment("name"))) },
                .post: { request, _ in Response(json: try await request.jsonObject()) },
            ])
        router.route("bug", [.get: { _, _ in throw CocoaError(.fileNoSuchFile) }])
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return Application(router: router, logger: logger)
    }

    @Test(arguments: [
        ("/thing/a%20b", 200), ("/nothing", 404), ("/thing/%00", 400), ("/thing/%", 400), ("/thing/%zz", 400),
        ("/thing/%ff", 400), ("/thing/a?x=%00", 400), ("/bug", 500),
    ])
    func answersEveryAddress(address: String, status: Int) async throws {
        try await application().test(.live) { client in
            let response = try await client.executeRequest(uri: address, method: .get, headers: [:], body: nil)
            #expect(response.status.code == status)
            #expect(response.headers[.contentSecurityPolicy]?.hasPrefix("default-src 'none'") == true)
            #expect(response.headers[.xContentTypeOptions] == "nosniff")
            if status >= 400 {
                let body = try JSON(parsing: response.body.readableBytesView)
                #expect(body["error"]?.stringValue?.isEmpty == false)
            }
        }
    }

    @Test func showsAPageToABrowser() async throws {
        try await application().test(.live) { client in
            let response = try await client.executeRequest(
                uri: "/nothing", method: .get, headers: [.accept: "text/html,*/*"], body: nil)
            #expect(String(buffer: response.body) == "<h1>404</h1>")
            #expect(response.status == .notFound)
        }
    }

    @Test(
        arguments: [
            ("https://evil.example", nil, 403), ("null", nil, 403), (nil, "cross-site", 403),
            ("http://localhost", nil, 200),
            (nil, nil, 200), (nil, "same-origin", 200), ("http://localhost.evil.example", nil, 403),
        ] as [(String?, String?, Int)])
    func takesWritesFromItsOwnPagesOnly(origin: String?, site: String?, status: Int) async throws {
        var headers: HTTPFields = [:]
        headers[HTTPField.Name("Origin")!] = origin
        headers[HTTPField.Name("Sec-Fetch-Site")!] = site
        try await application().test(.live) { [headers] client in
            let response = try await client.executeRequest(
                uri: "/thing/a", method: .post, headers: headers, body: ByteBuffer(string: "{}"))
            #expect(response.status.code == status)
        }
    }

    @Test func refusesBodiesThatAreTooLarge() async throws {
        try await application().test(.live) { client in
            let body = ByteBuffer(string: "{\"a\":\"" + String(repeating: "x", count: 1 << 20) + "\"}")
            let response = try await client.executeRequest(uri: "/thing/a", method: .post, headers: [:], body: body)
            #expect(response.status == .contentTooLarge)
        }
    }

    @Test func tellsWhatAnAddressTakes() async throws {
        try await application().test(.live) { client in
            let response = try await client.executeRequest(uri: "/thing/a", method: .delete, headers: [:], body: nil)
            #expect(response.status == .methodNotAllowed)
            #expect(response.headers[.allow] == "GET, HEAD, POST")
        }
    }

    @Test(arguments: [
        ("localhost:8080", true), ("127.0.0.1", true), ("[::1]:8080", true), ("pages.example:80", true),
        ("192.168.1.7", true),
        ("evil.example", false), ("127.0.0.1.evil.example", false), ("localhost.evil.example:8080", false),
    ])
    func answersToItsOwnNamesOnly(host: String, isKnown: Bool) {
        let middleware = KnownHostsOnly<BasicRequestContext>(names: ["pages.example"])
        #expect(middleware.isKnown(host) == isKnown)
    }

    @Test func refusesAPortThatIsNone() {
        #expect(throws: StartupFailure.self) {
            try WebSettings(portVariable: "P", defaultPort: 1, environment: ["P": "eighty"])
        }
    }

    @Test func saysInOneLineThatThePortIsTaken() async throws {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let (ports, continuation) = AsyncStream.makeStream(of: Int.self)
        let first = Task { [logger] in
            try await serve(Router(), settings: WebSettings(port: 0), logger: logger) { continuation.yield($0) }
        }
        defer { first.cancel() }
        let port = try #require(await ports.first { _ in true })
        let failure = await #expect(throws: StartupFailure.self) {
            try await serve(Router(), settings: WebSettings(port: port, portVariable: "SOME_PORT"), logger: logger)
        }
        #expect(failure?.description == "port \(port) of 127.0.0.1 is taken: stop what uses it or set SOME_PORT")
    }
}
