#!/usr/bin/env bash
# See that the peers are there that the file shield is measured beside, and what measures them.
# As root on Debian they are installed; otherwise one line says which are missing, and they are left out.
set -euo pipefail
needed=()
for program in fio gocryptfs bindfs age git; do
    command -v "$program" >/dev/null || needed+=("$program")
done
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
echo "Not installed, and so left out: ${needed[*]}"
