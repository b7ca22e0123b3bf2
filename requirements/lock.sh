#!/bin/sh
# Resolves the pinned versions anew, for all supported Pythons at once: sh requirements/lock.sh UV
#
#   lock.txt        what stagedml and its developers need
#   lock-gpu.txt    what the `gpu` extra adds to that
#   lock-parity.txt the reference implementations of the parity tests
#
# Versions in the files stay as they are where they still fit; remove a file to get the newest.
set -eu
uv=$1
here=requirements
compile() { "$uv" pip compile --quiet --universal --python-version 3.11 --no-header "$@"; }

title() { # FILE TEXT...: puts comment lines on top
    file=$1
    shift
    { printf '# %s\n' "$@"; cat "$file"; } > "$file.new"
    mv "$file.new" "$file"
}

untitled() { # FILE: takes them off again, for uv to read the versions only
    [ ! -f "$1" ] || sed -i '/^# \(What\|Made\)/d' "$1"
}

untitled $here/lock.txt
compile --extra dev --output-file $here/lock.txt pyproject.toml > /dev/null
title $here/lock.txt "What stagedml and its developers need, on every platform." "Made by \`make lock\`."

compile --extra gpu --no-annotate --constraint $here/lock.txt pyproject.toml \
    | grep -vxFf $here/lock.txt > $here/lock-gpu.txt || test $? -eq 1
title $here/lock-gpu.txt "What the \`gpu\` extra adds to lock.txt." "Made by \`make lock\`."

# PyTorch is left out of the resolution: which CUDA packages it wants depends on the package index
without=$(mktemp)
trap 'rm -f "$without"' EXIT
echo "torch ; python_version < '3'" > "$without"
untitled $here/lock-parity.txt
sed -i '/^torch==/d' $here/lock-parity.txt 2> /dev/null || :
compile --override "$without" --output-file $here/lock-parity.txt $here/parity.in pyproject.toml > /dev/null
echo "torch==2.13.*" >> $here/lock-parity.txt
title $here/lock-parity.txt "What the parity tests need." "Made by \`make lock\`."
