import Foundation
import WebCommon

/// The code of a mode. The package copies the files from `Sources/Bank/Modes`, so that the text is what this build was
/// made of.
struct CodeListing: Sendable {
    let file: String
    let text: SwiftText

    static func file(of mode: TransferMode) -> String {
        switch mode {
        case .plain: "PlainTransfer.swift"
        case .retrying: "RetryingTransfer.swift"
        case .durable: "TransferWorkflow.swift"
        }
    }

    /// - Parameter folder: where the build put the file.
    init(of mode: TransferMode, in folder: URL) throws {
        file = Self.file(of: mode)
        let source = try String(contentsOf: folder.appendingPathComponent(file), encoding: .utf8)
        text = SwiftText(source.trimmingCharacters(in: .newlines))
    }
}
