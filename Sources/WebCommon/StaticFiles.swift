import Foundation
import HTTPTypes
import Hummingbird

/// The files of a folder, read once at start and served from memory with an entity tag.
public struct StaticFiles: Sendable {
    private struct File: Sendable {
        let body: ByteBuffer
        let type: String
        let tag: String
    }

    private let files: [String: File]

    /// - Parameter folder: read with its sub-folders. Throws if it is not there.
    public init(folder: URL) throws {
        var files: [String: File] = [:]
        for path in try FileManager.default.subpathsOfDirectory(atPath: folder.path) {
            let url = folder.appendingPathComponent(path)
            guard !path.hasPrefix("."), let type = Self.types[url.pathExtension] else { continue }
            let data = try Data(contentsOf: url)
            files[path] = File(body: ByteBuffer(bytes: data), type: type, tag: "\"\(Self.fingerprint(data))\"")
        }
        self.files = files
    }

    /// The file at a path relative to the folder. A browser may keep it but asks each time whether it has changed.
    public func response(for path: String, request: Request) throws -> Response {
        guard let file = files[path] else { throw WebError(.notFound, "there is nothing at this address") }
        var headers: HTTPFields = [.eTag: file.tag, .cacheControl: "no-cache", .contentType: file.type]
        if request.headers[.ifNoneMatch] == file.tag {
            headers[.contentType] = nil
            return Response(status: .notModified, headers: headers)
        }
        return Response(status: .ok, headers: headers, body: .init(byteBuffer: file.body))
    }

    private static let types = [
        "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml",
        "png": "image/png", "ico": "image/x-icon", "woff2": "font/woff2", "txt": "text/plain; charset=utf-8",
    ]

    /// FNV-1a in 64 bits: it tells versions of a file apart and guards nothing.
    private static func fingerprint(_ data: Data) -> String {
        let hash = data.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        return String(hash, radix: 16)
    }
}
