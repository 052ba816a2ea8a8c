-- Retry policies, those of activities and of runs: temporal.api.common.v1.RetryPolicy.

create or replace function perdure.retry_wait(p_policy jsonb, p_attempt int) returns interval
language sql stable parallel safe
-- The exponent is limited so that the power stays below e to the 40th: that is longer than any maximum, and can still
-- be multiplied.
return interval '1 s' * least(
    extract(epoch from perdure.duration(p_policy -> 'initialInterval', 'initialInterval'))::double precision
        * power((p_policy ->> 'backoffCoefficient')::double precision, least(p_attempt - 1,
            floor(40 / nullif(ln((p_policy ->> 'backoffCoefficient')::double precision), 0)))),
    extract(epoch from perdure.duration(p_policy -> 'maximumInterval', 'maximumInterval'))::double precision);
comment on function perdure.retry_wait(jsonb, int) is
    'How long to wait after an attempt, according to a retry policy that is complete.';

create or replace function perdure.is_final_failure(p_failure jsonb, p_policy jsonb, p_type text) returns boolean
language sql immutable parallel safe
return p_failure #> '{applicationFailureInfo,nonRetryable}' is not distinct from 'true'
    or p_failure #> '{serverFailureInfo,nonRetryable}' is not distinct from 'true'
    or p_failure ? 'canceledFailureInfo' or p_failure ? 'terminatedFailureInfo'
    or coalesce(p_failure #>> '{timeoutFailureInfo,timeoutType}' not in ('StartToClose', 'Heartbeat'), false)
    or coalesce(p_policy -> 'nonRetryableErrorTypes' ? p_type, false);
comment on function perdure.is_final_failure(jsonb, jsonb, text) is
    'Whether a failure of that type is not followed by another attempt: the failure says so itself, or the policy '
    'names its type.';
