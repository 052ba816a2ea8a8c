#!/bin/sh
# Writes the psql script that applies each file that is new or has changed, in order: install.sh MIGRATIONS DEFINITIONS…
# sql/install.psql and sql/install_bank.psql run it, each with its folders.
set -eu
LC_ALL=C
export LC_ALL

checksum() { sha256sum "$1" | cut -d' ' -f1; }

record() { # path kind checksum
    printf "insert into perdure.applied_files (path, kind, checksum, duration_ms) "
    printf "values ('%s', '%s', '%s', " "$1" "$2" "$3"
    printf "extract(epoch from clock_timestamp() - now()) * 1000)\n"
    printf "on conflict (path) do update set checksum = excluded.checksum, applied_at = clock_timestamp(), "
    printf "applied_by = session_user, duration_ms = excluded.duration_ms;\n"
}

migrations=$1
shift
known='' of="path ~ '^$migrations/[^/]*\$'"
definitions=''
case $migrations in */bank) schema=bank ;; *) schema=perdure ;; esac
for folder in "$@"; do
    of_definitions="${of_definitions:+$of_definitions or }path ~ '^$folder/[^/]*\$'"
    for file in "$folder"/*.sql; do
        [ -e "$file" ] || continue
        definitions="$definitions $file"
    done
done

printf '\\set dirty false\n'
for file in "$migrations"/*.sql; do
    sum=$(checksum "$file")
    known="$known,'$file'"
    printf "select count(*) = 0 as pending, coalesce(bool_or(checksum <> '%s'), false) as edited " "$sum"
    printf "from perdure.applied_files where path = '%s' \\\\gset\n" "$file"
    printf '\\if :edited\n\\warn %s was edited after it had been applied: restore it, ' "$file"
    printf 'and put the change into a new migration\nselect 1/0 as edited_migration;\n\\endif\n'
    printf '\\if :pending\n\\echo %s\n\\set dirty true\nbegin;\n' "$file"
    printf 'set local perdure.migrates = %s;\n\\i sql/before_migration.sql\n\\i %s\n' "$schema" "$file"
    record "$file" migration "$sum"
    printf 'commit;\n\\endif\n'
done
printf "select exists (select from perdure.applied_files where %s and path not in (%s)) as newer " "$of" "${known#,}"
printf '\\gset\n\\if :newer\n\\warn the database is newer than this code: update the code\n'
printf 'select 1/0 as newer_database;\n\\endif\n'

values=''
for file in $definitions; do
    values="$values,('$file','$(checksum "$file")')"
done
printf "select :dirty or exists (select from (values %s) f (path, checksum) " "${values#,}"
printf "left join perdure.applied_files a using (path) "
printf "where a.checksum is distinct from f.checksum) as dirty \\\\gset\n"
printf '\\if :dirty\nbegin;\n'
for file in $definitions; do
    printf '\\echo %s\n\\i %s\n' "$file" "$file"
    record "$file" definition "$(checksum "$file")"
done
printf "delete from perdure.applied_files where (%s) " "$of_definitions"
printf "and path not in (select path from (values %s) f (path, checksum));\n" "${values#,}"
printf 'commit;\n\\endif\n'
