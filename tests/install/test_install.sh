#!/usr/bin/env bash
# Installs a build into an empty prefix, moves it, and uses it as a stranger
# would: through pkg-config, through CMake's find_package, and for the samples.
#
#   test_install.sh SOURCE BUILD VERSION
set -euo pipefail

source=$1 build=$2 version=$3
here=$source/tests/install
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
prefix=$dir/opt
warnings=(-std=c11 -pedantic -Wall -Wextra -Werror)

fail() {
    echo "install: $*" >&2
    exit 1
}

# expect TEXT COMMAND...: the command succeeds and prints exactly this.
expect() {
    local want=$1 got
    shift
    got=$("$@") || fail "$* failed: $got"
    [[ $got == "$want" ]] || fail "$* printed \"$got\", not \"$want\""
    echo "ok: $* printed \"$got\""
}

# Moved after installing, so that no path of the first place is left in it.
cmake --install "$build" --prefix "$dir/first" >/dev/null
mv "$dir/first" "$prefix"
libdir=$(dirname "$(find "$prefix" -name libtidings.so)")
[[ -n $libdir ]] || fail "no libtidings.so"
export PKG_CONFIG_PATH=$libdir/pkgconfig
export LD_LIBRARY_PATH=$libdir
for program in tidingsd $([[ -e $build/bin/tidings ]] && echo tidings); do
    [[ -x $prefix/bin/$program ]] || fail "no bin/$program"
    [[ $("$prefix/bin/$program" --version) == *"$version"* ]] ||
        fail "$program --version does not say $version"
done

# The library exports what is public and nothing else.
others=$(nm -D --defined-only "$libdir/libtidings.so" |
    awk '{print $3}' | grep -v '^tidings_' || true)
[[ -z $others ]] || fail "exported but not public: $others"

# Each installed header stands alone, and in C++ too.
for header in "$prefix"/include/tidings/*.h; do
    name=tidings/${header##*/}
    echo "#include <$name>" >"$dir/alone.c"
    gcc "${warnings[@]}" -I"$prefix/include" -fsyntax-only "$dir/alone.c" ||
        fail "$name does not stand alone"
    cp "$dir/alone.c" "$dir/alone.cc"
    g++ -std=c++11 -pedantic -Wall -Wextra -Werror -I"$prefix/include" \
        -fsyntax-only "$dir/alone.cc" || fail "$name is no C++"
done

# Through pkg-config. Not a word about what libtidings itself uses.
expect "$version" pkg-config --modversion tidings
read -ra flags <<<"$(pkg-config --cflags --libs tidings)"
[[ "${flags[*]}" != *zmq* && "${flags[*]}" != *msgpack* ]] ||
    fail "pkg-config names what is private: ${flags[*]}"
gcc "${warnings[@]}" "$here/stranger/stranger.c" -o "$dir/by-pkg-config" \
    "${flags[@]}"
expect "tidings $version: 1 event" "$dir/by-pkg-config"

# The libraries beside it too, where they are built: found where they are now.
for pc in "$libdir"/pkgconfig/*.pc; do
    name=$(basename "$pc" .pc)
    pkg-config --exists --print-errors "$name" || fail "${pc##*/} is broken"
    for variable in libdir includedir; do
        found=$(realpath -m "$(pkg-config --variable=$variable "$name")")
        [[ $found == "$prefix"/* ]] || fail "${pc##*/}: $variable is $found"
    done
done

# Through CMake.
cmake -S "$here/stranger" -B "$dir/stranger" -DCMAKE_PREFIX_PATH="$prefix" \
    -DTIDINGS_VERSION="$version" >/dev/null
cmake --build "$dir/stranger" >/dev/null
expect "tidings $version: 1 event" "$dir/stranger/stranger"

# The samples, from a copy: they see no other file of the project.
cp -r "$source/samples" "$dir/samples"
cmake -S "$dir/samples" -B "$dir/built" -DCMAKE_PREFIX_PATH="$prefix" \
    -DCMAKE_C_FLAGS="${warnings[*]:1}" >/dev/null
cmake --build "$dir/built" --parallel 2 >/dev/null
expect "hello, user.created: John Doe" "$dir/built/hello"
printf '%s\n' 'create-user john_doe john@example.com "John Doe"' \
    'create-order user-1 prod1 2 9999' |
    "$dir/built/kiosk_inproc" >"$dir/kiosk.txt" || fail "kiosk_inproc failed"
for line in "analytics: final users=1 orders=1 total_cents=9999" \
    "notification: final welcome_emails=1 order_confirmations=1"; do
    grep -qxF "$line" "$dir/kiosk.txt" ||
        fail "kiosk_inproc did not print \"$line\": $(cat "$dir/kiosk.txt")"
done
echo "ok: the samples build and run beside an installed tidings"
