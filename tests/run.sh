#!/usr/bin/env bash
# Builds everything and runs the tests.
#
#   tests/run.sh [OPTION]...
#     --long             also what takes minutes: more seeds, longer storms
#     --sanitize LIST    address,undefined or thread
#     --coverage         says afterwards which lines the tests reached
#     --only REGEX       tests whose name matches (ctest -R)
#     --label LABEL      tests with this label (ctest -L)
#     --no-label LABEL   tests without it (ctest -LE)
#     --build-dir DIR    default: build-tests, build-tests-LIST, build-coverage
#
# Installs the Debian packages it lacks. A test that the machine cannot run (no
# root, no namespaces) says so and counts as skipped. Exit status: 0 when no
# test failed.
set -euo pipefail

# shellcheck source=.ci/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../.ci/common.sh"

sanitize=
coverage=OFF
dir=
slower=1 # times longer than usual that a test may take
select=()
while (($#)); do
    case $1 in
    --long)
        export TIDINGS_LONG=1
        slower=10
        shift
        continue
        ;;
    --coverage)
        coverage=ON
        shift
        continue
        ;;
    --help | -h)
        sed -n '2,15s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    --sanitize | --only | --label | --no-label | --build-dir) ;;
    *)
        echo "run.sh: unknown argument $1; see --help" >&2
        exit 2
        ;;
    esac
    (($# > 1)) || { echo "run.sh: $1 wants a value" >&2; exit 2; }
    case $1 in
    --sanitize) sanitize=$2 ;;
    --only) select+=(-R "$2") ;;
    --label) select+=(-L "$2") ;;
    --no-label) select+=(-LE "$2") ;;
    --build-dir) dir=$2 ;;
    esac
    shift 2
done
[[ $dir || $coverage == OFF ]] || dir=$root/build-coverage
dir=$(realpath -m "${dir:-$root/build-tests${sanitize:+-${sanitize//,/-}}}")
bench=ON # to see that it compiles
cli=ON
[[ $sanitize != thread ]] || cli=OFF # it has one thread
[[ $sanitize || $coverage == ON ]] && slower=$((slower * 4)) bench=OFF

need_packages "${build_packages[@]}" "${cli_packages[@]}" libcmocka-dev \
    libuv1-dev g++ procps python3 python3-zmq python3-msgpack postgresql

echo "building into $dir"
# Tests take objects apart anyhow, and -O1 with lines only compiles in half the
# time; the demo and the bench build and link as installs do.
configure "$dir" -DTIDINGS_TESTS=ON -DTIDINGS_WERROR=ON -DTIDINGS_BENCH=$bench \
    -DTIDINGS_LTO=OFF -DCMAKE_C_FLAGS_RELWITHDEBINFO="-O1 -g1 -DNDEBUG" \
    -DTIDINGS_SANITIZE="$sanitize" -DTIDINGS_TEST_SLOWER="$slower" \
    -DTIDINGS_COVERAGE="$coverage" -DTIDINGS_CLI="$cli"
compile "$dir"
[[ $coverage == OFF ]] || find "$dir" -name '*.gcda' -delete # of earlier runs

export ASAN_OPTIONS=${ASAN_OPTIONS-detect_stack_use_after_return=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS-print_stacktrace=1}
# libzmq is not instrumented, so what it orders is invisible: its own stacks
# are not reported.
export TSAN_OPTIONS=${TSAN_OPTIONS-suppressions=$root/.ci/tsan.supp second_deadlock_stack=1}
run=()
if [[ $sanitize == thread ]] && setarch -R true 2>/dev/null; then
    run=(setarch -R) # gcc 12's runtime cannot place itself in newer layouts
fi

# Two for each core, of which instrumented code takes both: see
# tests/CMakeLists.txt. It waits as well, so there it is half as many again.
slots=$((2 * $(nproc)))
[[ -z $sanitize ]] || slots=$((3 * $(nproc)))
report=$dir/ctest.xml
rm -f "$report"
code=0
"${run[@]}" ctest --test-dir "$dir" --output-on-failure \
    --parallel "$slots" \
    --no-tests=error --output-junit "$report" "${select[@]}" </dev/null ||
    code=$?

# ctest's percentage takes skipped tests for passed ones; this does not, and
# gives each one's own reason.
if [[ -e $report ]]; then
    python3 - "$report" <<'PYTHON'
import sys
import xml.etree.ElementTree as tree

suite = tree.parse(sys.argv[1]).getroot()
total, failed, skipped = (
    int(suite.get(key)) for key in ("tests", "failures", "skipped"))
for case in suite.iter("testcase"):
    if case.find("skipped") is not None:
        said = (case.findtext("system-out") or "").strip().splitlines()
        print("skipped:", case.get("name") + ":", said[-1] if said else "?")
print(f"tests: {total - failed - skipped} passed, {failed} failed,"
      f" {skipped} skipped")
PYTHON
fi
[[ $coverage == OFF ]] || "$root/.ci/coverage" "$dir"
exit "$code"
