-- Runs that affect others: children, signals to other workflows, requests to cancel them, and the outbox between them.
begin;
\ir support/engine.psql
select no_plan();

-- The steps of perdure.drain_transfers in one transaction: drains the transfers of these runs, until none is left.
create function t.drain(variadic p_ids text[] default '{}') returns int language plpgsql
as $$
declare
    v_transfer jsonb;
    v_outcome jsonb;
    v_done int := 0;
begin
    loop
        select p into v_transfer from generate_series(0, perdure.shard_count() - 1) s
        cross join lateral perdure.pending_transfers(s::smallint,
            case when p_ids = '{}' then (select array_agg(w.run_id) from perdure.workflows w)
                else (select array_agg(t.run(i)) from unnest(p_ids) i) end) p limit 1;
        exit when not found;
        v_outcome := perdure.apply_transfer((v_transfer ->> 'targetShard')::smallint, v_transfer);
        perform perdure.finish_transfers((v_transfer ->> 'shard')::smallint, (v_transfer ->> 'runId')::uuid,
            jsonb_build_array(jsonb_build_object('id', v_transfer -> 'id', 'outcome', v_outcome)));
        perform perdure.finish_receipts((v_transfer ->> 'targetShard')::smallint, (v_transfer ->> 'runId')::uuid,
            array[(v_transfer ->> 'id')::bigint]);
        v_done := v_done + 1;
    end loop;
    return v_done;
end
$$;
create function t.child(p_id text, p_more jsonb default '{}') returns jsonb language sql
as $$ select t.command('StartChildWorkflowExecution', jsonb_build_object('workflowId', p_id, 'workflowType',
    '{"name": "C"}'::jsonb,
    'input', t.data('1')) || p_more) $$;
create function t.signal_other(p_id text, p_more jsonb default '{}') returns jsonb language sql
as $$ select t.command('SignalExternalWorkflowExecution',
    jsonb_build_object('execution', jsonb_build_object('workflowId', p_id),
    'signalName', 'go', 'input', t.data('"x"')) || p_more) $$;
create function t.cancel_other(p_id text, p_more jsonb default '{}') returns jsonb language sql
as $$ select t.command('RequestCancelExternalWorkflowExecution', jsonb_build_object('workflowId', p_id) || p_more) $$;
create function t.decide(p_id text, variadic p_commands jsonb[]) returns text language plpgsql
as $$
begin
    perform t.claim();
    return t.complete(p_id, to_jsonb(p_commands));
end
$$;
create function t.completes(p_result jsonb default 'null') returns jsonb language sql
as $$ select t.command('CompleteWorkflowExecution', jsonb_build_object('result', t.data(p_result))) $$;
-- A run whose tasks nobody claims.
create function t.idle(p_id text) returns uuid language sql
as $$ select s.run_id from perdure.start_workflow(0::smallint, 'default', p_id, 'T', 'idle', '[]', '{}') s $$;
create function t.receipts() returns bigint language sql as $$ select count(*) from perdure.received_transfers $$;
create function t.violations() returns text language sql
as $$ select string_agg(v.kind || ': ' || v.what, E'\n') from perdure.violations() v $$;

-- A child from its start to its end
select t.start('p') \g /dev/null
select is(t.decide('p', t.child('c')), 'completed', 'a run starts a child');
select is(t.history('p', 5), '5 StartChildWorkflowExecutionInitiated', 'which it says');
select is(t.event('p', 5),
    '{"input": [{"data": 1, "encoding": "json/plain"}], "namespace": "default", "namespaceId": "default",
    "workflowId": "c", "workflowType": {"name": "C"},
    "taskQueue": {"name": "q", "kind": "Normal"}, "parentClosePolicy": "Terminate", "workflowTaskCompletedEventId": 4,
    "workflowTaskTimeout": "10s",
    "workflowIdReusePolicy": "AllowDuplicate"}', 'with what Temporal fills in');
select is(t.status('c'), null, 'nothing is started in the same transaction');
select is((select jsonb_agg(jsonb_build_array(p.kind, p.event_id, p.target_workflow_id, p.attempts))
    from perdure.pending_transfers p),
    '[["start child", 5, "c", 0]]', 'a transfer waits');
