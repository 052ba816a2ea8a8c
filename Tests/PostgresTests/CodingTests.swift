import Foundation
import Postgres
import Testing

/// Values go to the server and come back; the server's own text form tells what it understood.
@Suite struct CodingTests {
    private func roundTrip<T: PostgresScalar & Equatable>(
        _ values: [T], as type: String, text: ((T) -> String)? = nil, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        try await withConnection { connection async throws in
            for value in values {
                let row = try await connection.query(
                    "select \(value), \(value)::text, pg_typeof(\(value))::text, \(Optional(value)), \(T?.none)")[0]
                #expect(try row.decode(T.self, at: 0) == value, sourceLocation: sourceLocation)
                if let text {
                    #expect(try row.decode(String.self, at: 1) == text(value), sourceLocation: sourceLocation)
                }
                #expect(try row.decode(String.self, at: 2) == type, sourceLocation: sourceLocation)
                #expect(try row.decode(T?.self, at: 3) == value, sourceLocation: sourceLocation)
                #expect(try row.decode(T?.self, at: 4) == nil, sourceLocation: sourceLocation)
            }
            let row = try await connection.query(
                "select \(values), cardinality(\(values)), \([T]()), \(values.map(Optional.some) + [nil])")[0]
            #expect(try row.decode([T].self, at: 0) == values, sourceLocation: sourceLocation)
            #expect(try row.decode(Int.self, at: 1) == values.count, sourceLocation: sourceLocation)
            #expect(try row.decode([T].self, at: 2) == [], sourceLocation: sourceLocation)
            #expect(try row.decode([T?].self, at: 3) == values + [nil], sourceLocation: sourceLocation)
            let error = try await postgresError { _ = try row.decode([T].self, at: 3) }
            #expect(error.kind == .decoding, sourceLocation: sourceLocation)
        }
    }

    @Test func integers() async throws {
        var random = Random(seed: 1)
        try await roundTrip(
            [0, 1, -1, .min, .max] + (0..<50).map { _ in Int16.random(in: .min ... .max, using: &random) },
            as: "smallint", text: \.description)
        try await roundTrip(
            [0, 1, -1, .min, .max] + (0..<50).map { _ in Int32.random(in: .min ... .max, using: &random) },
            as: "integer", text: \.description)
        try await roundTrip(
            [0, 1, -1, .min, .max] + (0..<50).map { _ in Int64.random(in: .min ... .max, using: &random) },
            as: "bigint", text: \.description)
        try await roundTrip([0, .min, .max], as: "bigint", text: \Int.description)
        try await roundTrip([true, false], as: "boolean", text: \.description)
    }

    @Test func `an integer is read from any width that fits, and refused otherwise`() async throws {
        try await withConnection { connection async throws in
            let row = try await connection.query(
                """
                select 7::int2, 7::int4, 7::int8, 7::numeric, 7::oid, 40000::int4, 1e30::numeric,
                    7.5::numeric, 'NaN'::numeric
                """
            )[0]
            for index in 0..<5 {
                #expect(try row.decode(Int16.self, at: index) == 7)
                #expect(try row.decode(Int.self, at: index) == 7)
            }
            for index in 5..<9 {
                let error = try await postgresError { _ = try row.decode(Int16.self, at: index) }
                #expect(error.message.contains("does not fit"))
            }
        }
    }

    @Test func floats() async throws {
        var random = Random(seed: 2)
        let special: [Double] = [
            0, -0.0, 1, .pi, .infinity, -.infinity, .leastNonzeroMagnitude, .greatestFiniteMagnitude, .ulpOfOne,
        ]
        let doubles = special + (0..<100).map { _ in Double(bitPattern: random.next()) }.filter { !$0.isNaN }
        try await roundTrip(doubles, as: "double precision")
        try await roundTrip(
            [0, .infinity, .pi, .leastNonzeroMagnitude, .greatestFiniteMagnitude] as [Float], as: "real")
        try await withConnection { connection async throws in
            let nan = try await connection.value("select \(Double.nan)", as: Double.self)
            #expect(nan.isNaN)
            #expect(try await connection.value("select \(-0.0)", as: Double.self).sign == .minus)
            #expect(try await connection.value("select 1.5::float4", as: Double.self) == 1.5)
        }
    }

    @Test(arguments: [
        "0", "0.00", "-0.001", "1", "-1", "10000", "9999", "100000000", "0.0001", "0.00001", "123456789.987654321",
        "1e20", "1e-20", "1e130", "99999999999999999999999999999999.99999999999999999999999999",
        "-12345678901234567890",
        "NaN", "Infinity", "-Infinity", "1000000000000000000000000000000000000.5",
    ])
    func `numeric is read as the text that the server writes`(text: String) async throws {
        try await withConnection { connection async throws in
            let row = try await connection.query("select \(text)::text::numeric, \(text)::text::numeric::text")[0]
            #expect(try row.decode(String.self, at: 0) == row.decode(String.self, at: 1))
            let number = try row.decode(Double.self, at: 0)
            #expect(number == Double(text) || number.isNaN && text == "NaN")
        }
    }

