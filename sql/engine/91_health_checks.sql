-- What an operator should know, each with advice: what `perdure doctor` prints and the health page shows.

create or replace function perdure.counted(p_number bigint, p_one text, p_several text) returns text
language sql immutable parallel safe
return p_number || ' ' || case p_number when 1 then p_one else p_several end;
comment on function perdure.counted(bigint, text, text) is
    'A number and what there is of it, for people: 1 worker is, 2 workers are.';

create or replace function perdure.health_check(p_name text, p_seconds double precision, out status text,
    out message text, out hint text)
language plpgsql stable set search_path = pg_catalog, pg_temp set enable_seqscan = on set jit = off
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_found record;
begin
    status := 'well';
    case p_name
    when 'PostgreSQL' then
        message := format('PostgreSQL %s, database %s', current_setting('server_version'), current_database());
        if current_setting('server_version_num')::int < 150000 then
            status := 'wrong';
            hint := 'Perdure needs PostgreSQL 15 or newer.';
        end if;
    when 'Roles' then
        select array_agg(r) as missing, (array_agg(r))[1] as first into v_found
            from unnest(array['perdure_worker', 'perdure_reader']) r
        where not exists (select from pg_roles where rolname = r);
        if v_found.missing is not null then
            status := 'warning';
            message := format('there is no role %s', array_to_string(v_found.missing, ' and no role '));
            hint := format('Only the owner can use the engine. To let others: create role %I nologin, then psql -f '
                'sql/views/90_grants.sql.',
                v_found.first);
        elsif (select rolsuper from pg_roles where rolname = session_user) then
            status := 'warning';
            message := format('connected as the superuser %s', session_user);
            hint := 'Workers need no more than a role that is a member of perdure_worker.';
        else
            message := 'the roles perdure_worker and perdure_reader are there';
        end if;
    when 'Connections' then
        select count(*) as used, current_setting('max_connections')::int as most into v_found
        from pg_stat_activity where backend_type = 'client backend';
        message := format('%s of %s connections are in use', v_found.used, v_found.most);
        if v_found.used * 10 > v_found.most * 8 then
            status := 'wrong';
            hint := 'Raise max_connections, or give each worker a smaller pool.';
        end if;
    when 'Oldest transaction' then
        select a.pid, coalesce(a.usename, '') as role, coalesce(a.state, '') as state,
            floor(extract(epoch from v_now - a.xact_start))::bigint as seconds into v_found
        from pg_stat_activity a
        where a.xact_start is not null and a.backend_type = 'client backend' and a.pid <> pg_backend_pid()
            and a.datname = current_database()
        order by a.xact_start limit 1;
        message := case when v_found.pid is null then 'no transaction is open'
            else format('the oldest transaction is %s s old: process %s of %s, %s', v_found.seconds, v_found.pid,
                v_found.role, v_found.state) end;
        if v_found.seconds > 300 then
            status := 'wrong';
            hint := 'While it is open nothing can be vacuumed, and claims slow down. End it, or set '
                'idle_in_transaction_session_timeout.';
        end if;
    when 'Vacuum' then
        select s.relname, s.n_dead_tup as dead, s.n_live_tup as live into v_found from pg_stat_user_tables s
        where s.schemaname = 'perdure' and s.n_dead_tup > 50000 and s.n_dead_tup > s.n_live_tup
            order by s.n_dead_tup desc limit 1;
        message := 'vacuum keeps up';
        if v_found.relname is not null then
            status := 'wrong';
            message := format('perdure.%s has %s dead rows beside %s live ones', v_found.relname, v_found.dead,
                v_found.live);
            hint := 'See that autovacuum runs and that no old transaction holds it back; vacuum the table.';
        end if;
    when 'Timers' then
        -- A worker that looks for what it may have missed may take ten seconds. The rows are counted to a thousand.
        select count(*) as number, floor(extract(epoch from v_now - min(d.due_at)))::bigint as seconds into v_found
            from (
            select due.due_at from generate_series(0, perdure.shard_count() - 1) s (shard)
            cross join lateral (
                (select t.fire_at as due_at from perdure.timers t where t.shard = s.shard::smallint
                    and t.fire_at < v_now - interval '10 s'
                order by t.fire_at limit 1001)
                union all
                (select a.deadline from perdure.activity_tasks a where a.shard = s.shard::smallint
                    and a.deadline < v_now - interval '10 s'
                order by a.deadline limit 1001)
                union all
                (select w.deadline from perdure.workflow_tasks w where w.shard = s.shard::smallint
                    and w.deadline < v_now - interval '10 s'
                order by w.deadline limit 1001)) due) d;
        message := 'timers fire in time';
        if v_found.number > 0 then
            status := 'wrong';
            message := format('%s due and late, the oldest by %s s', case when v_found.number > 1000
                then 'more than 1000 timers or timeouts are'
                else perdure.counted(v_found.number, 'timer or timeout is', 'timers or timeouts are') end,
                    v_found.seconds);
            hint := 'Workers fire timers: start one, or more of them.';
        end if;
    when 'Workers' then
        select count(*) filter (where w.lease_until > v_now) as alive,
            count(*) filter (where w.lease_until <= v_now) as lost into v_found
        from perdure.workers w;
        message := perdure.counted(v_found.alive, 'worker is', 'workers are') || ' alive';
        if v_found.lost > 0 then
            status := 'warning';
            message := perdure.counted(v_found.lost, 'worker has let its', 'workers have let their')
                || ' lease run out, '
                || perdure.counted(v_found.alive, 'is', 'are') || ' alive';
            hint := case when v_found.alive > 0 then 'The others take over what they held.'
                else 'Start a worker: nobody takes over what they held.' end;
        elsif v_found.alive = 0 then
            status := 'warning';
            hint := 'Start one.';
        end if;
    when 'Workflow tasks' then
        select e.workflow_id, t.attempt, coalesce(r.workflow_task_failure #>> '{failure,message}',
            r.workflow_task_failure ->> 'message', '') as failure,
            count(*) over () as number into v_found
        from perdure.workflow_tasks t
        join perdure.run_states r on r.shard = t.shard and r.run_id = t.run_id
        join perdure.executions e on e.shard = t.shard and e.run_id = t.run_id
        where t.attempt >= 3 and r.workflow_task_failure is not null order by t.attempt desc limit 1;
        message := 'no workflow task fails again and again';
        if v_found.number > 0 then
            status := 'wrong';
            message := format('%s again and again; that of %s is at attempt %s: %s',
                perdure.counted(v_found.number, 'workflow task fails', 'workflow tasks fail'),
                    left(v_found.workflow_id, 200), v_found.attempt, left(v_found.failure, 200));
            hint := 'It is a bug in workflow code: deploy fixed code, and they go on. sql/inspect/stuck.sql lists '
                'them.';
        end if;
    when 'Histories' then
        select e.workflow_id, r.next_event_id - 1 as events, r.history_bytes as bytes, r.max_history_events as most,
            count(*) over () as number into v_found
        from perdure.run_states r join perdure.executions e on e.shard = r.shard and e.run_id = r.run_id
        where r.next_event_id > least(r.max_history_events / 5, perdure.maximum('history events warned'))
            or r.history_bytes > perdure.maximum('history bytes warned')
        order by greatest((r.next_event_id - 1)::numeric / r.max_history_events,
            r.history_bytes::numeric / perdure.maximum('history bytes')) desc limit 1;
        message := 'no open run has a history that is too long';
        if v_found.number > 0 then
            status := 'warning';
            message := format('%s a long history; that of %s has %s events of at most %s, and %s MiB of at most %s',
                perdure.counted(v_found.number, 'run has', 'runs have'), left(v_found.workflow_id, 200), v_found.events,
                    v_found.most,
                round(v_found.bytes / 1048576.0, 1), perdure.maximum('history bytes') / 1048576);
            hint := 'A run is ended when its history has more. Let its code come to an end, and go on as another run, '
                'when its context suggests it.';
        end if;
    when 'Task queues' then
        select b.namespace, b.task_queue, sum(b.waiting)::bigint as waiting, count(*) over () as number into v_found
            from (
            select t.namespace, t.task_queue, count(*) as waiting from perdure.workflow_tasks t
            where t.state = 'scheduled' and t.scheduled_at < v_now - interval '10 s' group by 1, 2
            union all
            select a.namespace, a.task_queue, count(*) from perdure.activity_tasks a
            where a.state = 'scheduled' and a.attempt_scheduled_at < v_now - interval '10 s' group by 1, 2) b
        where not exists (select from perdure.workers w
            where w.lease_until > v_now and w.namespace = b.namespace and b.task_queue = any (w.task_queues))
        group by b.namespace, b.task_queue order by 3 desc limit 1;
        message := 'every queue with work has a worker';
        if v_found.number > 0 then
            status := 'wrong';
            message := format('%s in queue %s of namespace %s, and no worker polls it',
                perdure.counted(v_found.waiting, 'task waits', 'tasks wait'),
                left(v_found.task_queue, 200), left(v_found.namespace, 200))
                || case when v_found.number > 1 then '; ' || perdure.counted(v_found.number - 1, 'more queue has',
                    'more queues have') || ' none'
                    else '' end;
            hint := 'Start a worker for it, or correct its name where the workflows are started.';
        end if;
    when 'Set aside' then
        select count(*) as number, (array_agg(s.kind order by s.since))[1] as kind,
            (array_agg(s.run_id order by s.since))[1] as run_id,
            (array_agg(s.error order by s.since))[1] as error into v_found
        from (select * from perdure.set_aside s limit 1001) s;
        message := 'nothing was set aside';
        if v_found.number > 0 then
            status := 'wrong';
            message := format('%s an error and %s set aside, first a %s of run %s: %s',
                case when v_found.number > 1000 then 'more than 1000 things raised'
                    else perdure.counted(v_found.number, 'thing raised', 'things raised') end,
                case when v_found.number = 1 then 'was' else 'were' end, v_found.kind, v_found.run_id,
                    left(v_found.error, 200));
            hint := 'select * from perdure.set_aside_work lists it. It is tried again; if the error stays, terminate '
                'the run.';
        end if;
    when 'Settings' then
        message := 'no session may set the time or the way of the engine';
        if exists (select from perdure.settings s where s.name = 'test_settings' and s.value = 'true') then
            status := 'warning';
            message := 'any session may set the time of the engine, and so delete histories: this is a database of '
                'tests';
            hint := 'Is it not? delete from perdure.settings where name = ''test_settings''.';
        end if;
    when 'Invariants' then
        select count(*) filter (where v.kind <> 'cut') as number,
            string_agg(distinct v.kind, ', ') filter (where v.kind <> 'cut') as kinds,
            (array_agg(v.run_id) filter (where v.kind <> 'cut'))[1] as run_id,
                max(v.what) filter (where v.kind = 'cut') as cut into v_found
        from perdure.find_violations(p_seconds => p_seconds, p_limit => 1000) v;
        message := coalesce('no row breaks a rule of the engine as far as was looked in ' || p_seconds || ' s: '
            || v_found.cut,
            'no row breaks a rule of the engine');
        if v_found.number > 0 then
            status := 'wrong';
            message := format('%s a rule of the engine (%s), first of run %s',
                perdure.counted(v_found.number, 'row breaks', 'rows break'),
                v_found.kinds, v_found.run_id)
                || coalesce('; ' || v_found.cut, '');
            hint := 'select * from perdure.violations() lists them; docs/guides/operations.md says what each means.';
        end if;
    end case;
exception
    when others then
        status := 'warning';
        message := format('this could not be checked: %s', sqlerrm);
        hint := 'Let the owner of the schema perdure see what is wrong: select * from perdure.health_checks().';
end
$$;
comment on function perdure.health_check(text, double precision) is
    'One check of perdure.health_checks. A check that raises an error says so in its row, and the others are made.';

create or replace function perdure.health_checks(p_seconds double precision default 2)
returns table (name text, status text, message text, hint text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
    foreach name in array array['PostgreSQL', 'Roles', 'Connections', 'Oldest transaction', 'Vacuum', 'Workers',
        'Task queues', 'Timers',
        'Workflow tasks', 'Histories', 'Set aside', 'Settings', 'Invariants'] loop
        select c.status, c.message, c.hint into status, message, hint from perdure.health_check(name, p_seconds) c;
        return next;
    end loop;
end
$$;
comment on function perdure.health_checks(double precision) is
    'What an operator should know: for each check its status, which is well, warning or wrong, what was found, and '
    'what to do. The search for violations of the engine''s rules takes so many seconds at most.';
