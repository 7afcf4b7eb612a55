# Shared by samples/demo.sh, tests/run.sh, .ci/run and the bench: packages and
# builds. It stands here because it belongs to none of them. Sourced, not run.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# What compiling the library, the broker and the samples takes on Debian 12.
build_packages=(gcc libc6-dev ninja-build cmake pkg-config libzmq3-dev
                libmsgpack-dev uthash-dev liblmdb-dev libxxhash-dev libcyaml-dev
                libyaml-dev libsqlite3-dev libpq-dev)
# What the command line takes beside them.
cli_packages=(libjansson-dev libncurses-dev)

# quietly COMMAND...: shows what it printed only when it fails.
quietly() {
    local log code=0
    log=$(mktemp)
    "$@" >"$log" 2>&1 </dev/null || code=$?
    if ((code != 0)); then
        echo "failed ($code): $*" >&2
        cat "$log" >&2
    fi
    rm -f "$log"
    return "$code"
}

as_root() {
    if ((EUID == 0)); then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "needs root, or sudo: $*" >&2
        return 1
    fi
}

has_package() {
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

# need_packages PACKAGE...: installs those that are missing; on a system
# without apt-get they are taken on trust, and the build says what is not there.
need_packages() {
    local package missing=()
    command -v apt-get >/dev/null || return 0
    for package; do
        has_package "$package" || missing+=("$package")
    done
    ((${#missing[@]})) || return 0

    echo "installing ${missing[*]}"
    # sudo asks for its password here, where it can be seen.
    as_root true || return 1
    quietly as_root apt-get -q -o DPkg::Lock::Timeout=120 update || return 1
    quietly as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
        -o DPkg::Lock::Timeout=120 --no-install-recommends \
        install "${missing[@]}"
}

# With as many targets as the tests are, make takes half as long again. A folder
# that was configured otherwise stays as it is; and where packages are taken on
# trust, make may be what there is.
if command -v apt-get >/dev/null || command -v ninja >/dev/null; then
    export CMAKE_GENERATOR=${CMAKE_GENERATOR-Ninja}
fi

# configure DIR [-DOPTION=VALUE...]
configure() {
    local dir=$1
    shift
    quietly cmake -S "$root" -B "$dir" "$@"
}

# compile DIR [TARGET...]: on all cores; without targets all of it.
compile() {
    local dir=$1
    shift
    quietly cmake --build "$dir" --parallel "$(nproc)" ${1:+--target "$@"}
}

# build DIR [-DOPTION=VALUE...]: both.
build() {
    configure "$@" && compile "$1"
}
