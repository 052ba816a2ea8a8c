#!/bin/sh
# Writes a Swift file with the text of SQL files: embed.sh ROOT OUTPUT PATH…
set -eu
root=$1 output=$2
shift 2
{
    printf '/// In the order of applying.\npublic let sqlFiles: [SQLFile] = [\n'
    for path in "$@"; do
        printf '    SQLFile(path: "%s", text: ###"""\n' "$path"
        cat "$root/$path"
        printf '\n"""###),\n'
    done
    printf ']\n'
} > "$output.new"
mv "$output.new" "$output"
