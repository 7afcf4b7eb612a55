#!/usr/bin/env bash
# The program in the README is samples/hello.c, and every file and folder that
# the README names is there.
#
#   test_readme.sh SOURCE
set -euo pipefail
cd "$1"

# The first block of C is the program; others are parts of one.
if ! diff <(awk '/^```c$/ {on = 1; next} on && /^```$/ {exit} on' README.md) \
    samples/hello.c; then
    echo "README.md: its program differs from samples/hello.c (above)" >&2
    exit 1
fi

missing=0
while read -r path; do
    [[ -e $path ]] && continue
    echo "README.md names $path, which is not there" >&2
    missing=1
done < <(grep -oE '`(proto|broker|client|samples|tests)/[A-Za-z0-9_./-]*' \
    README.md | tr -d '`' | sort -u)
exit "$missing"