select is((select child_run_id is null and child_workflow_id = 'c' and parent_close_policy = 'Terminate'
    from perdure.pending_children), true, 'the parent knows of a child that is not started');
select is(t.violations(), null, 'and that is a good state');
select is(t.drain('p'), 1, 'whoever committed it drains it');
select is(t.history('p', 6), '6 ChildWorkflowExecutionStarted 7 WorkflowTaskScheduled',
    'the parent is told that its child was started');
select is(t.event('p', 6), jsonb_build_object('namespace', 'default', 'namespaceId', 'default', 'initiatedEventId', 5,
    'workflowType', jsonb_build_object('name', 'C'),
    'workflowExecution', jsonb_build_object('workflowId', 'c', 'runId', t.run('c'))), 'and which run it is');
select is(t.event('c', 1) - 'originalExecutionRunId' - 'firstExecutionRunId',
    jsonb_build_object('attempt', 1, 'input', t.data('1'), 'taskQueue',
    jsonb_build_object('name', 'q', 'kind', 'Normal'),
    'workflowId', 'c', 'workflowType', jsonb_build_object('name', 'C'), 'workflowTaskTimeout', '10s',
        'parentInitiatedEventId', 5,
    'parentWorkflowNamespace', 'default', 'parentWorkflowNamespaceId', 'default',
    'parentWorkflowExecution', jsonb_build_object('workflowId', 'p', 'runId', t.run('p')), 'rootWorkflowExecution',
        jsonb_build_object('workflowId', 'p', 'runId', t.run('p'))),
    'the child knows its parent and the root');
select is((select jsonb_build_array(w.parent_workflow_id, w.parent_run_id, w.parent_initiated_event_id,
    w.root_workflow_id, w.root_run_id) from perdure.workflows w where w.workflow_id = 'c'),
    jsonb_build_array('p', t.run('p'), 5, 'p', t.run('p')), 'so does whoever lists it');
select is(perdure.describe_workflow('p') -> 'pending_children' #>> '{0,child_run_id}', t.run('c')::text,
    'the parent''s description has the child');
select is(t.claim(), 'c p', 'both have a task');
select is(t.complete('c', jsonb_build_array(t.completes('"well"'))), 'completed', 'the child completes');
select is((select count(*) from perdure.pending_transfers where kind = 'child closed'), 1::bigint,
    'and has that to tell');
select is(t.drain('c'), 1, 'which arrives');
select is(t.complete('p'), 'completed', 'while its parent had a task: it is buffered');
select is(t.history('p', 10), '10 ChildWorkflowExecutionCompleted 11 WorkflowTaskScheduled', 'and written then');
select is(t.event('p', 10), jsonb_build_object('result', t.data('"well"'), 'namespace', 'default', 'namespaceId',
    'default', 'startedEventId', 6, 'initiatedEventId', 5,
    'workflowType', jsonb_build_object('name', 'C'), 'workflowExecution',
        jsonb_build_object('workflowId', 'c', 'runId', t.run('c'))), 'as Temporal says it');
select is((select count(*) from perdure.pending_children) + (select count(*)
    from perdure.pending_transfers) + t.receipts(), 0::bigint, 'nothing is left');
select is(t.decide('p', t.completes()), 'completed', 'the parent goes on');
select is(t.drain(), 0, 'and has nobody to tell');
select is(t.violations(), null, 'all is well');

-- A child that goes on as other runs: its parent waits for the last one of the chain
select t.start('w') \g /dev/null
select t.decide('w', t.child('again')), t.drain(), t.decide('again',
    t.command('ContinueAsNewWorkflowExecution', '{"input": []}')) \g /dev/null
select is(t.drain(), 0, 'a child that continues as new has not ended');
select is((select count(distinct (w.parent_run_id, w.root_run_id)) || ' ' || count(*) from perdure.workflows w
    where w.workflow_id = 'again'), '1 2', 'the new run has the same parent');
select is(t.event('again', 1) - 'originalExecutionRunId' -> 'parentWorkflowExecution' ->> 'workflowId', 'w',
    'and says so');
