import Foundation
import HTTPTypes
import Hummingbird

/// The files of a folder, read once at start and served from memory with an entity tag.
public struct StaticFiles: Sendable {
    private struct File: Sendable {
        let body: ByteBuffer
        let type: String
        let version: String
        var tag: String { "\"\(version)\"" }
    }

    private let files: [String: File]

    /// - Parameter folder: read with its sub-folders, beside the files that all pages share. Throws if it is not there.
    public init(folder: URL) throws {
        var files: [String: File] = [:]
        for folder in [try Self.resources("Public", of: .module), folder] {
            for path in try FileManager.default.subpathsOfDirectory(atPath: folder.path) {
                let url = folder.appendingPathComponent(path)
                guard !path.hasPrefix("."), let type = Self.types[url.pathExtension] else { continue }
                let data = try Data(contentsOf: url)
                files[path] = File(body: ByteBuffer(bytes: data), type: type, version: Self.fingerprint(data))
            }
        }
        self.files = files
    }

    /// The folder that a target's build put beside its executable, whatever directory it was started in.
    public static func resources(_ folder: String, of bundle: Bundle) throws(StartupFailure) -> URL {
        guard let url = bundle.resourceURL?.appendingPathComponent(folder, isDirectory: true),
            FileManager.default.fileExists(atPath: url.path)
        else {
            throw StartupFailure("the folder \(folder) is missing from \(bundle.bundlePath): build or install again")
        }
        return url
    }

    /// The address of a file below a prefix, with what tells its version, so that a browser may keep it for good.
    public func address(of path: String, below prefix: String) -> String {
        guard let file = files[path] else { preconditionFailure("there is no file \(path)") }
        return "\(prefix)/\(path)?v=\(file.version)"
    }

    /// The file at a path relative to the folder. A browser keeps it if the address tells the version; otherwise it
    /// asks each time whether the file has changed.
    public func response(for path: String, request: Request) throws -> Response {
        guard let file = files[path] else { throw WebError(.notFound, "there is nothing at this address") }
        let isVersioned = request.uri.query == "v=\(file.version)"
        var headers: HTTPFields = [
            .eTag: file.tag, .contentType: file.type,
            .cacheControl: isVersioned ? "public, max-age=31536000, immutable" : "no-cache",
        ]
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
