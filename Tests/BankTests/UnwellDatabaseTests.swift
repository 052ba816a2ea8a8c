import Bank
import Foundation
import Postgres
import TestSupport
import Testing
import WebCommon

@testable import AccountAPI

extension EndToEnd {
    @Suite struct UnwellDatabaseTests {
        /// Promise: money is conserved and no success is recorded as a failure, whatever the database says to a report.
        @Test func reportsAreRefusedAtRandom() async throws {
            try await TransferSetting.with { setting in
                let pool = setting.database.pool
                try await pool.withConnection { try await $0.simpleQuery(Self.refusals) }
                var ids: [String] = []
                try await withWorkers(2, database: setting.database, accountAPI: setting.accountAPI) { _ in
                    let letters = Array("ABCDEFGHIJ")
                    // Reports that come in one call are refused together: as many transfers as it takes.
                    let start = ContinuousClock.now
                    while try await setting.count("select last_value from public.refusals") <= 30 {
                        try #require(start.duration(to: .now) < .seconds(90), "reports are hardly ever refused")
                        for number in ids.count..<ids.count + 10 {
                            ids.append(
                                try await setting.start(
                                    "account_\(letters[number % 10])", "account_\(letters[(number + 3) % 10])",
                                    Int64(number % 30 + 1)))
                        }
                        try await setting.waitUntilAllHaveEnded()
                    }
                    for id in ids { #expect(try await setting.transfer(id)["status"]?.stringValue == "COMPLETED") }
                }
                #expect(
                    try await setting.count(
                        """
                        select count(*) from perdure.history_events
                        where event_type in ('ActivityTaskFailed', 'WorkflowTaskFailed')
                        """) == 0)
                #expect(
                    try await setting.count(
                        "select count(*) from bank.journal_entries where kind = 'withdrawal' and outcome = 'posted'")
                        == ids.count)
                #expect(try await setting.database.audit().isProven)
            }
        }

        @Test func aWorkerWaitsForADatabaseThatIsNotMigrated() async throws {
            try await withDatabase("bank_empty") { name in
                try await BankDatabase.open(databaseURL(name)) { database in
                    let routes = AccountRoutes(ledger: Ledger(database.pool))
                    try await withServer(routes.router(settings: WebSettings(port: 0))) { url in
                        let setting = TransferSetting(database: database, accountAPI: url, gate: Gate())
                        try await withWorkers(1, database: database, accountAPI: url) { _ in
                            try await eventually("the worker has asked") {
                                try await database.pool.query(
                                    """
                                    select 1 from pg_stat_activity where datname = current_database()
                                      and application_name = 'perdure bank-worker'
                                    """
                                ).count > 0
                            }
                            try await BankDatabase.migrate(database.url)
                            let id = try await setting.start("account_A", "account_B", 100)
                            try await setting.waitUntilAllHaveEnded()
                            #expect(try await setting.transfer(id)["status"]?.stringValue == "COMPLETED")
                        }
                    }
                }
            }
        }

        /// Half of the reports are refused, by one error or another, before or after the work was done.
        private static let refusals = """
            create sequence public.refusals;
            do $do$
            declare
                v_name text;
            begin
                foreach v_name in array array['finish_activity_tasks', 'complete_workflow_tasks'] loop
                    execute format($format$
                        create function perdure.replaced(p_shard smallint, p_worker_id uuid, p_items jsonb)
                        returns %1$s language plpgsql security definer as $$
                        #variable_conflict use_column
                        declare
                            v_states text[] := array['57014', '55P03', '53100', '40P01', 'XX000', '25006',
                                '42501', '42883'];
                            v_refuses boolean := random() < 0.5;
                        begin
                            return query select * from perdure.real_%2$s(p_shard, p_worker_id, p_items);
                            if v_refuses then
                                perform nextval('public.refusals');
                                raise exception 'refused by the test' using errcode = v_states[1 + floor(random() * 8)];
                            end if;
                        end $$
                        $format$, pg_get_function_result(format('perdure.%I(smallint, uuid, jsonb)',
                            v_name)::regprocedure), v_name);
                    execute format('alter function perdure.%1$I(smallint, uuid, jsonb) rename to real_%1$s', v_name);
                    execute format('alter function perdure.replaced(smallint, uuid, jsonb) rename to %I', v_name);
                end loop;
            end
            $do$;
            """
    }
}
