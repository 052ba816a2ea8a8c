-- Runs to look at, walked by hand through the engine's functions as a worker would, with a clock of its own.
-- One statement, so that psql and the tests can run it alike.
do $walk$
declare
    v_worker uuid := gen_random_uuid();
    v_day_worker uuid := v_worker;
    v_queue text := 'bank';
    v_shard smallint;
    v_clock timestamptz;
    v_run uuid;
    v_task record;
    v_step record;
    v_downstream jsonb := $json${"message": "HTTP 500 from the account API", "source": "Swift",
        "stackTrace": "AccountClient.withdraw(_:) at AccountClient.swift:88\n$json$
        || $json$TransferActivities.withdraw(input:) at TransferActivities.swift:41",
        "applicationFailureInfo": {"type": "DownstreamError"},
        "cause": {"message": "connection reset by peer", "applicationFailureInfo": {"type": "IOError"}}}$json$;
    v_workflow_code text := $swift$/// Moves money, "exactly once" & no <b>less</b>.
@Workflow(name: "Transfer")
public struct TransferWorkflow {
    private var state = TransferState()

    public func run(context: WorkflowContext<Self>, input transfer: Transfer) async throws -> TransferResult {
        let balance = try await context.executeActivity(
            Activities.CheckBalance.self, options: .standard, input: transfer.fromAccount)
        guard balance >= transfer.amount else { throw InsufficientFunds(balance: balance) }
        /* Two steps,
           /* in this order */ each with its own retries. */
        return try await move(transfer, context)
    }
}$swift$;
    v_activities_code text := $swift$/// The steps of a transfer, which the account API does.
