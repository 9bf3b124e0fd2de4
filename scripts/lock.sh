#!/bin/sh
# Resolves the lock files anew, with hashes and without naming any registry. Needs uv.
set -eu
lock() {
    out=$1; shift
    echo 'setuptools>=77' | uv pip compile -q setup.cfg - "$@" --universal --python-version 3.11 --generate-hashes \
        --no-annotate --no-emit-index-url -o "$out"
}
lock requirements.lock
lock requirements-dev.lock --extra dev --extra local --extra load
uv pip compile -q loadtest/peers/requirements.in --universal --python-version 3.11 --generate-hashes \
    --no-annotate --no-emit-index-url -o loadtest/peers/requirements.lock
