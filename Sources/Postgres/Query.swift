/// A statement whose interpolated values are bound parameters, never text.
///
///     let rows = try await connection.query("select * from accounts where id = \(id) and open = \(open)")
///
/// sends `… where id = $1 and open = $2` and the two values beside it. An optional that is nil binds NULL.
public struct PostgresQuery: ExpressibleByStringInterpolation, Sendable {
    /// The statement with `$1`, `$2` … in place of the values.
    public var sql: String
    public private(set) var binds: PostgresBinds

    /// Takes SQL as it stands. Whoever builds `sql` from strings answers for what is in it.
    /// - Parameter binds: the values of `$1`, `$2` …; an untyped nil leaves its type to the server.
    public init(_ sql: String, binds: [(any PostgresEncodable)?] = []) {
        self.sql = sql
        self.binds = PostgresBinds()
        for value in binds { bind(value) }
    }

    public init(stringLiteral sql: String) { self.init(sql) }

    public init(stringInterpolation: StringInterpolation) { self = stringInterpolation.query }

    /// Adds the value of the next parameter, for statements built by hand, and returns its number (1 is `$1`).
    @discardableResult
    public mutating func bind(_ value: (any PostgresEncodable)?) -> Int {
        if let value { binds.append(value) } else { binds.appendNull(type: 0) }
        return binds.count
    }

    /// Refuses what libpq would cut short or could not send.
    func check() throws(PostgresError) {
        guard !sql.utf8.contains(0) else {
            throw PostgresError(.server, "the statement contains a zero byte", sqlState: "22021")
        }
        guard binds.count <= 65_535 else {
            throw PostgresError(
                .server, "a statement takes at most 65,535 parameters, and this one has \(binds.count)",
                sqlState: "54011",
                hint: "Bind arrays and use unnest.")
        }
    }

    public struct StringInterpolation: StringInterpolationProtocol {
        var query = PostgresQuery("")

        public init(literalCapacity: Int, interpolationCount: Int) {
            query.sql.reserveCapacity(literalCapacity + interpolationCount * 3)
        }

        public mutating func appendLiteral(_ literal: String) { query.sql += literal }

        public mutating func appendInterpolation(_ value: some PostgresEncodable) {
            query.binds.append(value)
            query.sql += "$\(query.binds.count)"
        }

        /// A value that may be nil, which binds NULL.
        public mutating func appendInterpolation<Value: PostgresEncodable>(_ value: Value?) {
            query.binds.append(value)
            query.sql += "$\(query.binds.count)"
        }

        /// Splices SQL as it stands, for what cannot be a parameter (a constant column list, say). Never pass input
        /// here.
        public mutating func appendInterpolation(unescaped sql: String) { query.sql += sql }
    }
}

/// The encoded values of a statement's parameters, in the arrays that libpq wants.
public struct PostgresBinds: Sendable {
    private(set) var types: [UInt32] = []
    private var formats: [Int32] = []
    /// Bytes of each value; -1 is NULL.
    private var lengths: [Int32] = []
    /// All values, one after another.
    private var bytes: [UInt8] = []

    public var count: Int { types.count }

    mutating func append<Value: PostgresEncodable>(_ value: Value) {
        guard !value.isPostgresNull else { return appendNull(type: Value.postgresType) }
        let start = bytes.count
        value.encodePostgres(into: &bytes)
        types.append(Value.postgresType)
        formats.append(Value.postgresFormat.rawValue)
        lengths.append(Int32(bytes.count - start))
    }

    mutating func appendNull(type: UInt32) {
        types.append(type)
        formats.append(PostgresFormat.binary.rawValue)
        lengths.append(-1)
    }

    /// Hands `PQsendQueryParams` and its kin their arrays, valid for the call only.
    func withArrays<T>(
        _ body: (
            _ count: Int32, _ types: UnsafePointer<UInt32>?, _ values: UnsafePointer<UnsafePointer<CChar>?>?,
            _ lengths: UnsafePointer<Int32>?, _ formats: UnsafePointer<Int32>?
        ) -> T
    ) -> T {
        guard count > 0 else { return body(0, nil, nil, nil, nil) }
        return types.withUnsafeBufferPointer { types in
            bytes.withUnsafeBytes { bytes in
                // Empty values are not NULL, so they need an address, if only any one.
                let base = bytes.baseAddress ?? UnsafeRawPointer(types.baseAddress!)
                var offset = 0
                let values = lengths.map { length -> UnsafePointer<CChar>? in
                    guard length >= 0 else { return nil }
                    defer { offset += Int(length) }
                    return (base + offset).assumingMemoryBound(to: CChar.self)
                }
                return body(Int32(count), types.baseAddress, values, lengths, formats)
            }
        }
    }
}
