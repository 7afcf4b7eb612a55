#!/usr/bin/env bash
# The benchmark: installs the peers, builds everything with -O2, measures.
# tests/bench/run.sh --help lists the options.
set -euo pipefail

# shellcheck source=.ci/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../.ci/common.sh"

bench_build=${TIDINGS_BENCH_BUILD:-$root/build-bench}

case " $* " in
*" --help "* | *" -h "*) ;;
*)
    need_packages "${build_packages[@]}" python3 nats-server libnats-dev \
        libglib2.0-dev redis-server libhiredis-dev mosquitto libmosquitto-dev >&2
    case " $* " in
    *" --durable "*)
        need_packages rabbitmq-server librabbitmq-dev >&2 ||
            echo "going on without RabbitMQ" >&2
        ;;
    esac
    [ -t 2 ] && echo "building into $bench_build" >&2
    build "$bench_build" -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_C_FLAGS_RELEASE="-O2 -DNDEBUG" -DTIDINGS_BENCH=ON \
        -DTIDINGS_TESTS=OFF -DTIDINGS_SAMPLES=OFF -DTIDINGS_CLI=OFF
    ;;
esac

PATH=$PATH:/usr/sbin # nats-server and mosquitto are there
PYTHONDONTWRITEBYTECODE=1 exec python3 "$root/tests/bench/bench.py" \
    --programs "$bench_build/bin" "$@"
