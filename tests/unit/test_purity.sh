#!/usr/bin/env bash
# Imports follow the arrows, the pure parts are pure, and the top level holds
# what the map allows.
#
#   test_purity.sh SOURCE [OBJECT...]
#
# Arrows: samples, command line, gateway -> public headers (the last two also
# proto/plural.h, words alone, and proto/yaml.h, files of settings);
# client -> proto and broker/embed.h;
# broker -> engine -> proto, and the store's face; proto -> nothing of ours.
# Pure: proto, broker/engine, the client's session, seen, wheel, publisher, packer,
# outgoing, gate, answers, registry and pages. They include no header that reaches for the world, and their OBJECTs
# need no symbol beside memory, strings, msgpack-c and one another.
set -euo pipefail
cd "$1"
shift
failures=0

fail()
{
    printf '%s\n' "$@" >&2
    failures=$((failures + 1))
}

# sources FOLDER: C files below it
sources()
{
    find "$1" -name '*.[ch]' | sort
}

# ---- arrows ----

# allow WHAT PATTERN FILE...: every quoted include matches, or is a file beside
# the one that includes it.
allow()
{
    local what=$1 pattern=$2 file include
    shift 2
    for file in "$@"; do
        while read -r include; do
            if [[ ! $include =~ ^($pattern)$ ]]; then
                fail "$what: $file includes \"$include\""
            fi
        done < <(sed -nE 's/^[ \t]*#[ \t]*include[ \t]*"([^"]*)".*/\1/p' \
                     "$file")
    done
}

# Files of FOLDER, but not of the folders below it that are named.
own()
{
    local folder=$1 except
    shift
    except=$(printf '%s\n' "$@" | paste -sd '|')
    sources "$folder" | grep -vE "^$folder/($except)/" || true
}

word='[a-z0-9_/]+\.h'
mapfile -t proto < <(sources proto)
mapfile -t engine < <(sources broker/engine)
mapfile -t broker < <(own broker engine)
mapfile -t client < <(own client cli gateway json outbox)
((${#proto[@]} && ${#engine[@]} && ${#broker[@]} && ${#client[@]})) ||
    fail "a folder of the map has no sources"

allow proto "proto/$word|tidings/err\.h" "${proto[@]}"
allow broker/engine \
    "broker/engine/$word|broker/store/store\.h|proto/$word|tidings/err\.h" \
    "${engine[@]}"
allow broker "broker/$word|proto/$word|tidings/err\.h" "${broker[@]}"
allow client \
    "client/[a-z0-9_]+\.h|proto/$word|tidings/$word|broker/embed\.h" \
    "${client[@]}"
if [[ -d client/json ]]; then # a library beside libtidings
    mapfile -t files < <(sources client/json)
    allow client/json "client/json/$word|proto/$word|tidings/$word" \
        "${files[@]}"
fi
if [[ -d client/outbox ]]; then # likewise
    mapfile -t files < <(sources client/outbox)
    allow client/outbox "client/outbox/$word|proto/(limits|utf8)\.h|tidings/$word" \
        "${files[@]}"
fi
for folder in client/cli client/gateway; do
    [[ -d $folder ]] || continue
    mapfile -t files < <(sources $folder)
    allow $folder "$folder/$word|tidings/$word|proto/(plural|yaml)\.h" \
        "${files[@]}"
done
if [[ -d samples ]]; then
    mapfile -t files < <(sources samples)
    allow samples "samples/$word|tidings/$word|(record/)?[a-z0-9_]+\.h" "${files[@]}"
fi

# ---- purity ----

# proto/zmq_body.* is not of the pure library: what edge and link share of
# libzmq; nor is proto/yaml.*, which reads files. No pure file may include them.
mapfile -t pure < <(
    printf '%s\n' "${proto[@]}" "${engine[@]}" |
        grep -vE '^proto/(zmq_body|yaml)\.'
    ls client/session*.[ch] client/seen.[ch] client/wheel.[ch] client/request_slots.c client/publisher.[ch] \
        client/packer.[ch] client/settle*.[ch] client/outgoing.[ch] \
        client/gate.[ch] client/answers.[ch] client/registry.[ch] \
        client/pages.[ch]
)
headers='assert|inttypes|limits|stdalign|stdarg|stdatomic|stdbool|stddef'
headers+='|stdint|stdio|stdlib|stdnoreturn|string|msgpack|uthash|utlist|xxhash'
for file in "${pure[@]}"; do
    bad=$(grep -E '^[ \t]*#[ \t]*include[ \t]*<' "$file" |
              grep -vE "<($headers)\.h>" || true)
    bad+=$(grep -E '"proto/(zmq_body|yaml)\.h"' "$file" || true)
    [[ -z $bad ]] || fail "not pure: $file" "$bad"
done

# What an object may need from outside the pure objects. Names beginning with
# two underscores are the compiler's (checks, sanitizers, coverage).
libc='bcmp|mem(chr|cmp|cpy|move|set)|str(chr|cmp|cspn|len|ncmp|nlen|rchr|spn|str)'
libc+='|malloc|calloc|realloc|free|qsort|bsearch|v?snprintf|strtou?ll?'
libc+='|ntoh[ls]|hton[ls]' # msgpack-c's byte order
libc+='|msgpack_.*|XXH.*|_GLOBAL_OFFSET_TABLE_|__.*'
objects=()
for object in "$@"; do
    case $object in
    *client.dir/session*.c.o | *client.dir/seen.c.o | \
        *client.dir/wheel.c.o | *client.dir/request_slots.c.o | \
        *client.dir/publisher.c.o | *client.dir/packer.c.o | \
        *client.dir/outgoing.c.o | *client.dir/settle*.c.o | \
        *client.dir/gate.c.o | *client.dir/answers.c.o | \
        *client.dir/registry.c.o | *client.dir/pages.c.o)
        objects+=("$object") ;;
    *client.dir/*) ;;
    *) objects+=("$object") ;;
    esac
done
if ((${#objects[@]})); then
    defined=$(nm --defined-only -g "${objects[@]}" | awk 'NF == 3 {print $3}')
    needed=$(nm -u -A "${objects[@]}" |
                 awk '{sub(/^.*\//, "", $1); print $NF, $1}' | sort -u)
    bad=$(awk 'NR == FNR {have[$1]; next} !($1 in have)' \
              <(printf '%s\n' "$defined") <(printf '%s\n' "$needed") |
              grep -vE "^($libc) " || true)
    [[ -z $bad ]] || fail "not pure: these objects call" "$bad"
fi

# ---- top level ----

if top=$(git ls-files --cached --others --exclude-standard 2>/dev/null); then
    top=$(cut -d/ -f1 <<<"$top" | sort -u)
else
    top=$(ls -A)
fi
allowed='CMakeLists\.txt|README\.md|LICENSE|proto|broker|client|samples|tests'
bad=$(grep -vE "^($allowed|\..*|build.*)$" <<<"$top" || true)
[[ -z $bad ]] || fail "the top level holds more than the map:" "$bad"

exit $((failures > 0))
