import GRPCCore

/// `grpc.health.v1.Health/Check`, whose messages have one field each: the name of a service, and how it is.
enum HealthCheck {
    private static let isServing: [UInt8] = [0x08, 0x01]

    /// - Parameter services: the names of those that this process serves; no name means all of them.
    static func answer(_ request: [UInt8], services: Set<String>) throws -> [UInt8] {
        let asked: String
        do {
            asked = try service(request)
        } catch {
            throw RPCError(code: .invalidArgument, message: error.description)
        }
        guard asked.isEmpty || services.contains(asked) else {
            throw RPCError(code: .notFound, message: "unknown service")
        }
        return isServing
    }

    private static func service(_ request: [UInt8]) throws(TranscodingError) -> String {
        let read = request.withUnsafeBufferPointer { bytes -> Result<String, TranscodingError> in
            Result { () throws(TranscodingError) in
                var reader = ProtobufReader(bytes, 0..<bytes.count)
                var name = ""
                while !reader.isAtEnd {
                    if case (1, .bytes(let range)) = try reader.next() {
                        name = String(decoding: bytes[range], as: UTF8.self)
                    }
                }
                return name
            }
        }
        return try read.get()
    }
}
