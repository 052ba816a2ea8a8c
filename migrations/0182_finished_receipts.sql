-- A receipt stays for a while when its transfer is finished: whoever has seen the transfer before finds it
-- (docs/decisions/0034-transfers.md).

alter table perdure.received_transfers add column finished_at timestamptz;
comment on column perdure.received_transfers.finished_at is
    'When it was seen that the transfer is reported back; null before. The row is deleted a minute later.';
comment on table perdure.received_transfers is
    'One row is a transfer that has taken effect, until a while after that is reported back: it takes effect once.';
drop index perdure.received_transfers_by_age;
create index received_transfers_by_age on perdure.received_transfers (shard, received_at) where finished_at is null;
create index received_transfers_finished on perdure.received_transfers (shard, finished_at)
    where finished_at is not null;
drop function if exists perdure.forget_transfers(smallint, uuid, bigint[]);
