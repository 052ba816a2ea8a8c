import Foundation
import Hummingbird
import Mustache

/// The mustache templates of a folder, in which everything is escaped.
///
/// A template that asks for unescaped text, or for a partial that is not there, is refused when the folder is read and
/// not when somebody looks at the page.
public struct PageTemplates: Sendable {
    private let library: MustacheLibrary

    public struct Unusable: Error, CustomStringConvertible {
        public let description: String
    }

    /// - Parameter folder: its files `*.mustache`, also those in sub-folders, are named by their path without the
    ///   ending.
    public init(folder: URL) throws {
        MustacheContentTypes.register(EscapedText(), named: EscapedText.name)
        var texts: [String: String] = [:]
        for path in try FileManager.default.subpathsOfDirectory(atPath: folder.path) where path.hasSuffix(".mustache") {
            texts[String(path.dropLast(".mustache".count))] = try String(
                contentsOf: folder.appendingPathComponent(path), encoding: .utf8)
        }
        var templates: [String: MustacheTemplate] = [:]
        for (name, text) in texts {
            if text.contains("{{{") || text.contains(#/{{\s*&/#) || text.contains(#/{{\s*%/#) {
                throw Unusable(description: "the template \(name) would write unescaped text")
            }
            for partial in text.matches(of: #/{{\s*[><]\s*([^\s}]+)\s*}}/#) where texts[String(partial.1)] == nil {
                throw Unusable(description: "the template \(name) uses \(partial.1), which is not there")
            }
            do {
                // Not inherited by partials, hence in each.
                templates[name] = try MustacheTemplate(string: "{{% CONTENT_TYPE:\(EscapedText.name)}}\n" + text)
            } catch {
                throw Unusable(description: "the template \(name) cannot be read: \(error)")
            }
        }
        library = MustacheLibrary(templates: templates)
    }

    /// The page that the template makes of the values. A template that is not there is a mistake in the program.
    public func render(_ name: String, _ values: Any) -> String {
        guard let page = library.render(values, withTemplate: name) else {
            preconditionFailure("there is no template \(name)")
        }
        return page
    }
}

/// Escapes scalar by scalar. The library's own escaping goes by whole characters, so a quote with a combining mark
/// after it passes, and ends the attribute that it stands in.
struct EscapedText: MustacheContentType {
    static let name = "ESCAPED"

    func escapeText(_ text: String) -> String {
        var escaped: [UInt8] = []
        escaped.reserveCapacity(text.utf8.count)
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "<"): escaped += "&lt;".utf8
            case UInt8(ascii: ">"): escaped += "&gt;".utf8
            case UInt8(ascii: "&"): escaped += "&amp;".utf8
            case UInt8(ascii: "\""): escaped += "&quot;".utf8
            case UInt8(ascii: "'"): escaped += "&#39;".utf8
            default: escaped.append(byte)
            }
        }
        return String(decoding: escaped, as: UTF8.self)
    }
}

extension Response {
    /// A page that no cache keeps.
    public init(page: String, status: HTTPResponse.Status = .ok, headers: HTTPFields = [:]) {
        var headers = headers
        headers[.contentType] = "text/html; charset=utf-8"
        headers[.cacheControl] = "no-store"
        self.init(status: status, headers: headers, body: .init(byteBuffer: ByteBuffer(string: page)))
    }
}
