#!/usr/bin/env bash
# Shows events flowing through a small kiosk, or a shop.
#
#   samples/demo.sh            tidingsd and four services, each its own process
#   samples/demo.sh --inproc   the same services in one process, no broker
#   samples/demo.sh --durable  the broker keeps events: a service is killed and
#                              misses nothing, and an order that it cannot
#                              handle waits until it can
#   samples/demo.sh --shop     six services with databases of their own call one
#                              another by name: orders that succeed and fail, an
#                              instance that is killed, a breaker
#
# Installs the Debian packages it lacks, builds into build/, runs, and checks
# that each event got where it belongs. --built DIR uses the programs of the
# build folder DIR as they are. Needs nothing else before it.
set -euo pipefail

deadline_s=10 # for each step; all of them together take well under a second
mode=
built=
while (($#)); do
    case $1 in
    --inproc | --durable | --shop)
        [[ -z $mode || $mode == "$1" ]] || {
            echo "demo.sh: $mode or $1" >&2
            exit 2
        }
        mode=$1
        ;;
    --built)
        [[ -n ${2-} ]] || { echo "demo.sh: --built needs a folder" >&2; exit 2; }
        built=$2
        shift
        ;;
    --help | -h)
        sed -n '2,15s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    *)
        echo "demo.sh: unknown argument $1; see --help" >&2
        exit 2
        ;;
    esac
    shift
done
inproc=
durable=
[[ $mode != --inproc ]] || inproc=yes
[[ $mode != --durable ]] || durable=$mode

# shellcheck source=.ci/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../.ci/common.sh"

# ---- build ----

if [[ -z $built ]]; then
    built=$root/build
    packages=("${build_packages[@]}")
    cli=OFF
    if [[ $mode == --durable || $mode == --shop ]]; then # the operator's part
        packages+=("${cli_packages[@]}")
        cli=ON
    fi
    need_packages "${packages[@]}"
    echo "building into ${built#"$root"/}/"
    build "$built" -DTIDINGS_SAMPLES=ON -DTIDINGS_TESTS=OFF \
        -DTIDINGS_BENCH=OFF -DTIDINGS_CLI="$cli"
fi
bin=$built/bin
[[ $mode != --shop ]] || exec "$root/samples/shop/demo.sh" "$bin"

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
# if there is one. kiosk_inproc labels its lines itself.
start() {
    local name=$1 in=/dev/null label="s/^/$1: /"
    shift
    [[ $name == kiosk ]] && label=
    [[ -e $dir/$name.in ]] && in=$dir/$name.in
    # A new one each time: who reads for the one before may not have ended.
    rm -f "$dir/$name.out"
    mkfifo "$dir/$name.out"
    sed -u "$label" <"$dir/$name.out" >&"$lines" &
    labellers+=($!)
    "$@" <"$in" >"$dir/$name.out" 2>&1 &
    pids[$name]=$!
}

declare -A colours=()
if [[ -t 1 && ${TERM:-dumb} != dumb ]]; then
    colours=([tidingsd]=90 [kiosk]=90 [user_service]=32 [order_service]=33
             [notification]=35 [analytics]=36 [operator]=31)
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

# ---- --durable: what an operator does, and what happens to a service ----

mails=notification.order.created # the group of the order confirmations

# operate WORD...: runs tidings WORD..., and shows both.
operate() {
    local line
    show "operator: tidings $*"
    while IFS= read -r line; do
        show "operator:   $line"
    done < <("$bin/tidings" --url "$url" "$@" 2>&1)
}

# soon COMMAND...: until it succeeds, which takes milliseconds.
soon() {
    local end=$((SECONDS + deadline_s))
    until "$@"; do
        if ((SECONDS > end)); then
            echo "demo: never came true: $*" >&2
            exit 1
        fi
        sleep 0.05
    done
}

# Whether a group of notification has settled so many, has so many dead.
has() {
    "$bin/tidings" --url "$url" group show events "notification.$1" --json |
        grep -q "\"$2\":$3,"
}

# An order that fails is dead after the third time, and that soon.
prepare() {
    operate group add events "$mails" --pattern order.created --start all \
        --max-deliver 3 --backoff 20ms
}

# As if it had crashed; what it has settled has come to the broker. What is
# sent to it before the broker finds out comes again after the grace time.
crash_notification() {
    soon has user.created acked 1
    soon has order.created acked 1
    kill -KILL "${pids[notification]}"
    wait "${pids[notification]}" 2>/dev/null || true
    unset "pids[notification]"
    show "notification: (killed)"
}

# restart OPTION...: notification again.
restart() {
    seen=${seen//notification: ready/notification: was ready}
    start notification "$bin/notification" --durable "$@" "$url"
    await "notification: ready"
}

poison() {
    echo "create-order $john prod2 1 0" >&"$orders"
    await "notification: refused order.created"
    soon has order.created dead 1
    operate dlq list events "$mails"
    operate dlq show events "$mails" 1
}

redrive() {
    stop notification
    restart --free-orders
    operate dlq redrive events "$mails"
    await "notification: order confirmation to $john: order-2"
    soon has order.created dead 0
}

# lines_of TEXT: how many have come that begin so.
lines_of() {
    grep -c "^$1" <<<"$seen" || true
}

# ---- the kiosk opens ----

services=(notification analytics user_service order_service)
mkfifo "$dir/user_service.in" "$dir/order_service.in" "$dir/kiosk.in"

if [[ $inproc ]]; then
    start kiosk "$bin/kiosk_inproc"
    exec {users}>"$dir/kiosk.in"
    orders=$users
    await "kiosk: ready"
else
    start tidingsd "$bin/tidingsd" --listen 'tcp://127.0.0.1:*' \
        ${durable:+--data "$dir/data" --grace 1 --log-level warn}
    await "tidingsd: ready"
    [[ $seen =~ listening\ (tcp://[0-9.:]+) ]]
    url=${BASH_REMATCH[1]}
    [[ ! $durable ]] || prepare
    for name in "${services[@]}"; do
        start "$name" "$bin/$name" $durable "$url"
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

[[ ! $durable ]] || crash_notification

echo 'create-user jane_doe jane@example.com "Jane Doe"' >&"$users"
if [[ $durable ]]; then
    echo 'create-user jim_doe jim@example.com "Jim Doe"' >&"$users"
    await "analytics: users: 3"
    restart
    await "notification: welcome mail to jim@example.com"
fi
await "notification: welcome mail to jane@example.com"
await "analytics: users: 2"

if [[ $durable ]]; then
    poison
    redrive
fi

# ---- and it closes; each says what it counted ----

failed=
if [[ $inproc ]]; then
    stop kiosk
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
if [[ $durable ]]; then # of all its lives together
    result+=" welcome_emails=$(lines_of "notification: welcome mail")"
    result+=" order_confirmations=$(lines_of "notification: order confirm")"
    echo "demo: $result dead_letters=1 redriven=1"
    [[ $result == "users=3 orders=2 welcome_emails=3 order_confirmations=2" ]]
    exit
fi
for key in welcome_emails order_confirmations; do
    result+=" $key=$(value notification $key)"
done
echo "demo: $result"
[[ $result == "users=2 orders=1 welcome_emails=2 order_confirmations=1" ]]
