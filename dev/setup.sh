#!/bin/sh
# Make .venv: `dev/setup.sh run` for what `make run` needs, `dev/setup.sh all` with the test tools.
# Does nothing when the environment already holds what the requirement files say.
set -eu
cd "$(dirname "$0")/.."
venv=.venv
export UV_PYTHON_DOWNLOADS=never PIP_DISABLE_PIP_VERSION_CHECK=1

fail() {
    printf 'Botyard cannot be set up: %s\n' "$1" >&2
    exit 1
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        is_new_enough "$PYTHON" || fail "PYTHON=$PYTHON is not Python 3.11 or newer."
        echo "$PYTHON"
        return
    fi
    for name in python3 python3.11 python3.12 python3.13 python3.14 python; do
        if command -v "$name" >/dev/null && is_new_enough "$name"; then
            echo "$name"
            return
        fi
    done
    found=$(python3 --version 2>/dev/null || echo 'no python3 at all')
    fail "Python 3.11 or newer is needed, and this machine has $found. Install one, or name it: make run PYTHON=/path/to/python3.11"
}

case "${1:-all}" in
run) files='requirements.txt requirements-local.txt' ;;
all) files='requirements.txt requirements-local.txt requirements-dev.txt' ;;
*) fail "unknown part '$1' (run or all)." ;;
esac

[ -w . ] || fail "no right to write in $(pwd)."
# Two terminals may start at once; the second waits here and then finds all done.
if command -v flock >/dev/null; then
    exec 9>.venv.lock
    flock 9
fi

# The file list is part of the sum: "all" after "run" installs the rest.
wanted=$(cat $files requirements-uv.txt | cksum)
everything=$(cat requirements.txt requirements-local.txt requirements-dev.txt requirements-uv.txt | cksum)
is_installed() {
    [ -f "$venv/.installed-$1" ] && [ "$(cat "$venv/.installed-$1")" = "$2" ]
}
# Stands while packages are put there. Whoever was stopped between two files of a package has one
# that every installer takes for whole, so such an environment is made anew.
unfinished=$venv/.unfinished
if [ ! -e "$unfinished" ] && { is_installed "${1:-all}" "$wanted" || is_installed all "$everything"; }; then
    ! is_new_enough "$venv/bin/python" || exit 0
fi

free_mb=$(df -Pm . | awk 'NR == 2 { print $4 }')
[ "$free_mb" -ge 1024 ] || fail "only $free_mb MB are free on this disk; at least 1 GB is needed."

started=$(date +%s)
if [ -e "$unfinished" ] || ! is_new_enough "$venv/bin/python" || ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
    python=$(find_python) || exit 1
    [ ! -e "$unfinished" ] || echo "An earlier installation was stopped half way; beginning anew."
    echo "Making the environment in .venv with $("$python" --version) ..."
    rm -rf "$venv"
    mkdir "$venv"
    : >"$unfinished"
    "$python" -m venv "$venv" || fail "'$python -m venv' failed; on Debian and Ubuntu: apt-get install python3-venv"
fi
: >"$unfinished"
if [ ! -x "$venv/bin/uv" ]; then
    "$venv/bin/python" -m pip install --quiet --no-compile --require-hashes -r requirements-uv.txt ||
        echo "The fast installer could not be installed; going on with pip (about a minute)."
fi
echo "Installing $(cat $files | grep -c '==') pinned packages ..."
set --  "${1:-all}" $(for file in $files; do echo "-r $file"; done)
part=$1
shift
# A user without a home of his own has no place for a cache.
cache=${UV_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/uv}
mkdir -p "$cache" 2>/dev/null && [ -w "$cache" ] || export UV_NO_CACHE=1
if ! { [ -x "$venv/bin/uv" ] &&
    "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --require-hashes "$@"; }; then
    "$venv/bin/python" -m pip install --quiet --no-compile --require-hashes "$@" ||
        fail "the packages could not be installed (see above)."
fi
echo "$wanted" >"$venv/.installed-$part"
rm -f "$unfinished"
echo "The environment is ready after $(($(date +%s) - started)) s."