@ActivityContainer
public struct TransferActivities {
    private let accounts: AccountClient
    private let pattern = #"</script>"# + """
        several "lines" of \(text)
        """

    /// What the account holds.
    @Activity(name: "check_balance_from")
    public func checkBalance(account: String) async throws -> Money {
        try await accounts.balance(of: account)
    }

    /// Takes money out of an account, and returns what is left.
    @Activity(name: "withdraw")
    public func withdraw(_ movement: Movement) async throws -> Money {
        guard movement.amount > 0.01 else { throw ApplicationError(message: "nothing to move") }
        let reference = try reference()
        // The key is the same on every attempt, so the money moves once.
        return try await accounts.withdraw(movement.amount, from: movement.account, for: reference)
    }
}$swift$;
    v_input jsonb := $json$[{"encoding": "json/plain", "data": {"from_account": "account_A",
        "to_account": "account_F", "amount": 100.00,
        "note": {"text": "Rent <b>März</b> \"quoted\" & more", "tags": ["daily", "batch"]}}}]$json$;
begin
    insert into perdure.settings values ('test_settings', 'true', 'Sessions may set perdure.now');
    perform perdure.add_search_attribute(name => 'from_account', type => 'Keyword');
    perform perdure.add_search_attribute(name => 'to_account', type => 'Keyword');
    v_clock := clock_timestamp() - interval '90 s';
    perform set_config('perdure.now', v_clock::text, true);
    perform perdure.register_worker(v_worker, 'default', '4711@worker-1', 'build-7f3a', array['bank'],
        interval '1 hour',
        '{"workflowTypes": ["Transfer", "Audit\"<i>"], "slots": {"workflow": 64, "activity": 100}}');
    perform perdure.register_sources(v_worker, jsonb_build_array(
        jsonb_build_object('kind', 'workflow', 'type', 'Transfer', 'file', 'Bank/TransferWorkflow.swift', 'firstLine',
            10, 'line', 11, 'text', v_workflow_code),
        jsonb_build_object('kind', 'workflow', 'type', 'Audit"<i>', 'file', 'Bank/Transfer.swift', 'firstLine', 36,
            'line', 37, 'text', replace(v_workflow_code, 'Transfer', 'Audit')),
        jsonb_build_object('kind', 'activity', 'type', 'check_balance_from', 'file', 'Bank/TransferActivities.swift',
            'firstLine', 21, 'line', 30, 'text', v_activities_code),
        jsonb_build_object('kind', 'activity', 'type', 'withdraw', 'file', 'Bank/TransferActivities.swift', 'firstLine',
            21, 'line', 36, 'text', v_activities_code)));

    -- What is done, in order: (workflow, seconds after the first step, what, with what).
    for v_step in
        select * from (values
            ('transfer-done', 0.00, 'start', v_input),
            ('transfer-done', 0.05, 'claim', null),
            ('transfer-done', 0.09, 'commands',
                '[{"commandType": "ScheduleActivityTask", "attributes": {"activityId": "1",
                "activityType": {"name": "check_balance_from"},
                "input": [{"encoding": "json/plain", "data": "account_A"}], "startToCloseTimeout": "10s"}}]'),
            ('transfer-done', 0.20, 'claim activity', null),
            ('transfer-done', 0.60, 'completed', '[{"encoding": "json/plain", "data": 1000.00}]'),
            ('transfer-done', 0.62, 'claim', null),
            ('transfer-done', 0.66, 'commands',
                '[{"commandType": "ScheduleActivityTask", "attributes": {"activityId": "2",
                "activityType": {"name": "withdraw"},
                "input": [{"encoding": "json/plain", "data": {"account": "account_A", "amount": 100.00}}],
                "startToCloseTimeout": "10s"}}]'),
            ('transfer-done', 0.70, 'claim activity', null),
            ('transfer-done', 1.10, 'failed', v_downstream),
            ('transfer-done', 2.30, 'claim activity', null),
            ('transfer-done', 2.80, 'failed', v_downstream),
            ('transfer-done', 5.20, 'claim activity', null),
            ('transfer-done', 5.90, 'completed', '[{"encoding": "json/plain", "data": {"new_balance": 900.00}}]'),
            ('transfer-done', 5.95, 'claim', null),
            ('transfer-done', 6.00, 'commands',
                '[{"commandType": "StartTimer", "attributes": {"timerId": "settle", "startToFireTimeout": "2s"}}]'),
            ('transfer-done', 7.00, 'signal', '[{"encoding": "json/plain", "data": true}]'),
            ('transfer-done', 7.05, 'claim', null),
            ('transfer-done', 7.10, 'commands', '[]'),
            ('transfer-done', 8.10, 'upkeep', null),
            ('transfer-done', 8.15, 'claim', null),
            ('transfer-done', 8.20, 'commands',
                '[{"commandType": "CompleteWorkflowExecution", "attributes": {"result": [{"encoding": "json/plain",
                "data": {"success": true, "from_account_starting_balance": 1000.00}}]}}]'),

            ('transfer-failed', 10.00, 'start', v_input),
            ('transfer-failed', 10.10, 'claim', null),
            ('transfer-failed', 10.20, 'commands',
                '[{"commandType": "FailWorkflowExecution", "attributes": {"failure": {"message": "insufficient funds",
                "applicationFailureInfo": {"type": "InsufficientFunds", "nonRetryable": true,
                "details": [{"encoding": "json/plain", "data": {"balance": 5}}]}}}}]'),

            -- Its worker is killed while it withdraws, and none comes for a while; the next one meets errors.
            ('transfer-crashed', 20.00, 'register', '{"identity": "4712@worker-2", "lease": "2 s"}'),
            ('transfer-crashed', 20.00, 'start', v_input),
            ('transfer-crashed', 20.10, 'claim', null),
            ('transfer-crashed', 20.20, 'commands',
                '[{"commandType": "ScheduleActivityTask", "attributes": {"activityId": "1",
                "activityType": {"name": "check_balance_from"},
                "input": [{"encoding": "json/plain", "data": "account_A"}], "startToCloseTimeout": "10s"}}]'),
            ('transfer-crashed', 20.30, 'claim activity', null),
            ('transfer-crashed', 20.90, 'completed', '[{"encoding": "json/plain", "data": 900.00}]'),
            ('transfer-crashed', 20.95, 'claim', null),
            ('transfer-crashed', 21.00, 'commands',
                '[{"commandType": "ScheduleActivityTask", "attributes": {"activityId": "2",
                "activityType": {"name": "withdraw"},
                "input": [{"encoding": "json/plain", "data": {"account": "account_A", "amount": 100.00}}],
                "startToCloseTimeout": "30s"}}]'),
            ('transfer-crashed', 21.05, 'renew', null),
            ('transfer-crashed', 21.10, 'claim activity', null),
            -- Silent for a lease: it may be the database that was away, so it has one more.
            ('transfer-crashed', 23.20, 'upkeep', null),
            ('transfer-crashed', 25.50, 'register',
                '{"identity": "4713@worker-2", "lease": "1 hour", "build": "build-8c01"}'),
            ('transfer-crashed', 25.50, 'upkeep', null),
            ('transfer-crashed', 26.60, 'claim activity', null),
            ('transfer-crashed', 27.40, 'failed', v_downstream),
            ('transfer-crashed', 29.60, 'claim activity', null),
            ('transfer-crashed', 30.40, 'completed', '[{"encoding": "json/plain", "data": {"new_balance": 800.00}}]'),
            ('transfer-crashed', 30.45, 'claim', null),
            ('transfer-crashed', 30.50, 'commands',
                '[{"commandType": "CompleteWorkflowExecution", "attributes": {"result": [{"encoding": "json/plain",
                "data": {"success": true}}]}}]'),

            ('transfer-waiting', 60.00, 'start', v_input),
            ('transfer-waiting', 60.05, 'claim', null),
            ('transfer-waiting', 60.09, 'commands', '[
                {"commandType": "ScheduleActivityTask",
                    "attributes": {"activityId": "1", "activityType": {"name": "withdraw"},
                    "input": [{"encoding": "json/plain", "data": "account_A"}], "startToCloseTimeout": "600s",
                    "retryPolicy": {"initialInterval": "600s", "maximumAttempts": 10}}},
                {"commandType": "StartTimer", "attributes": {"timerId": "deadline", "startToFireTimeout": "900s"}}]'),
            ('transfer-waiting', 60.20, 'claim activity', null),
            ('transfer-waiting', 62.00, 'failed', v_downstream),

            ('audit-running', 63.00, 'start', '[]'),
            ('audit-running', 63.05, 'claim', null),
            ('audit-running', 63.09, 'commands',
                '[{"commandType": "ScheduleActivityTask", "attributes": {"activityId": "1",
                "activityType": {"name": "audit"}, "startToCloseTimeout": "600s", "heartbeatTimeout": "300s"}}]'),
            ('audit-running', 64.00, 'claim activity', null),
            ('audit-running', 66.00, 'heartbeat', '[{"encoding": "json/plain", "data": {"page": 17}}]'),

            ('stuck <script>alert(1)</script> "''&%2F/..ü', 70.00, 'start',
                '[{"encoding": "json/plain", "data": "</script><img src=x onerror=alert(1)>"}]'),
            ('stuck <script>alert(1)</script> "''&%2F/..ü', 70.10, 'claim', null),
            ('stuck <script>alert(1)</script> "''&%2F/..ü', 70.20, 'bug',
                '{"message": "Index out of range", "source": "Swift",
                "stackTrace": "Transfer.run(_:) at Transfer.swift:42\nFatal <b>error</b>",
                "applicationFailureInfo": {"type": "RangeError"}}'),

            ('waits-for-a-worker', 80.00, 'start', '[]')
        ) as s (workflow, after, what, argument)
    loop
        v_shard := perdure.shard_for('default', v_step.workflow);
        if v_step.workflow <> 'transfer-crashed' then
            v_worker := v_day_worker;
            v_queue := 'bank';
        end if;
        perform set_config('perdure.now', (v_clock + v_step.after * interval '1 s')::text, true);
        case v_step.what
            when 'register' then
                v_worker := gen_random_uuid();
                v_queue := 'night';
                perform perdure.register_worker(v_worker, 'default', v_step.argument::jsonb ->> 'identity',
                    coalesce(v_step.argument::jsonb ->> 'build', 'build-7f3a'), array[v_queue],
                        (v_step.argument::jsonb ->> 'lease')::interval, '{}');
                perform perdure.register_sources(v_worker,
                    jsonb_build_array(jsonb_build_object('kind', 'activity', 'type', 'withdraw',
                    'file', 'Bank/TransferActivities.swift', 'firstLine', 21, 'line', 36,
                    'text', case when v_step.argument::jsonb ? 'build'
                        then replace(v_activities_code, '0.01', '0.05 /* fixed */') else v_activities_code end)));
            when 'renew' then
                perform perdure.renew_lease(v_worker);
            when 'start' then
                select s.run_id into v_run from perdure.start_workflow(v_shard, 'default', v_step.workflow,
                    case when v_step.workflow like 'transfer%' then 'Transfer' else 'Audit"<i>' end, v_queue,
                        v_step.argument::jsonb,
                    case when v_step.workflow like 'transfer%'
                        then '{"searchAttributes": {"from_account": "account_A", "to_account": "account_F"},
                        "memo": {"origin": {"encoding": "json/plain", "data": "daily batch"}}}'::jsonb else '{}' end) s;
            when 'claim' then
                select * into strict v_task from perdure.claim_workflow_tasks(v_shard, v_worker, v_queue, 1);
            when 'commands' then
                perform perdure.complete_workflow_tasks(v_shard, v_worker,
                    jsonb_build_array(jsonb_build_object('runId', v_task.run_id,
                    'scheduledEventId', v_task.scheduled_event_id, 'attempt', v_task.attempt, 'commands',
                        v_step.argument::jsonb, 'sticky', false)));
            when 'bug' then
                perform perdure.fail_workflow_tasks(v_shard, v_worker,
                    jsonb_build_array(jsonb_build_object('runId', v_task.run_id,
                    'scheduledEventId', v_task.scheduled_event_id, 'attempt', v_task.attempt, 'cause',
                        'WorkflowWorkerUnhandledFailure',
                    'failure', v_step.argument::jsonb)));
            when 'claim activity' then
                -- A retry that is due is made claimable first.
                perform perdure.upkeep(v_shard);
                select * into strict v_task from perdure.claim_activity_tasks(v_shard, v_worker, v_queue, 1);
            when 'heartbeat' then
                perform perdure.heartbeat_activity_tasks(v_shard, v_worker,
                    jsonb_build_array(jsonb_build_object('runId', v_task.run_id,
                    'scheduledEventId', v_task.scheduled_event_id, 'attempt', v_task.attempt, 'details',
                        v_step.argument::jsonb)));
            when 'signal' then
                perform perdure.signal_workflow(v_shard, 'default', v_step.workflow, null, 'approve',
                    v_step.argument::jsonb);
            when 'upkeep' then
                perform perdure.upkeep(v_shard);
            else
                perform perdure.finish_activity_tasks(v_shard, v_worker,
                    jsonb_build_array(jsonb_build_object('runId', v_task.run_id,
                    'scheduledEventId', v_task.scheduled_event_id, 'attempt', v_task.attempt, 'outcome', v_step.what,
                    case v_step.what when 'failed' then 'failure' else 'result' end, v_step.argument::jsonb)));
        end case;
    end loop;
    -- What the day's worker reports with its lease, recently enough to be seen however slowly the rest goes.
    for v_step in select n from generate_series(1, 8) n loop
        perform set_config('perdure.now', (clock_timestamp() + (v_step.n * 10 - 95) * interval '1 s')::text, true);
        perform perdure.renew_lease(v_day_worker, false,
            jsonb_build_object('slotsInUse', '{"workflow": 2, "activity": 37}'::jsonb, 'finished', jsonb_build_array(
            jsonb_build_object('taskQueue', 'bank', 'kind', 'workflow', 'count', 100 + v_step.n % 3 * 40),
            jsonb_build_object('taskQueue', 'bank', 'kind', 'activity', 'count', 60 + v_step.n % 4 * 90))));
    end loop;
    perform set_config('perdure.now', '', true);
end
$walk$