    @Test func text() async throws {
        var random = Random(seed: 3)
        let alphabet = Array("aé'\"\\$1%\u{0}ü漢🧵\n\t\u{7f}\u{301}").filter { $0 != "\u{0}" }
        let texts =
            ["", " ", "null", "{}", "\\", "'; drop table x; --", String(repeating: "x", count: 100_000)]
            + (0..<50).map { _ in String((0..<20).map { _ in alphabet.randomElement(using: &random)! }) }
        try await roundTrip(texts, as: "text", text: { $0 })
        try await withConnection { connection async throws in
            let error = try await postgresError { try await connection.query("select \("a\u{0}b")") }
            #expect(error.sqlState == "22021")
            // Whatever is text on the wire reads as text.
            let row = try await connection.query(
                "select 'a'::name, 'a'::varchar, 'a '::char(2), 'a', '{\"a\": 1}'::json, '{\"a\": 1}'::jsonb")[0]
            #expect(try row.decode(String.self, at: 0) == "a")
            #expect(try row.decode(String.self, at: 2) == "a ")
            #expect(try row.decode(String.self, at: 5) == "{\"a\": 1}")
            let names = try await connection.query("select array_agg(x order by x) from unnest('{b,a}'::name[]) x")
            #expect(try names[0].decode([String].self, at: 0) == ["a", "b"])
            let others = try await connection.query(
                "select '{a,b}'::varchar[], '{1.50,2}'::numeric[], '{1,2}'::oid[], array['1']::json[]")[0]
            #expect(try others.decode([String].self, at: 0) == ["a", "b"])
            #expect(try others.decode([String].self, at: 1) == ["1.50", "2"])
            #expect(try others.decode([Int].self, at: 2) == [1, 2])
            #expect(try others.decode([PostgresJSON].self, at: 3) == [PostgresJSON("1")])
        }
    }

