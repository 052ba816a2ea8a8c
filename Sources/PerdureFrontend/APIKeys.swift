import Foundation
import GRPCCore

/// The keys of which a client must show one, as `authorization: Bearer KEY`; none, and whoever connects may call.
///
/// Several are taken at a time, so that a key can be replaced: add the new one, move the clients, take the old one
/// away.
struct APIKeys: Sendable {
    /// A key that can be guessed protects nothing.
    private static let shortest = 16

    private let keys: [[UInt8]]

    var isEmpty: Bool { keys.isEmpty }

    init() { keys = [] }

    /// Reads keys that are separated by white space; what follows a `#` at the beginning of a line is a comment.
    ///
    /// - Parameter origin: what the text is, for messages, which never hold a key.
    /// - Throws: ``FrontendFailure`` when there is no key, or one that cannot be used.
    init(_ text: String, origin: String) throws {
        let lines = text.split(whereSeparator: \.isNewline)
        keys = lines.filter { !$0.drop(while: \.isWhitespace).hasPrefix("#") }
            .flatMap { $0.split(whereSeparator: \.isWhitespace) }.map { Array($0.utf8) }
        guard !keys.isEmpty else {
            throw FrontendFailure("\(origin) has no key: write one a line, or do not set it")
        }
        guard keys.allSatisfy({ $0.count >= Self.shortest }) else {
            throw FrontendFailure(
                "\(origin) has a key of less than \(Self.shortest) bytes: make one with openssl rand -hex 32")
        }
        guard keys.allSatisfy({ $0.allSatisfy { (0x21...0x7E).contains($0) } }) else {
            throw FrontendFailure("\(origin) has a key with a character that no header can hold: use ASCII")
        }
    }

    /// - Throws: UNAUTHENTICATED unless the metadata of a call hold one of the keys.
    func check(_ metadata: Metadata) throws {
        guard !isEmpty else { return }
        guard let header = Array(metadata[stringValues: "authorization"]).first else {
            throw RPCError(
                code: .unauthenticated,
                message: "This server wants an API key: send it as \"authorization: Bearer KEY\" (api_key of the SDKs)")
        }
        let words = header.split(separator: " ", maxSplits: 1)
        guard words.count == 2, words[0].lowercased() == "bearer", contains(Array(words[1].utf8)) else {
            throw RPCError(code: .unauthenticated, message: "The API key is not one of this server's")
        }
    }

    /// Takes as long for any key of a length, and looks at all keys, so that the time tells nothing of them.
    func contains(_ given: [UInt8]) -> Bool {
        var isFound = false
        for key in keys {
            var difference = UInt8(key.count == given.count ? 0 : 1)
            for (place, byte) in given.enumerated() { difference |= byte ^ key[place % key.count] }
            isFound = (difference == 0) || isFound
        }
        return isFound
    }
}
