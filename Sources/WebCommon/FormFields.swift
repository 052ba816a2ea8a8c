import Hummingbird

/// The fields of a form, from an address's query or from a body of type `application/x-www-form-urlencoded`.
///
/// Decoded once and strictly: an escape that is not one, bytes that are not UTF-8 and NUL, which PostgreSQL has no text
/// for, are refused and not passed on as they are.
public struct FormFields: Sendable {
    /// In the order of the form.
    public let fields: [(name: String, value: String)]

    /// Throws 400 for what cannot be decoded.
    public init(_ text: some StringProtocol) throws(WebError) {
        var fields: [(name: String, value: String)] = []
        for field in text.utf8.split(separator: UInt8(ascii: "&")) {
            let halves = field.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            fields.append((try Self.decode(halves[0]), halves.count > 1 ? try Self.decode(halves[1]) : ""))
        }
        self.fields = fields
    }

    /// The first value with that name; an empty one counts as none.
    public subscript(name: String) -> String? {
        fields.first { $0.name == name && !$0.value.isEmpty }?.value
    }

    /// All values with that name that are not empty.
    public func all(_ name: String) -> [String] {
        fields.filter { $0.name == name && !$0.value.isEmpty }.map(\.value)
    }

    private static func decode(_ escaped: some Sequence<UInt8>) throws(WebError) -> String {
        guard let text = decoded(escaped, plusIsSpace: true) else {
            throw WebError(.badRequest, "the address or the form holds characters that are not allowed")
        }
        return text
    }

    /// The text behind percent escapes, in a cookie for example; nil for what cannot be decoded.
    public static func text(_ escaped: some StringProtocol) -> String? { decoded(escaped.utf8) }

    /// The text that `String.segmentOfAddress` made a segment of; nil for what cannot be decoded.
    public static func segment(_ escaped: some StringProtocol) -> String? {
        guard let text = decoded(escaped.utf8) else { return nil }
        return text.wholeMatch(of: #/~+\.\.?/#) == nil ? text : String(text.dropFirst())
    }

    /// The text behind percent escapes; nil for a broken escape, for what is not UTF-8, and for NUL.
    static func decoded(_ escaped: some Sequence<UInt8>, plusIsSpace: Bool = false) -> String? {
        var bytes: [UInt8] = []
        var iterator = escaped.makeIterator()
        while let byte = iterator.next() {
            switch byte {
            case UInt8(ascii: "%"):
                guard let high = iterator.next().flatMap(hexDigit), let low = iterator.next().flatMap(hexDigit) else {
                    return nil
                }
                bytes.append(high << 4 | low)
            case UInt8(ascii: "+") where plusIsSpace: bytes.append(UInt8(ascii: " "))
            default: bytes.append(byte)
            }
        }
        return bytes.contains(0) ? nil : String(validating: bytes, as: UTF8.self)
    }

    private static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}

extension Request {
    /// The fields of the address's query. Throws 400 for what cannot be decoded.
    public func queryFields() throws -> FormFields { try FormFields(uri.query ?? "") }

    /// Reads the form that is posted, and leaves the body to be read again; nil for any other request, and for a form
    /// that cannot be decoded. Throws 413 for more than 1 MiB.
    mutating func readForm() async throws -> FormFields? {
        guard method == .post, isForm else { return nil }
        let buffer = try await wholeBody()
        body = .init(buffer: buffer)
        return try? FormFields(String(buffer: buffer))
    }

    private var isForm: Bool {
        headers[.contentType]?.lowercased().hasPrefix("application/x-www-form-urlencoded") == true
    }

    /// The fields of a form in the body. Throws 413 for more than 1 MiB, 415 for another type and 400 for what cannot
    /// be decoded.
    public func formFields() async throws -> FormFields {
        guard isForm else {
            throw WebError(.unsupportedMediaType, "send a form, of type application/x-www-form-urlencoded")
        }
        return try FormFields(String(buffer: try await wholeBody()))
    }
}

extension String {
    /// The text as one segment of an address's path.
    ///
    /// A browser takes `.` and `..` for steps within the path, escaped or not, and so they get a tilde before them. A
    /// text that looks like one of these with its tilde gets another.
    public var segmentOfAddress: String {
        wholeMatch(of: #/~*\.\.?/#) == nil ? escapedForAddress : "~" + escapedForAddress
    }

    /// The text as one value of an address's query.
    public var escapedForAddress: String {
        var escaped = ""
        for byte in utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "~"),
                UInt8(ascii: "."):
                escaped.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                let hex = String(byte, radix: 16, uppercase: true)
                escaped += hex.count == 1 ? "%0\(hex)" : "%\(hex)"
            }
        }
        return escaped
    }
}