select t.at(1), t.upkeep(), t.complete('w') \g /dev/null
select t.decide('again', t.completes('9')), t.drain(), t.claim(), t.complete('w') \g /dev/null
select is((select jsonb_build_array(h.attributes -> 'result', h.attributes #> '{workflowExecution,runId}',
    h.attributes -> 'startedEventId') from perdure.history_events h where h.run_id = t.run('w')
    and h.event_type = 'ChildWorkflowExecutionCompleted'),
    jsonb_build_array(t.data('9'), t.run('again'), 6), 'its result is that of the last run');
select t.start('w2') \g /dev/null
select t.decide('w2', t.child('again-2')), t.drain(), t.decide('again-2',
    t.command('ContinueAsNewWorkflowExecution', '{"input": []}')), perdure.terminate_workflow('w2'), t.drain()
    \g /dev/null
select is((select string_agg(w.status, ' ' order by w.run_number) from perdure.workflows w
    where w.workflow_id = 'again-2'), 'ContinuedAsNew Terminated', 'the end of a parent reaches the run that is open');
select is(t.violations(), null, 'all is well');
select t.at(2) \g /dev/null

-- How children end
select t.start('ends') \g /dev/null
select t.decide('ends', t.child('e-failed'), t.child('e-canceled'), t.child('e-terminated'),
    t.child('e-timed-out', '{"workflowRunTimeout": "5s"}')) \g /dev/null
select t.drain(), t.claim() \g /dev/null
select is(t.history('ends', 5),
    '5 StartChildWorkflowExecutionInitiated 6 StartChildWorkflowExecutionInitiated '
        '7 StartChildWorkflowExecutionInitiated 8 StartChildWorkflowExecutionInitiated '
    || '9 ChildWorkflowExecutionStarted 10 WorkflowTaskScheduled 11 ChildWorkflowExecutionStarted '
        '12 ChildWorkflowExecutionStarted 13 ChildWorkflowExecutionStarted 14 WorkflowTaskStarted', 'four children');
select t.complete('e-failed', jsonb_build_array(t.command('FailWorkflowExecution', t.failure('no')
    || '{"cause": null}'))) \g /dev/null
select t.complete('e-canceled', jsonb_build_array(t.command('CancelWorkflowExecution',
    jsonb_build_object('details', t.data('7'))))) \g /dev/null
select perdure.terminate_workflow('e-terminated', 'enough') \g /dev/null
select t.complete('e-timed-out') \g /dev/null
select t.at(7), t.upkeep() \g /dev/null
select t.drain(), t.complete('ends') \g /dev/null
select set_eq($$select h.event_type, h.attributes ->> 'initiatedEventId' as initiated, h.attributes ->> 'startedEventId'
    as started, h.attributes ->> 'retryState' as retry_state from perdure.history_events h
    where h.run_id = t.run('ends') and h.event_id > 14 and h.event_type like 'Child%'$$,
        $$values ('ChildWorkflowExecutionFailed', '5', '9', 'RetryPolicyNotSet'),
        ('ChildWorkflowExecutionCanceled', '6', '11', null),
    ('ChildWorkflowExecutionTerminated', '7', '12', null),
        ('ChildWorkflowExecutionTimedOut', '8', '13', 'RetryPolicyNotSet')$$, 'each end is told, with its start');
select is((select h.attributes #>> '{failure,message}' from perdure.history_events h where h.run_id = t.run('ends')
    and h.event_type = 'ChildWorkflowExecutionFailed'), 'no', 'a failure as it was');
select is((select h.attributes -> 'details' from perdure.history_events h where h.run_id = t.run('ends')
    and h.event_type = 'ChildWorkflowExecutionCanceled'), t.data('7'), 'the details of a cancellation');
select is(t.violations(), null, 'all is well');

-- Workflow ids that are in use, and namespaces that do not exist
select t.start('taken'), t.start('ids') \g /dev/null
select t.decide('ids', t.child('taken'), t.child('nowhere', '{"namespace": "nowhere"}'),
    t.child('c', '{"workflowIdReusePolicy": "RejectDuplicate"}')), t.drain(), t.claim(), t.complete('ids') \g /dev/null
