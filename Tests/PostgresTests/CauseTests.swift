import Postgres
import Testing

@Suite("Causes of errors")
struct CauseTests {
    private static let table: [(states: [String], cause: PostgresError.Cause)] = [
        (["22P02", "22P05", "22021", "22003", "22008", "22001", "22023", "22030", "54000", "54001", "54011"], .value),
        (["08000", "08003", "08006", "08P01", "53300", "57P01", "57P02", "57P03", "57P05"], .unreachable),
        (["57014", "55P03", "25P03", "25P04"], .timeout),
        (["40001", "40P01", "40003", "55006"], .conflict),
        (["53000", "53100", "53200", "53400", "58000", "58030", "XX000", "XX001", "XX002", "F0000"], .serverFailure),
        (["25006"], .readOnly),
        (["3F000", "42P01", "42703", "42704", "42883"], .missingObject),
        (["42501", "28000", "28P01", "3D000", "57P04"], .permission),
        (
            [
                "23505", "23503", "23514", "23502", "P0001", "42601", "42804", "0A000", "22012", "25P02", "PD003",
                "BK001",
            ], .rule
        ),
    ]

    @Test("Each SQLSTATE has its cause, and a lost connection is one whatever else is known", arguments: table)
    func states(states: [String], cause: PostgresError.Cause) {
        for state in states {
            let error = PostgresError(.server, "", sqlState: state)
            #expect(error.cause == cause, "\(state)")
            let passes: Set<PostgresError.Cause> = [.unreachable, .timeout, .conflict, .serverFailure, .readOnly]
            #expect(error.mayPass == passes.contains(cause), "\(state)")
            // Whatever was repeated before is now.
            if error.isRetryable { #expect(error.mayPass, "\(state)") }
        }
    }

    @Test("Errors that no server sent")
    func kinds() {
        #expect(PostgresError(.connection, "").cause == .unreachable)
        #expect(PostgresError(.poolTimeout, "").cause == .unreachable)
        #expect(PostgresError(.configuration, "").cause == .permission)
        #expect(PostgresError(.cancelled, "").cause == .cancelled)
        #expect(PostgresError(.closed, "").cause == .cancelled)
        #expect(PostgresError(.decoding, "").cause == .rule)
    }
}
