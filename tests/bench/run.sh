#!/usr/bin/env bash
# The benchmark: installs the peers, builds everything with -O2, measures.
# tests/bench/run.sh --help lists the options.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
build=${TIDINGS_BENCH_BUILD:-$root/build-bench}
packages=(build-essential cmake pkg-config python3 libzmq3-dev libmsgpack-dev
          nats-server libnats-dev libglib2.0-dev)

install_missing() {
    local missing=() package
    for package in "${packages[@]}"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null |
            grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq)
    [ "$(id -u)" -eq 0 ] || apt=(sudo "${apt[@]}")
    echo "installing ${missing[*]}" >&2
    "${apt[@]}" update >&2
    "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >&2
}

build_all() {
    cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_C_FLAGS_RELEASE="-O2 -DNDEBUG" -DTIDINGS_BENCH=ON \
        -DTIDINGS_TESTS=OFF -DTIDINGS_SAMPLES=OFF -DTIDINGS_CLI=OFF
    cmake --build "$build" -j "$(nproc)"
}

case " $* " in
*" --help "* | *" -h "*) ;;
*)
    install_missing
    [ -t 2 ] && echo "building into $build" >&2
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    build_all >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
    rm -f "$log"
    ;;
esac

PATH=$PATH:/usr/sbin # nats-server is there
PYTHONDONTWRITEBYTECODE=1 exec python3 "$root/tests/bench/bench.py" \
    --programs "$build/bin" "$@"
