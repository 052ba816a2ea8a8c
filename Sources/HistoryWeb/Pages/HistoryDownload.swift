import HTTPTypes
import Hummingbird
import WebCommon

/// `…/{run id}/history.json`: the history as Temporal's tools read it, sent as it is read.
struct HistoryDownload: Page {
    private static let batch = 1000

    func addRoutes(to router: SiteRouter, of site: Site) {
        router.route(
            .init(RunPage.route + "/history.json"),
            [
                .get: { _, context in
                    let run = try await site.run(context)
                    let first = try await site.store.events(of: run, from: 1, limit: Self.batch)
                    let body = ResponseBody { writer in
                        var events = first
                        var text = "{\"events\":["
                        while !events.isEmpty {
                            text += try events.map { try $0.temporalJSON.text }.joined(separator: ",\n")
                            let last = events[events.count - 1].id
                            events =
                                events.count < Self.batch
                                ? [] : try await site.store.events(of: run, from: last + 1, limit: Self.batch)
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