select set_eq($$select h.attributes ->> 'initiatedEventId' as initiated, h.attributes ->> 'cause' as cause,
    h.attributes ->> 'workflowId' as id from perdure.history_events h where h.run_id = t.run('ids')
    and h.event_type = 'StartChildWorkflowExecutionFailed'$$,
    $$values ('5', 'WorkflowAlreadyExists', 'taken'), ('6', 'NamespaceNotFound', 'nowhere'),
        ('7', 'WorkflowAlreadyExists', 'c')$$, 'the parent learns why a child was not started');
select is((select count(*) from perdure.pending_children where workflow_id = 'ids'), 0::bigint,
    'and waits for it no longer');
select is(t.violations(), null, 'all is well');

-- A child that ends before its parent has heard of its start
select t.start('slow') \g /dev/null
select t.decide('slow', t.child('quick')) \g /dev/null
create temp table held as select p as transfer from perdure.pending_transfers(0::smallint, array[t.run('slow')]) p;
create temp table outcome as select perdure.apply_transfer(0::smallint, h.transfer) as outcome from held h;
select t.claim() \g /dev/null
select t.complete('quick', jsonb_build_array(t.completes('3'))), t.drain('quick') \g /dev/null
select is(t.history('slow', 6),
    '6 ChildWorkflowExecutionStarted 7 ChildWorkflowExecutionCompleted 8 WorkflowTaskScheduled', 'it tells both');
select is(t.event('slow', 7) ->> 'startedEventId', '6', 'in this order');
select is(t.violations(), null, 'which is a good state');
select is(perdure.finish_transfers(0::smallint, t.run('slow'),
    (select jsonb_build_array(jsonb_build_object('id', 5, 'outcome', o.outcome)) from outcome o)), 1,
    'the report of the start comes late');
select is(t.history('slow', 9), null, 'and says nothing new');
drop table held, outcome;

-- Repeats: each step does its work once
select t.start('twice'), t.idle('other') \g /dev/null
select t.decide('twice', t.child('once'), t.signal_other('other')) \g /dev/null
create temp table held as select p as transfer from perdure.pending_transfers(0::smallint, array[t.run('twice')]) p;
select is((select jsonb_agg(perdure.apply_transfer(0::smallint, h.transfer) = perdure.apply_transfer(0::smallint,
    h.transfer)) from held h), '[true, true]', 'an effect that is repeated answers the same');
select is((select count(*) from perdure.workflows where workflow_id = 'once'), 1::bigint, 'and there is one child');
select is(t.history('other'), '1 WorkflowExecutionStarted 2 WorkflowTaskScheduled 3 WorkflowExecutionSignaled',
    'and one signal');
-- A process reads a transfer and applies it after others have finished it and deleted its receipt
select t.idle('late'), t.start('signals late') \g /dev/null
select t.decide('signals late', t.signal_other('late')) \g /dev/null
create temp table seen as select p as transfer
    from perdure.pending_transfers(0::smallint, array[t.run('signals late')]) p;
select t.drain('signals late') \g /dev/null
select is(t.event('signals late', 6) is not null, true, 'a signal is reported');
select is((select jsonb_agg(perdure.apply_transfer(0::smallint, s.transfer)) from seen s), '[{}]',
    'whoever saw it before does nothing');
select is((select count(*) from perdure.history_events h where h.run_id = t.run('late')
    and h.event_type = 'WorkflowExecutionSignaled'), 1::bigint, 'so that it arrives once');
select is(t.receipts(), (select count(*) from held), 'and leaves no receipt');
drop table seen;
-- A crash at this point: the effects have happened, but are not reported. They are reported later, even if their
-- targets are gone by then.
select perdure.terminate_workflow('other'), perdure.terminate_workflow('once') \g /dev/null
select t.at(20), t.drain() \g /dev/null
select set_eq($$select h.event_type from perdure.history_events h where h.run_id = t.run('twice') and h.event_id > 6$$,
    array['ChildWorkflowExecutionStarted', 'ExternalWorkflowExecutionSignaled', 'ChildWorkflowExecutionTerminated',
        'WorkflowTaskScheduled'],
    'who drains it later reports what became of it, and not what would now');
