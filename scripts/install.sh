#!/bin/sh
# Makes the virtual environment $VENV with everything of requirements-dev.lock and the project itself, in place.
set -eu
: "${PYTHON:=python3}" "${VENV:=.venv}"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
    for candidate in python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then PYTHON=$candidate; break; fi
    done
}
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
    echo "make setup: needs Python >= 3.11 (found: $("$PYTHON" --version 2>&1 || echo none)); set PYTHON=..." >&2
    exit 2
}
export UV_SYSTEM_CERTS=true  # trust whom pip trusts
with_uv() {
    uv --version >/dev/null 2>&1 &&
        uv venv -q --clear -p "$("$PYTHON" -c 'import sys; print(sys.executable)')" "$VENV" &&
        uv pip install -q -p "$VENV" --require-hashes -r requirements-dev.lock &&
        uv pip install -q -p "$VENV" --no-deps --no-build-isolation -e .
}
if ! with_uv; then
    "$PYTHON" -m venv --clear "$VENV"
    "$VENV/bin/python" -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
    "$VENV/bin/python" -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
fi
