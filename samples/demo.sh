#!/usr/bin/env bash
# Shows events flowing through a small shop.
#
#   samples/demo.sh            tidingsd and four services, each its own process
#   samples/demo.sh --inproc   the same services in one process, no broker
#
# Installs the Debian packages it lacks, builds into build/, runs, and checks
# that each event got where it belongs. --built DIR uses the programs of the
# build folder DIR as they are. Needs nothing else before it.
set -euo pipefail

deadline_s=10 # for each step; all of them together take well under a second
inproc=
built=
while (($#)); do
    case $1 in
    --inproc) inproc=yes ;;
    --built) built=${2:?--built needs a folder} && shift ;;
    --help | -h)
        sed -n '2,9s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    *)
        echo "demo.sh: unknown argument $1; see --help" >&2
        exit 2
        ;;
    esac
    shift
done

# shellcheck source=.ci/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../.ci/common.sh"

# ---- build ----

if [[ -z $built ]]; then
    built=$root/build
    need_packages "${build_packages[@]}"
    echo "building into ${built#"$root"/}/"
    build "$built" -DTIDINGS_SAMPLES=ON -DTIDINGS_TESTS=OFF \
        -DTIDINGS_BENCH=OFF -DTIDINGS_CLI=OFF
fi
bin=$built/bin

# ---- processes: each writes to a pipe, lines are labelled and come here ----

dir=$(mktemp -d)
declare -A pids=()
labellers=()
seen=$'\n' # all lines so far
mkfifo "$dir/lines"
exec {lines}<>"$dir/lines" # for reading too, so that opening does not wait

# stop NAME...: ends each of them and waits until it is gone.
stop() {
    local name
    for name; do
        [[ -n ${pids[$name]:-} ]] || continue
        kill "${pids[$name]}" 2>/dev/null || true
        wait "${pids[$name]}" || failed+=" $name"
        unset "pids[$name]"
    done
}

cleanup() {
    local code=$? failed=
    trap - EXIT INT TERM
    kill "${pids[@]}" 2>/dev/null || true
    wait "${pids[@]}" "${labellers[@]}" 2>/dev/null || true
    rm -rf "$dir"
    exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# start NAME COMMAND...: in the background, with standard input from $dir/NAME.in
# if there is one. shop_inproc labels its lines itself.
start() {
    local name=$1 in=/dev/null label="s/^/$1: /"
    shift
    [[ $name == shop ]] && label=
    [[ -e $dir/$name.in ]] && in=$dir/$name.in
    mkfifo "$dir/$name.out"
    sed -u "$label" <"$dir/$name.out" >&"$lines" &
    labellers+=($!)
    "$@" <"$in" >"$dir/$name.out" 2>&1 &
    pids[$name]=$!
}

declare -A colours=()
if [[ -t 1 && ${TERM:-dumb} != dumb ]]; then
    colours=([tidingsd]=90 [shop]=90 [user_service]=32 [order_service]=33
             [notification]=35 [analytics]=36)
fi

show() {
    local name=${1%%: *} text=${1#*: } colour=
    colour=${colours[$name]:-}
    printf '%s%-14s%s %s\n' "${colour:+$'\e['${colour}m}" "$name" \
        "${colour:+$'\e[0m'}" "$text"
}

# await LINE: reads and shows lines until one begins with LINE.
await() {
    local line name end=$((SECONDS + deadline_s))
    until [[ $seen == *$'\n'"$1"* ]]; do
        if ((SECONDS > end)) || ! IFS= read -r -t 1 -u "$lines" line; then
            for name in "${!pids[@]}"; do
                kill -0 "${pids[$name]}" 2>/dev/null && continue
                echo "demo: $name ended before its time" >&2
                exit 1
            done
            ((SECONDS > end)) || continue
            echo "demo: no \"$1\" within $deadline_s s" >&2
            exit 1
        fi
        seen+=$line$'\n'
        show "$line"
    done
}

# value NAME KEY: what NAME's last words say of KEY.
value() {
    [[ $seen == *$'\n'"$1: final "* ]] || return 1
    local words=${seen##*$'\n'"$1: final "}
    words=" ${words%%$'\n'*}"
    words=${words##*" $2="}
    echo "${words%% *}"
}

# ---- the shop opens ----

services=(notification analytics user_service order_service)
mkfifo "$dir/user_service.in" "$dir/order_service.in" "$dir/shop.in"

if [[ $inproc ]]; then
    start shop "$bin/shop_inproc"
    exec {users}>"$dir/shop.in"
    orders=$users
    await "shop: ready"
else
    start tidingsd "$bin/tidingsd" --listen 'tcp://127.0.0.1:*'
    await "tidingsd: ready"
    [[ $seen =~ listening\ (tcp://[0-9.:]+) ]]
    for name in "${services[@]}"; do
        start "$name" "$bin/$name" "${BASH_REMATCH[1]}"
    done
    exec {users}>"$dir/user_service.in" {orders}>"$dir/order_service.in"
    for name in "${services[@]}"; do
        await "$name: ready"
    done
fi

# ---- people come ----

echo 'create-user john_doe john@example.com "John Doe"' >&"$users"
await "user_service: created"
[[ $seen =~ "user_service: created "([a-z0-9-]+)": john_doe" ]]
john=${BASH_REMATCH[1]}
await "notification: welcome mail to john@example.com"
await "analytics: users: 1"

echo "create-order $john prod1 2 9999" >&"$orders"
await "notification: order confirmation to $john"
await "analytics: orders: 1"

echo 'create-user jane_doe jane@example.com "Jane Doe"' >&"$users"
await "notification: welcome mail to jane@example.com"
await "analytics: users: 2"

# ---- and it closes; each says what it counted ----

failed=
if [[ $inproc ]]; then
    stop shop
else
    stop user_service order_service notification analytics
fi
for name in "${services[@]}"; do
    await "$name: final"
done
stop tidingsd
if [[ $failed ]]; then
    echo "demo: did not end well:$failed" >&2
    exit 1
fi

result="users=$(value analytics users) orders=$(value analytics orders)"
for key in welcome_emails order_confirmations; do
    result+=" $key=$(value notification $key)"
done
echo "demo: $result"
[[ $result == "users=2 orders=1 welcome_emails=2 order_confirmations=1" ]]
