import HTTPTypes
import Hummingbird
import WebCommon

/// `…/{run id}/history.json`: the history as Temporal's tools read it, sent as it is read.
struct HistoryDownload: Page {
    /// How much is read at a time.
    private static let pageBytes = 4 << 20

    func addRoutes(to router: SiteRouter, of site: Site) {
        router.route(
            .init(RunPage.route + "/history.json"),
            [
                .get: { _, context in
                    let run = try await site.run(context)
                    let first = try await site.store.events(of: run, from: 1, bytes: Self.pageBytes)
                    let body = ResponseBody { writer in
                        var events = first
                        var text = "{\"events\":["
                        while let last = events.last?.id {
                            text += events.map(\.temporalJSON.text).joined(separator: ",\n")
                            events = try await site.store.events(of: run, from: last + 1, bytes: Self.pageBytes)
                            if !events.isEmpty { text += ",\n" }
                            try await writer.write(ByteBuffer(string: text))
                            text = ""
                        }
                        try await writer.write(ByteBuffer(string: text + "]}\n"))
                        try await writer.finish(nil)
                    }
                    return Response(
                        status: .ok,
                        headers: [
                            .contentType: "application/json; charset=utf-8", .cacheControl: "no-store",
                            // The id is anybody's text, the run id is ours.
                            .contentDisposition: "attachment; filename=\"history-\(run.runID).json\"",
                        ], body: body)
                }
            ])
    }
}
