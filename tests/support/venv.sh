#!/usr/bin/env bash
# Makes the Python environments that the tests need, under .venv/, one per file in tests/python/requirements/.
# usage: venv.sh [NAME…]      all of them without a name; PYTHON chooses the interpreter
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-python3}
export PIP_DISABLE_PIP_VERSION_CHECK=1

make_environment() {
    local name=$1
    local wanted=$here/tests/python/requirements/$name.txt
    local home=$here/.venv/$name
    cmp -s "$wanted" "$home/.installed" && return
    echo "venv.sh: installing $name" >&2
    rm -rf "$home"
    "$python" -m venv "$home"
    "$home/bin/pip" install -q -r "$wanted"
    cp "$wanted" "$home/.installed"
}

if [[ $# -eq 0 ]]; then
    for file in "$here"/tests/python/requirements/*.txt; do
        set -- "$@" "$(basename "$file" .txt)"
    done
fi
running=()
for name in "$@"; do
    make_environment "$name" &
    running+=($!)
done
for child in "${running[@]}"; do
    wait "$child"
done
