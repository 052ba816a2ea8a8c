-- How large the engine's tables are, and whether vacuum keeps up with them.
--     \i sql/inspect/sizes.sql
select s.relname as "table", pg_size_pretty(pg_total_relation_size(s.relid)) as size, s.n_live_tup as live_rows,
    s.n_dead_tup as dead_rows,
    round(100.0 * s.n_tup_hot_upd / nullif(s.n_tup_upd, 0)) as hot_percent, s.last_autovacuum
from pg_stat_user_tables s where s.schemaname = 'perdure' order by pg_total_relation_size(s.relid) desc;
