#!/bin/sh
# Writes the psql script that applies each file that is new or has changed, in order. sql/install.psql runs it.
set -eu
LC_ALL=C
export LC_ALL

checksum() { sha256sum "$1" | cut -d' ' -f1; }

record() { # path kind checksum
    printf "insert into perdure.applied_files (path, kind, checksum, duration_ms) values ('%s', '%s', '%s', extract(epoch from clock_timestamp() - now()) * 1000)\n" "$1" "$2" "$3"
    printf "on conflict (path) do update set checksum = excluded.checksum, applied_at = clock_timestamp(), applied_by = session_user, duration_ms = excluded.duration_ms;\n"
}

printf '\\set dirty false\n'
known=''
for file in migrations/*.sql; do
    sum=$(checksum "$file")
    known="$known,'$file'"
    printf "select count(*) = 0 as pending, coalesce(bool_or(checksum <> '%s'), false) as edited from perdure.applied_files where path = '%s' \\\\gset\n" "$sum" "$file"
    printf '\\if :edited\n\\warn %s was edited after it had been applied: restore it, and put the change into a new migration\nselect 1/0 as edited_migration;\n\\endif\n' "$file"
    printf '\\if :pending\n\\echo %s\n\\set dirty true\nbegin;\n\\i %s\n' "$file" "$file"
    record "$file" migration "$sum"
    printf 'commit;\n\\endif\n'
done
printf "select exists (select from perdure.applied_files where kind = 'migration' and path not in (%s)) as newer \\\\gset\n" "${known#,}"
printf '\\if :newer\n\\warn the database is newer than this code: update the code\nselect 1/0 as newer_database;\n\\endif\n'

values=''
for file in sql/engine/*.sql sql/views/*.sql sql/bank/*.sql; do
    [ -e "$file" ] || continue
    values="$values,('$file','$(checksum "$file")')"
done
printf "select :dirty or exists (select from (values %s) f (path, checksum) left join perdure.applied_files a using (path) where a.checksum is distinct from f.checksum) as dirty \\\\gset\n" "${values#,}"
printf '\\if :dirty\nbegin;\n'
for file in sql/engine/*.sql sql/views/*.sql sql/bank/*.sql; do
    [ -e "$file" ] || continue
    printf '\\echo %s\n\\i %s\n' "$file" "$file"
    record "$file" definition "$(checksum "$file")"
done
printf "delete from perdure.applied_files where kind = 'definition' and path not in (select path from (values %s) f (path, checksum));\n" "${values#,}"
printf 'commit;\n\\endif\n'
