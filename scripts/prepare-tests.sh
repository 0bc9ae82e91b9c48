#!/usr/bin/env bash
# See that the programs are there that tests run on a mounted volume.
# As root on Debian they are installed; otherwise one line says which are missing, and their tests are skipped.
set -euo pipefail
.venv/bin/python scripts/prepare-helm.py || echo "Not installed, so tests of charts are skipped: helm"
# Debian keeps PostgreSQL's programs out of the path.
compgen -G "/usr/lib/postgresql/*/bin/pg_amcheck" >/dev/null && database=() || database=(postgresql)
needed=()
for program in curl git openssl rsync strace; do
    command -v "$program" >/dev/null || needed+=("$program")
done
command -v gpg >/dev/null || needed+=(gnupg)
command -v swtpm >/dev/null || needed+=(swtpm)
command -v tpm2_create >/dev/null || needed+=(tpm2-tools)
# An engine, a registry and base images for tests of container images; nothing is pulled.
command -v dockerd >/dev/null && command -v docker >/dev/null || needed+=(docker.io iptables)
command -v docker-compose >/dev/null || needed+=(docker-compose)
command -v docker-registry >/dev/null || needed+=(docker-registry)
command -v mmdebstrap >/dev/null || needed+=(mmdebstrap)
command -v ssh >/dev/null || needed+=(openssh-client)
[ -x /usr/sbin/sshd ] || needed+=(openssh-server)
# A browser for tests of the console.
command -v chromium-headless-shell >/dev/null || command -v chromium >/dev/null || needed+=(chromium-headless-shell)
command -v musl-gcc >/dev/null || needed+=(musl-tools)
# Shells that complete, and the strictest reader of manual pages.
for program in zsh fish mandoc; do
    command -v "$program" >/dev/null || needed+=("$program")
done
[ -e /bin/busybox ] || needed+=(busybox-static)
grep -q " cgroup" /proc/mounts || command -v cgroupfs-mount >/dev/null || needed+=(cgroupfs-mount)
[ ${#needed[@]} -gt 0 ] || [ ${#database[@]} -gt 0 ] || exit 0

install() {
    apt-get install -y -qq --no-install-recommends "$@" >>"$log" 2>&1 </dev/null
}

# Debian makes and starts a database server with the package, which nobody has asked for here.
install_database() {
    local settings=/etc/postgresql-common/createcluster.conf failed=0
    install postgresql-common || return 1
    cp -p "$settings" "$kept"
    echo "create_main_cluster = false" >>"$settings"
    install "${database[@]}" || failed=1
    cp -p "$kept" "$settings"
    return $failed
}

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo "Installing system packages: ${needed[*]} ${database[*]}"
    log=$(mktemp) kept=$(mktemp)
    trap 'rm -f "$log" "$kept"' EXIT
    export DEBIAN_FRONTEND=noninteractive
    if apt-get update -qq >"$log" 2>&1 </dev/null &&
        { [ ${#needed[@]} -eq 0 ] || install "${needed[@]}"; } &&
        { [ ${#database[@]} -eq 0 ] || install_database; }; then
        exit 0
    fi
    tail -n 3 "$log" >&2
fi
echo "Not installed, so their tests are skipped: ${needed[*]} ${database[*]}"
