-- Real World Mode: how, and how often, the account API fails.

create or replace function bank.set_real_world_mode(
    enabled boolean, hang_rate double precision default null, error_rate double precision default null,
    lost_answer_share double precision default null, hang_seconds double precision default null
) returns bank.settings
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_settings bank.settings;
begin
    update bank.settings s set
        real_world_mode = coalesce(enabled, s.real_world_mode),
        hang_rate = coalesce(set_real_world_mode.hang_rate, s.hang_rate),
        error_rate = coalesce(set_real_world_mode.error_rate, s.error_rate),
        lost_answer_share = coalesce(set_real_world_mode.lost_answer_share, s.lost_answer_share),
        hang_seconds = coalesce(set_real_world_mode.hang_seconds, s.hang_seconds),
        updated_at = now()
    returning * into v_settings;
    return v_settings;
exception
    when check_violation then
        raise exception 'those rates do not fit' using errcode = 'BK002',
            hint = 'rates go from 0 to 1, hang_rate and error_rate together at most 1, hang_seconds from 0 to 300';
end
$$;
comment on function bank.set_real_world_mode(boolean, double precision, double precision, double precision,
    double precision) is
    'Turns Real World Mode on or off; a setting that is null stays as it is. Raises BK002 for rates that do not fit.';