    @Test func bytes() async throws {
        var random = Random(seed: 4)
        let blobs: [[UInt8]] =
            [[], [0], Array(0...255)]
            + (0..<30).map { count in (0..<count * 40).map { _ in UInt8.random(in: 0...255, using: &random) } }
        try await withConnection { connection async throws in
            for blob in blobs {
                let row = try await connection.query(
                    "select \(blob), \(Data(blob)), encode(\(blob), 'hex'), octet_length(\(blob))")[0]
                #expect(try row.decode([UInt8].self, at: 0) == blob)
                #expect(try row.decode(Data.self, at: 1) == Data(blob))
                #expect(
                    try row.decode(String.self, at: 2) == blob.map { String(format: "%02x", $0) }.joined())
                #expect(try row.decode(Int.self, at: 3) == blob.count)
            }
            #expect(try await connection.value("select \(blobs)", as: [[UInt8]].self) == blobs)
            #expect(try await connection.value("select \([UInt8]?.none)", as: [UInt8]?.self) == nil)
        }
        try await roundTrip(blobs.map { Data($0) }, as: "bytea")
    }

    @Test func json() async throws {
        let texts = [
            "null", "true", "0", "-1.50", "1e400", "\"\"", "\"é漢🧵\\\"\\\\\"", "[]", "{}", "[1, [2, {\"a\": null}]]",
            "123456789012345678901234567890.12345678901234567890",
        ]
        try await withConnection { connection async throws in
            for text in texts {
                let row = try await connection.query("select \(PostgresJSON(text)), \(text)::text::jsonb::text")[0]
                #expect(try row.decode(PostgresJSON.self, at: 0).string == row.decode(String.self, at: 1))
            }
            for (text, state) in [("{", "22P02"), ("", "22P02"), ("\"\\u0000\"", "22P05"), ("NaN", "22P02")] {
                let error = try await postgresError { try await connection.query("select \(PostgresJSON(text))") }
                #expect(error.sqlState == state)
            }
        }
        try await roundTrip([PostgresJSON("{\"a\": [1, 2]}"), PostgresJSON("null")], as: "jsonb", text: \.string)
    }

    @Test func `dates are exact to the microsecond, and the extremes of timestamptz hold`() async throws {
        var random = Random(seed: 5)
        // 285 years on either side of 2001 are exact.
        let range: Int64 = 285 * 365 * 86_400 * 1_000_000
        let dates =
            [0, 1, -1, range, -range].map { Date(timeIntervalSinceReferenceDate: Double($0) / 1e6) }
            + (0..<200).map { _ in
                Date(timeIntervalSinceReferenceDate: Double(Int64.random(in: -range...range, using: &random)) / 1e6)
            }
        try await roundTrip(dates, as: "timestamp with time zone")
        try await withConnection { connection async throws in
            for date in dates {
                let seconds = try await connection.query("select extract(epoch from \(date))::text")[0]
                    .decode(String.self, at: 0)
                let microseconds = Int64(seconds.replacing(".", with: ""))
                let own = Int64((date.timeIntervalSinceReferenceDate * 1e6).rounded()) + 978_307_200_000_000
                #expect(microseconds == own)
            }
            let first = try await connection.value("select '4713-01-01 BC 00:00:00+00'::timestamptz", as: Date.self)
            let last = try await connection.value(
                "select '294276-12-31 23:59:58+00'::timestamptz", as: Date.self)
            for date in [first, last] {
                #expect(abs(try await connection.value("select \(date)", as: Date.self).timeIntervalSince(date)) < 0.01)
            }
            for date in [Date.distantFuture, .distantPast] {
                #expect(try await connection.value("select \(date)", as: Date.self) == date)
            }
            for seconds in [1e14, -1e14, .infinity, -.infinity, .nan] {
                let date = Date(timeIntervalSinceReferenceDate: seconds)
                let error = try await postgresError { try await connection.query("select \(date)::text") }
                #expect(error.sqlState == "22008")
            }
            for text in ["infinity", "-infinity"] {
                let error = try await postgresError {
                    _ = try await connection.value("select \(text)::text::timestamptz", as: Date.self)
                }
                #expect(error.kind == .decoding)
            }
        }
    }

    @Test func durations() async throws {
        var random = Random(seed: 6)
        let durations =
            [Duration.zero, .microseconds(1), .microseconds(-1), .seconds(86_400 * 40), .seconds(-90)]
            + (0..<50).map { _ in .microseconds(Int64.random(in: -1 << 60...1 << 60, using: &random)) }
        try await roundTrip(durations, as: "interval")
        try await withConnection { connection async throws in
            let day = try await connection.value("select interval '2 days 01:00:00.000001'", as: Duration.self)
            #expect(day == .seconds(2 * 86_400 + 3600) + .microseconds(1))
            // Beyond what an interval holds is its end, not a wrapped number.
            let long = Duration.seconds(Int64.max / 1_000_000) + .seconds(1)
            #expect(try await connection.value("select \(long) > interval '290000 years'", as: Bool.self))
            let error = try await postgresError {
                _ = try await connection.value("select interval '1 month'", as: Duration.self)
            }
            #expect(error.message.contains("months"))
        }
    }

    @Test func `identifiers and enumerations`() async throws {
        let ids = (0..<20).map { _ in UUID() }
        try await roundTrip(ids, as: "uuid", text: { $0.uuidString.lowercased() })
        try await withConnection { connection async throws in
            try await connection.simpleQuery("create type pg_temp.mood as enum ('sad', 'glad')")
            let row = try await connection.query(
                """
                select \(Mood.glad)::pg_temp.mood, \([Mood.sad.rawValue, "glad"])::text[]::pg_temp.mood[],
                    'angry', 3::int4
                """
            )[0]
            #expect(try row.decode(Mood.self, at: 0) == .glad)
            #expect(try row.decode([String].self, at: 1) == ["sad", "glad"])
            let error = try await postgresError { _ = try row.decode(Mood.self, at: 2) }
            #expect(error.message.contains("angry"))
        }
    }

    private enum Mood: String, PostgresEncodable, PostgresDecodable { case sad, glad }

    @Test func `what does not fit says which column, and what to do`() async throws {
        try await withConnection { connection async throws in
            let row = try await connection.query(
                "select null::int as a, 'x' as b, '{{1,2},{3,4}}'::int[] as c, now()::timestamp as d")[0]
            let null = try await postgresError { _ = try row.decode(Int.self, "a") }
            #expect(null.message == "column \"a\" is NULL")
            #expect(null.hint != nil)
            let type = try await postgresError { _ = try row.decode(Int.self, "b") }
            #expect(type.message.contains("\"b\" is text"))
            let dimensions = try await postgresError { _ = try row.decode([Int].self, "c") }
            #expect(dimensions.message.contains("dimensions"))
            let time = try await postgresError { _ = try row.decode(Date.self, "d") }
            #expect(time.message.contains("timestamp without time zone"))
            let missing = try await postgresError { _ = try row.decode(Int.self, "e") }
            #expect(missing.message.contains("a, b, c, d"))
            let place = try await postgresError { _ = try row.decode(Int.self, at: 9) }
            #expect(place.message.contains("4"))
        }
    }

    @Test func `a row outlives its connection`() async throws {
        let row = try await withConnection { try await $0.query("select 'kept' as a, 5 as b")[0] }
        #expect(try row.decode(String.self, "a") == "kept")
        #expect(try row.decode(Int.self, "b") == 5)
    }
}