select is(perdure.finish_transfers(0::smallint, t.run('twice'), '[{"id": 6, "outcome": {}}]'), 0,
    'a report that is repeated does nothing');
select is(t.history('twice', 11), null, 'and writes nothing');
select is(t.receipts(), 0::bigint, 'no receipt is left');
drop table held;
select is(t.violations(), null, 'all is well');

-- Parent close policies
create function t.family(p_id text) returns void language plpgsql
as $$
begin
    perform t.start(p_id);
    perform t.decide(p_id, t.child(p_id || '-t', '{"taskQueue": {"name": "idle"}}'),
        t.child(p_id || '-a', '{"parentClosePolicy": "Abandon"}'),
        t.child(p_id || '-c', '{"parentClosePolicy": "RequestCancel", "taskQueue": {"name": "idle"}}'));
    perform t.drain();
end
$$;
create function t.family_states(p_id text) returns text language sql
as $$ select string_agg(w.status || case when exists (select from perdure.history_events h where h.run_id = w.run_id
    and h.event_type = 'WorkflowExecutionCancelRequested') then ' cancel' else '' end, ', ' order by w.workflow_id)
    from perdure.workflows w where w.workflow_id like p_id || '-_' $$;
select t.family('done'), t.decide('done', t.completes()), t.drain() \g /dev/null
select is(t.family_states('done'), 'Running, Running cancel, Terminated',
    'a parent that completes abandons, cancels or terminates its children');
select is(t.event('done-t', 3), '{"reason": "by parent close policy", "identity": "history-service"}',
    'in Temporal''s words');
select is(t.event('done-c', 3), jsonb_build_object('identity', 'history-service', 'externalWorkflowExecution',
    jsonb_build_object('workflowId', 'done', 'runId', t.run('done'))), 'both of them');
select t.family('ended'), perdure.terminate_workflow('ended'), t.drain() \g /dev/null
select is(t.family_states('ended'), 'Running, Running cancel, Terminated', 'so does one that is terminated');
select is(t.decide('done-a', t.completes()), 'completed', 'an abandoned child goes on');
select is(t.drain(), 1, 'and tells it, though nobody listens');
select is(t.violations(), null, 'all is well');

-- A whole tree ends
select t.start('root') \g /dev/null
select t.decide('root', t.child('branch')), t.drain(), t.decide('branch', t.child('leaf')), t.drain() \g /dev/null
select is((select w.root_workflow_id || ' ' || w.parent_workflow_id from perdure.workflows w
    where w.workflow_id = 'leaf'), 'root branch', 'a child of a child knows the root');
select perdure.terminate_workflow('root') \g /dev/null
select is(t.drain('root'), 1, 'the end of a run');
select is(t.drain(), 3, 'ends its children, and theirs');
select is(t.status('branch') || ' ' || t.status('leaf'), 'Terminated Terminated', 'to the last');

-- As in Temporal, effects that the closing task decided never happen
select t.start('last'), t.idle('bystander') \g /dev/null
select is(t.decide('last', t.child('never', '{"parentClosePolicy": "Abandon"}'), t.signal_other('bystander'),
    t.completes()), 'completed', 'a run decides and ends');
select is(t.history('last', 5),
    '5 StartChildWorkflowExecutionInitiated 6 SignalExternalWorkflowExecutionInitiated 7 WorkflowExecutionCompleted',
    'which its history says');
select is(t.drain(), 0, 'nothing is on its way');
select is(coalesce(t.status('never'), 'none') || ' ' || t.history('bystander'),
    'none 1 WorkflowExecutionStarted 2 WorkflowTaskScheduled', 'nothing comes of it');

select t.start('last-2') \g /dev/null
select is(t.decide('last-2', t.signal_other('bystander'), t.completes()) || t.drain(), 'completed0',
    'nor of a signal alone');

