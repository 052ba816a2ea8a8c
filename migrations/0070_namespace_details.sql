-- What Temporal's clients tell and want to know of a namespace, and that one can be deleted.

alter table perdure.namespaces
    add column namespace_id uuid not null default gen_random_uuid(),
    add column owner_email text not null default '',
    add column data jsonb not null default '{}' check (jsonb_typeof(data) = 'object'),
    add column deleted_at timestamptz;
comment on column perdure.namespaces.namespace_id is 'An id by which Temporal''s clients may name it.';
comment on column perdure.namespaces.owner_email is 'Whom to ask about it.';
comment on column perdure.namespaces.data is 'Texts by name, for whoever keeps something about it.';
comment on column perdure.namespaces.deleted_at is
    'When it was deleted; its runs go bit by bit after that, and nobody sees it any more. Null for one that is there.';
