#!/usr/bin/env bash
# Compile pyfuse3 into the virtual environment where the machine has libfuse3; without it the memory mount serves.
set -euo pipefail
BIN=${BIN:-.venv/bin}

pkg-config --exists fuse3 2>/dev/null || exit 0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! "$BIN/python" -m pip --disable-pip-version-check --quiet --quiet install --require-hashes --no-build-isolation \
    -r requirements.lock -r requirements-fuse.lock >"$log" 2>&1; then
    echo "Cannot compile pyfuse3; volumes are opened in memory instead of FUSE. The compiler's last words:" >&2
    tail -n 3 "$log" >&2
fi
