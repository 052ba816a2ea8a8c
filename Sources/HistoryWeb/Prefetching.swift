import HTTPTypes
import Hummingbird
import WebCommon

/// Lets a browser fetch a run's page while the pointer rests on its row, so that it is there when it is clicked.
///
/// The browser decides: it waits until the pointer has stayed for a moment, fetches an address once, keeps few, and
/// leaves it where data are to be saved. One that does not know of such rules fetches nothing ahead.
enum Prefetching {
    static let path = "/prefetching.json"

    /// What a page with such rows says of it.
    static let header = HTTPField(name: HTTPField.Name("Speculation-Rules")!, value: "\"\(path)\"")

    static var rules: Response {
        Response(
            status: .ok,
            headers: [.contentType: "application/speculationrules+json", .cacheControl: "public, max-age=3600"],
            body: .init(
                byteBuffer: ByteBuffer(
                    string: """
                        {"prefetch": [{"where": {"selector_matches": "#runs tbody th a"}, "eagerness": "moderate"}]}
                        """)))
    }
}
