-- What Temporal's SDKs send along with an activity reaches whoever runs it.

alter table perdure.activity_tasks add column header jsonb;
comment on column perdure.activity_tasks.header is
    'What interceptors of the workflow hand to those of the activity: payloads by name; null for none.';

-- The SDKs keep the versions that a workflow has taken in an attribute that every namespace has.
insert into perdure.search_attributes (namespace, name, type)
select n.namespace, 'TemporalChangeVersion', 'KeywordList' from perdure.namespaces n
on conflict do nothing;
