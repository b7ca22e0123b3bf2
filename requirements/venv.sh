#!/bin/sh
# Makes a virtual environment with pinned versions and this checkout in it, or brings it up to date:
#
#   sh requirements/venv.sh FOLDER LOCKFILE
#
# A stamp in the folder says what it was made from: the pins, the project's metadata, the Python and the place
# of the checkout. While that is the same, nothing happens. A folder that is a link belongs to somebody else
# and is used as it is. PYTHON=... chooses another interpreter, 3.11 to 3.13.
set -eu
folder=$1
pins=$2

if [ -L "$folder" ] && [ -x "$folder/bin/python" ]; then
    exit 0
fi

supported() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' > /dev/null 2>&1
}

version() {
    "$1" -c 'import platform; print(platform.python_version())'
}

python=
if [ -n "${PYTHON:-}" ]; then
    supported "$PYTHON" || { echo "error: PYTHON=$PYTHON is not a Python 3.11, 3.12 or 3.13" >&2; exit 2; }
    python=$PYTHON
elif supported "$folder/bin/python"; then
    python=$folder/bin/python
else
    # a name on the PATH may be there and not work (pyenv's are), so each is tried
    for candidate in python3.11 python3.12 python3.13 python3 python; do
        if supported "$candidate"; then
            python=$candidate
            break
        fi
    done
fi
if [ -z "$python" ]; then
    echo "error: no Python 3.11, 3.12 or 3.13 on the PATH; install one, or say where: make PYTHON=/path/to/python3" >&2
    exit 2
fi

made_from="$(version "$python") $(pwd) $({ cat "$pins" setup.py; sed -n '/^\[build-system/,/^\[tool/p' pyproject.toml; } | cksum)"
stamp=$folder/made-from.txt
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$made_from" ] && [ -x "$folder/bin/python" ]; then
    exit 0
fi

if [ -d "$folder" ]; then
    there=$(version "$folder/bin/python" 2> /dev/null || echo none)
    placed=$(cut -d ' ' -f 2- "$stamp" 2> /dev/null | sed 's/ [0-9]* [0-9]*$//' || :)
    # another Python, or a checkout that was moved: what is in there does not fit
    if [ "$there" != "$(version "$python")" ] || { [ -n "$placed" ] && [ "$placed" != "$(pwd)" ]; }; then
        python=$("$python" -c 'import os, sys; print(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))')
        rm -rf "$folder"
    fi
fi
rm -f "$stamp"
if [ ! -d "$folder" ]; then
    echo "making $folder with Python $(version "$python")"
    "$python" -m venv "$folder" || {
        rm -rf "$folder"
        echo "error: that Python has no venv module; on Debian and Ubuntu it is the package python3-venv" >&2
        exit 2
    }
fi
echo "installing $(grep -c '==' "$pins") pinned packages into $folder: some minutes and gigabytes the first time"
pip() { "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$@"; }
pip --requirement "$pins"
pip --no-deps --no-build-isolation --editable .
printf '%s\n' "$made_from" > "$stamp"
