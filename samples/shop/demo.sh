#!/usr/bin/env bash
# Shows a shop of six services at work, each its own process with a database
# of its own, calling one another over the bus alone: samples/demo.sh --shop.
#
#   samples/shop/demo.sh BIN    with the programs of the folder BIN
set -euo pipefail

bin=$(cd "$1" && pwd)
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
deadline_s=20 # for each step; all of them together take about five seconds
dir=$(mktemp -d)
PATH=$bin:$PATH
export TIDINGS_URL=ipc://$dir/bus

fail() {
    echo "demo: $*" >&2
    exit 1
}

cleanup() {
    local code=$?
    trap - EXIT INT TERM
    ((code == 0)) || tail -n 40 "$dir"/.tidings/*/log >&2 2>/dev/null || true
    tidings down "$dir/shop.yaml" >/dev/null 2>&1 || true
    rm -rf "$dir"
    exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

bold='' dim='' red='' plain=''
if [[ -t 1 && ${TERM:-dumb} != dumb && -z ${NO_COLOR-} ]]; then
    bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' plain=$'\e[0m'
fi

chapter() {
    printf '\n%s%s%s\n' "$bold" "$*" "$plain"
}

# request TYPE DATA: asks, shows both, leaves the answer in $answer. False: it
# is an error.
request() {
    local code=0
    printf '%s$ tidings request %s %s%s\n' "$dim" "$1" "'$2'" "$plain"
    answer=$(tidings request "$1" "$2" 2>&1) || code=$?
    if ((code == 0)); then
        printf '  %s\n' "$answer"
    else
        printf '  %s%s%s\n' "$red" "$answer" "$plain"
    fi
    return "$code"
}

# refused TEXT TYPE DATA: the same, and it has to be refused with that text.
refused() {
    local text=$1
    shift
    ! request "$@" || fail "$1 was not refused"
    [[ $answer == *"$text"* ]] || fail "$1 was refused, but not for: $text"
}

# field NAME [ANSWER]: a field of an answer: "total_cents", for example.
field() {
    local text=${2-$answer}
    [[ $text =~ \"$1\":\ ?\"?([^,\"\}]*) ]] || fail "no $1 in: $text"
    echo "${BASH_REMATCH[1]}"
}

# soon COMMAND...: until it succeeds.
soon() {
    local end=$((SECONDS + deadline_s))
    until "$@"; do
        ((SECONDS <= end)) || fail "never came true: $*"
        sleep 0.05
    done
}

show() {
    printf '%s$ tidings %s%s\n' "$dim" "$*" "$plain"
    tidings "$@" | sed 's/^/  /'
}

# order PRODUCT QUANTITY CARD: the data of an order of john's.
order() {
    printf '{"user_id": "%s", "card": "%s", ' "$john" "$3"
    printf '"items": [{"product_id": "%s", "quantity": %s}]}' "$1" "$2"
}

# ---- it opens ----

chapter "A broker and six services, in order"
sed "s|tcp://127.0.0.1:7450|$TIDINGS_URL|" "$here/shop.yaml" >"$dir/shop.yaml"
tidings up --detach "$dir/shop.yaml"
show status "$dir/shop.yaml"
show service list

chapter "A user, and something to sell"
request stock.add '{"product_id": "lamp", "name": "Lamp", "price_cents": 2500, "quantity": 100}'
request stock.add '{"product_id": "chair", "name": "Chair", "price_cents": 9900, "quantity": 1}'
request user.create '{"username": "john_doe", "email": "john@example.com", "name": "John Doe"}'
john=$(field user_id)
refused UNIQUE user.create '{"username": "john_doe", "email": "j@example.com", "name": "John"}'

chapter "An order that succeeds"
request order.create "$(order lamp 2 4242)"

chapter "One that is out of stock"
refused "out of stock" order.create "$(order chair 2 4242)"

chapter "One whose payment fails: its stock is released again"
refused "card declined" order.create "$(order lamp 1 4000)"

# ---- an instance is killed ----

chapter "An instance of the inventory is killed while 20 orders come"
# pid INSTANCE: of the first, or second, instance of the inventory.
pid() {
    tidings service list inventory --json | grep -o '"pid": *"[0-9]*"' |
        grep -o '[0-9]*' | sed -n "${1}p"
}
victim=$(pid 1)
for ((i = 1; i <= 20; i++)); do
    ((i != 7)) || kill -KILL "$victim"
    tidings request order.create "$(order lamp 1 4242)" >/dev/null ||
        fail "order $i of 20 failed"
done
echo "  all 20 are confirmed"
both_are_there() {
    [[ $(pid 2) && $(pid 1) != "$victim" && $(pid 2) != "$victim" ]]
}
soon both_are_there
show status "$dir/shop.yaml"

# ---- a breaker ----

chapter "The bank does not answer: a breaker opens, and closes again"
request payment.outage '{"ms": 2500}'
for i in 1 2 3; do
    refused "bank does not answer" order.create "$(order lamp 1 4242)"
done
refused "breaker" order.create "$(order lamp 1 4242)"
breaker_is() {
    tidings service stats payments --json |
        grep -q "\"breaker\": *\"$1\""
}
breaker_is open || fail "the breaker is not open"
soon breaker_is half_open # and by then the bank answers again
for i in 1 2; do
    request order.create "$(order lamp 1 4242)"
done
soon breaker_is closed
show service stats payments

# ---- what came of it ----

chapter "What came of it"
counts() {
    local users stock payments orders mails analytics
    users=$(tidings request user.count {}) || return 1
    orders=$(tidings request order.count {}) || return 1
    payments=$(tidings request payment.count {}) || return 1
    stock=$(tidings request stock.count {}) || return 1
    mails=$(tidings request mail.count {}) || return 1
    analytics=$(tidings request analytics.count {}) || return 1
    result="users=$(field users "$users")"
    result+=" confirmed=$(field confirmed "$orders")"
    result+=" cancelled=$(field cancelled "$orders")"
    result+=" paid=$(field completed "$payments")"
    result+=" declined=$(field failed "$payments")"
    result+=" available=$(field available "$stock")"
    result+=" reserved=$(field reserved "$stock")"
    result+=" welcome=$(field welcome "$mails")"
    result+=" confirmations=$(field confirmation "$mails")"
    result+=" cancellations=$(field cancellation "$mails")"
    result+=" analytics=$(field users "$analytics")"
    result+="/$(field orders "$analytics")/$(field cancelled "$analytics")"
    result+="/$(field payments "$analytics")"
    result+="/$(field revenue_cents "$analytics")"
}
expected="users=1 confirmed=23 cancelled=6 paid=23 declined=1"
expected+=" available=77 reserved=24 welcome=1 confirmations=23"
expected+=" cancellations=6 analytics=1/23/6/23/60000"
add_up() {
    counts && [[ $result == "$expected" ]]
}
end=$((SECONDS + deadline_s))
until add_up; do
    ((SECONDS <= end)) || fail "counts are $result, not $expected"
    sleep 0.05
done

! grep -hE '(confirmation|cancellation) mail' "$dir"/.tidings/*/log |
    grep -v 'mail to john@example.com:' || fail "that mail went elsewhere"

tidings down "$dir/shop.yaml"
echo
echo "demo: $result"
