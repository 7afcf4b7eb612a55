#!/usr/bin/env bash
# What hello, breaker and greeter print, and what the kiosk's programs do when they are used wrongly.
#
#   test_samples.sh BIN
set -euo pipefail

bin=$1
fail() {
    echo "samples: $*" >&2
    exit 1
}

out=$("$bin/hello") || fail "hello: exit $?"
[[ $out == "hello, user.created: John Doe" ]] || fail "hello printed: $out"

out=$("$bin/breaker") || fail "breaker: exit $?"
[[ $out == "payments: breaker is open
order 1: payments do not answer (3 tries)
order 2: circuit breaker is open; try again later
payments: breaker is half_open
payments: breaker is closed
order 3: success after 4 calls" ]] || fail "breaker printed: $out"

out=$("$bin/greeter") || fail "greeter: exit $?"
[[ $out == "greeters: 1
hello John" ]] || fail "greeter printed: $out"
code=0
"$bin/greeter" sing 2>/dev/null || code=$?
[[ $code == 2 ]] || fail "greeter sing: exit $code"

# Apart: two that serve, and one that asks.
url=ipc://$(mktemp -u)
"$bin/tidingsd" --listen "$url" >/dev/null 2>&1 &
broker=$!
trap 'kill $broker 2>/dev/null' EXIT
coproc one { exec "$bin/greeter" serve "$url"; }
read -r line <&"${one[0]}"
[[ $line == "greeter: ready" ]] || fail "greeter serve printed: $line"
out=$("$bin/greeter" ask Jane "$url") || fail "greeter ask: exit $?"
[[ $out == "greeters: 1
hello Jane" ]] || fail "greeter ask printed: $out"
code=0
out=$("$bin/greeter" ask "" "$url" 2>&1) || code=$?
[[ $code == 1 && $out == "greeters: 1
400 whom?" ]] || fail "greeter ask nobody: $out"
long=$(printf 'o%.0s' {1..99})
for _ in 1 2 3 4 5; do
    out=$("$bin/greeter" ask "$long" "$url") && fail "greeter ask: a long name"
    [[ $out == *"500 out of breath"* ]] || fail "greeter ask: $out"
done
out=$("$bin/greeter" ask Jane "$url" 2>&1) && fail "the breaker is not open"
[[ $out == *breaker* ]] || fail "greeter ask, the breaker open: $out"
pid=$one_PID
kill "$pid"
wait "$pid" || fail "greeter serve: exit $?"
code=0
out=$("$bin/greeter" ask Jane "$url" 2>&1) || code=$?
[[ $code == 1 && $out == *"greeters: 0"* ]] || fail "nobody there: $out"
kill "$broker"
trap - EXIT

# wrong TEXT LINE: the line is refused with this text and the program says so
# at its end, but goes on: the user after it is created.
wrong() {
    local out code=0
    out=$(printf '%s\n' "$2" 'create-user jane_doe jane@example.com Jane' |
        "$bin/kiosk_inproc" 2>&1) || code=$?
    [[ $code == 1 ]] || fail "exit $code after: $2: $out"
    [[ $out == *"$1"* ]] || fail "no \"$1\" after: $2: $out"
    [[ $out == *"analytics: final users=1 orders=0"* ]] ||
        fail "did not go on after: $2: $out"
}

long=$(printf 'x%.0s' {1..300})
wrong "no such thing" 'create-kiosk here'
wrong "wants USERNAME EMAIL NAME" 'create-user john'
wrong "a quote is left open" 'create-user john john@example.com "John'
wrong "user_created.email" 'create-user john "" John'
wrong "limit" "create-user john $long John"
wrong "wants USER_ID" 'create-order user-1 prod1 2'
wrong "whole numbers" 'create-order user-1 prod1 two 9999'
wrong "item.quantity" 'create-order user-1 prod1 0 9999'
wrong "order_created.total_cents" 'create-order user-1 prod1 2 -1'

out=$(printf '%s\n' 'create-user john a@example.com A' \
    'create-user john b@example.com B' | "$bin/kiosk_inproc" 2>&1) &&
    fail "a username was given twice"
[[ $out == *"username is taken"* && $out == *"final users=1 orders=0"* ]] ||
    fail "a taken username: $out"

# A last line without a line break counts; so does one command as arguments.
out=$(printf 'create-user john a@example.com A' | "$bin/kiosk_inproc")
[[ $out == *"analytics: final users=1"* ]] || fail "the last line: $out"
out=$("$bin/kiosk_inproc" create-user john a@example.com "A B")
[[ $out == *"hello A B, you are user-1"* ]] || fail "one command: $out"

# No broker: says so, and where it looked.
code=0
out=$(timeout 20 "$bin/analytics" tcp://127.0.0.1:1 2>&1) || code=$?
[[ $code == 1 && $out == *"tcp://127.0.0.1:1"* ]] ||
    fail "no broker: exit $code: $out"

# Those that show a loop of one's own; test_loops has them at work.
for program in loop_poll loop_epoll loop_uv; do
    [[ $program != loop_uv || -e $bin/loop_uv ]] || continue
    code=0
    out=$("$bin/$program" 2>&1 >/dev/null) || code=$?
    [[ $code == 2 && $out == "usage: $program URL PATTERN [COUNT]" ]] ||
        fail "$program without arguments: exit $code: $out"
done

for program in kiosk_inproc user_service order_service notification analytics; do
    "$bin/$program" --help | grep -q "^usage: " || fail "$program --help"
    code=0
    "$bin/$program" --frobnicate 2>/dev/null || code=$?
    [[ $code == 2 ]] || fail "$program: exit $code for an unknown option"
done