-- Signals and requests to cancel
select t.start('s1'), t.idle('s2'), t.idle('closed') \g /dev/null
select perdure.terminate_workflow('closed') \g /dev/null
select t.decide('s1', t.signal_other('s2'), t.signal_other('nobody'), t.signal_other('closed'), t.signal_other('s1'),
    t.signal_other('s2', '{"childWorkflowOnly": true}'),
    t.signal_other('s2', jsonb_build_object('execution', jsonb_build_object('workflowId', 's2', 'runId', t.run('s1')))))
        \g /dev/null
select t.drain(), t.claim(), t.complete('s1') \g /dev/null
select is((select string_agg(coalesce(h.attributes ->> 'cause', 'signaled'), ', '
    order by (h.attributes ->> 'initiatedEventId')::int) from perdure.history_events h where h.run_id = t.run('s1')
    and h.event_type in ('ExternalWorkflowExecutionSignaled', 'SignalExternalWorkflowExecutionFailed')),
    'signaled, ExternalWorkflowExecutionNotFound, ExternalWorkflowExecutionNotFound, '
        'ExternalWorkflowExecutionNotFound, ExternalWorkflowExecutionNotFound, ExternalWorkflowExecutionNotFound',
    'one arrives; nobody, a closed run, the run itself, what is no child and another workflow''s run are not found');
select is(t.event('s2', 3), jsonb_build_object('signalName', 'go', 'input', t.data('"x"'), 'identity',
    'history-service', 'requestId', t.run('s1') || ':5',
    'externalWorkflowExecution', jsonb_build_object('workflowId', 's1', 'runId', t.run('s1'))),
        'the one that is signalled knows by whom');
select t.start('x1') \g /dev/null
select t.decide('x1', t.cancel_other('s2', '{"reason": "stop"}'), t.cancel_other('nobody'), t.cancel_other('closed'),
    t.cancel_other('x1')), t.drain(), t.claim(), t.complete('x1') \g /dev/null
select is((select string_agg(coalesce(h.attributes ->> 'cause', 'requested'), ', '
    order by (h.attributes ->> 'initiatedEventId')::int) from perdure.history_events h where h.run_id = t.run('x1')
    and h.event_type in ('ExternalWorkflowExecutionCancelRequested', 'RequestCancelExternalWorkflowExecutionFailed')),
    'requested, ExternalWorkflowExecutionNotFound, requested, ExternalWorkflowExecutionNotFound',
        'a closed run needs no cancellation');
select is((select h.attributes from perdure.history_events h where h.run_id = t.run('s2')
    and h.event_type = 'WorkflowExecutionCancelRequested'),
    jsonb_build_object('cause', 'stop', 'identity', 'history-service', 'externalInitiatedEventId', 5,
        'externalWorkflowExecution', jsonb_build_object('workflowId', 'x1', 'runId', t.run('x1'))),
        'and an open one learns who asks');
select is(t.violations(), null, 'all is well');

-- Transfers between a pair of runs keep their order, also if one raises an error
select t.start('source'), t.idle('good'), t.idle('poisoned') \g /dev/null
select t.decide('source', t.signal_other('poisoned', '{"signalName": "1"}'),
    t.signal_other('good', '{"signalName": "2"}'), t.signal_other('poisoned', '{"signalName": "3"}')) \g /dev/null
update perdure.transfers set body = body || '{"workflowExecution": {"runId": "no uuid"}}' where id = 5
    and run_id = t.run('source');
select throws_ok($$select perdure.apply_transfer(0::smallint, p)
    from perdure.pending_transfers(0::smallint, array[t.run('source')], 1) p$$, '22P02', null,
    'a transfer that cannot be applied raises');
select perdure.set_transfer_aside(0::smallint, t.run('source'), 5, 'no uuid', '22P02') \g /dev/null
select is(t.drain('source'), 1,
    'it is set aside: what goes to others does not wait for it, what goes to the same workflow does');
select is(t.event('good', 3) ->> 'signalName' || coalesce(t.history('poisoned', 3), ''), '2',
    'one has arrived, nothing has overtaken');
select is((select p.attempts || ' ' || p.error from perdure.pending_transfers p where p.event_id = 5
    and p.run_id = t.run('source')), '1 no uuid', 'whoever looks sees why');
