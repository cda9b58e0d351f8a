#!/usr/bin/env bash
# Makes the lock by uv (pip install uv), for Python 3.11 to 3.14 on Linux and macOS at once; markers say what is for which:
#
#   constraints.txt           the whole tree with every extra, each package at one release
#   requirements/run.txt      from it what trains and evaluates, with the hashes of all files that pip may take
#   requirements/<extra>.txt  what an extra of setup.cfg needs beside that
#
# Run it after a change of setup.cfg; with --upgrade it takes newer releases. PyTorch's is chosen here, and stands in
# constraints.txt alone: which of its builds a machine needs is known there, and a build pins the CUDA libraries it wants.
set -euo pipefail
cd "$(dirname "$0")/.."
chosen=$'recbole==1.2.1\ntorch==2.13.0\n'
[ "${1:-}" != --upgrade ] || : > constraints.txt
rm -f requirements/*.txt

compile() {
  uv pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header setup.cfg - "$@" <<< "$chosen"
}

without() { # options that leave out the packages of a list that match a pattern, and are there for every Python
  grep -vE "python_full_version < '3\.1[234]'" "$1" | grep -oE "^($2)==" | sort -u | sed 's/^/--no-emit-package=/; s/==$//'
}

compile --all-extras --output-file constraints.txt
mapfile -t apart < <(without constraints.txt 'torch|torchvision|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+')
hashed=(--constraints constraints.txt --generate-hashes "${apart[@]}")
compile "${hashed[@]}" --output-file requirements/run.txt
mapfile -t run < <(without requirements/run.txt '[a-z0-9.-]+')
for extra in $(awk '/^\[/ {inside = $0 == "[options.extras_require]"} inside && /^[a-z]+ =$/ {print $1}' setup.cfg); do
  compile "${hashed[@]}" "${run[@]}" --extra "$extra" --output-file "requirements/$extra.txt"
done

# What holds for every Python and machine above is no marker of a line
sed -i -E "s/ and platform_python_implementation == 'CPython'//
    s/ and \(\(platform_machine == 'arm64' and sys_platform == 'darwin'\)[^)]*\)[^)]*\)\)//
    s/ and python_full_version < '3\.15'//; s/ ; python_full_version < '3\.15' and / ; /; s/ ; python_full_version < '3\.15'//" \
    constraints.txt requirements/*.txt
