#!/usr/bin/env bash
# See that the machine can make the virtual environment: Python with venv, and no compiler.
# As root on Debian the missing packages are installed; otherwise one line says which they are.
set -euo pipefail
PYTHON=${PYTHON:-python3}

if ! command -v "$PYTHON" >/dev/null; then
    needed=(python3 python3-venv)
elif ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "Error: $PYTHON is $("$PYTHON" --version 2>&1), Bannock needs Python 3.11 or newer" >&2
    echo "Hint: make PYTHON=/path/to/python3.11" >&2
    exit 1
else
    needed=()
    # Debian ships venv apart from the interpreter.
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || needed+=(python3-venv)
fi
[ ${#needed[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo "Installing system packages: ${needed[*]}"
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    export DEBIAN_FRONTEND=noninteractive
    if { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${needed[@]}"; } \
        >"$log" 2>&1 </dev/null; then
        exit 0
    fi
    tail -n 3 "$log" >&2
fi

echo "Error: missing system packages: ${needed[*]}" >&2
echo "Hint: as root, apt-get install ${needed[*]}; or make PYTHON=/path/to/a/complete/python3.11" >&2
exit 1