select is((select s.kind from perdure.set_aside_work s where s.run_id = t.run('source')), 'transfer',
    'among all that was set aside');
select is(t.violations(), null, 'which is a good state');
update perdure.transfers set body = body || '{"workflowExecution": {"workflowId": "poisoned"}}' where id = 5
    and run_id = t.run('source');
select is(t.drain('source'), 0, 'it is not tried at once');
select t.at(30) \g /dev/null
select is(t.drain('source'), 2, 'but later, and all that waits for it follows');
select is((select string_agg(h.attributes ->> 'signalName', ' ' order by h.event_id) from perdure.history_events h
    where h.run_id = t.run('poisoned') and h.event_type = 'WorkflowExecutionSignaled'), '1 3', 'in order');

-- Upkeep applies transfers that no process has drained
select t.start('forgotten') \g /dev/null
select t.decide('forgotten', t.child('late')) \g /dev/null
select is_empty($$select * from perdure.pending_transfers(0::smallint)$$,
    'upkeep leaves a moment to whoever committed it');
select t.at(31) \g /dev/null
select is((select count(*) from perdure.pending_transfers(0::smallint)), 1::bigint, 'and then takes it');
select t.drain() \g /dev/null
select is(t.status('late'), 'Running', 'so that nothing is lost');

-- Commands that are refused
select t.start('bad') \g /dev/null
create function t.refused(p_command jsonb) returns text language plpgsql
as $$
begin
    perform perdure.retry_now('bad'), t.claim();
    return t.complete('bad', jsonb_build_array(p_command));
end
$$;
select matches(t.refused(command), expected, expected) from (values
    (t.child(''), 'failed the workflow id of the child'),
        (t.child('x', '{"workflowType": null}'), 'failed the workflow type'),
    (t.child('x', '{"parentClosePolicy": "Eat"}'), 'failed unknown parentClosePolicy'),
        (t.child('x', '{"workflowIdReusePolicy": "Never"}'), 'failed unknown workflowIdReusePolicy'),
    (t.child('x', '{"workflowRunTimeout": "soon"}'), 'failed workflowRunTimeout is not a duration'),
        (t.child('x', '{"searchAttributes": {"Unknown": 1}}'), 'failed there is no search attribute'),
    (t.signal_other(''), 'failed the workflow id'), (t.signal_other('x', '{"signalName": ""}'),
        'failed the signal name'),
    (t.signal_other('x', '{"execution": {"workflowId": "x", "runId": "1"}}'), 'failed the run id'),
        (t.cancel_other(''), 'failed the workflow id')) c (command, expected);
select is((select count(*) from perdure.pending_transfers where workflow_id = 'bad'), 0::bigint,
    'nothing comes of them');

-- Violations
select t.start('broken') \g /dev/null
select t.decide('broken', t.child('broken-1'), t.child('broken-2'), t.signal_other('good')), t.drain() \g /dev/null
delete from perdure.child_workflows where run_id = t.run('broken') and initiated_event_id = 5;
select matches(t.violations(), 'stuck run: it waits for child broken-1',
    'a child that its parent has forgotten is found');
insert into perdure.child_workflows values (0, t.run('broken'), 5, 'default', 'broken-1', 'C', 'Terminate', null);
select matches(t.violations(), 'child not started: nothing starts child broken-1', 'one that nothing starts');
update perdure.child_workflows set child_run_id = t.run('broken-1') where run_id = t.run('broken')
    and initiated_event_id = 5;
select is(t.violations(), null, 'all is well');
select perdure.terminate_workflow('broken-2') \g /dev/null
select is(t.violations(), null, 'a child that has closed and tells it');
delete from perdure.transfers where run_id = t.run('broken-2');
select matches(t.violations(), 'lost end of child: child broken-2', 'or does not');
update perdure.run_states set is_related = false where run_id = t.run('broken');
select matches(t.violations(), 'unrelated run', 'a parent that would tell nobody');
insert into perdure.transfers values (0, t.run('broken'), 99, 'dance', 1, 'default', 'x', '{}', now(), 1, now());
select matches(t.violations(), 'transfer in no state', 'a transfer of no kind');

select * from finish();
rollback;
