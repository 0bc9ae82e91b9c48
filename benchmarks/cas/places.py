"""What is measured: CAS processes of their own, a PostgreSQL cluster of their own, and ``openssl s_server``."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.net.address import Address
from bannock.net.client import connect
from bannock.net.tls import Identity
from benchmarks.cas.clients import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["postgresql", "serve", "tls_limit"]

_START_SECONDS: Final = 60.0
_LOOPBACK: Final = "127.0.0.1"
_PAUSE: Final = 0.05
_DATABASE_USER: Final = "postgres"


@contextlib.contextmanager
def serve(directory: Path, database: str | None, workers: int) -> Iterator[Place]:
    """Run a CAS with its files in a directory.

    Args:
        directory: a new one.
        database: its URL; None for the SQLite file in the directory.
        workers: how many processes.

    Raises:
        RuntimeError: it does not come up.
    """
    directory.mkdir(mode=0o700, parents=True)
    api, enclave = Address(_LOOPBACK, _free_port()), Address(_LOOPBACK, _free_port())
    config = directory / "cas.toml"
    lines = [f'database = "{database}"\n'] if database else []
    lines += [
        f'master_key = "{directory}/master.key"\n',
        f'[api]\nlisten = "{api}"\n',
        f'[enclave]\nlisten = "{enclave}"\n',
    ]
    config.write_text("".join(lines), encoding="utf-8")
    command = [sys.executable, "-m", "bannock.cli.bannock", "cas", "serve", "--config", str(config)]
    command += ["--conf", str(directory)]
    if workers > 1:
        command += ["--workers", str(workers)]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        owner = Identity.generate("owner", names=(), addresses=())
        _await(process, api, directory / "log")
        with connect(api.host, api.port, owner, expected_peer=None) as connection:
            key = connection.peer_key_hash
        yield Place(api=api, enclave=enclave, key=key, owner=owner)
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_START_SECONDS)
        process.kill()


@contextlib.contextmanager
def postgresql(directory: Path) -> Iterator[str | None]:
    """Run a cluster with Debian's defaults, and give the URL of an empty database; None where it is not installed."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not binaries or os.geteuid() != 0:
        yield None
        return
    tools, data, port = binaries[-1], directory / "data", _free_port()
    directory.mkdir(parents=True)
    user = pwd.getpwnam(_DATABASE_USER)
    os.chown(directory, user.pw_uid, user.pw_gid)

    def run(*command: str) -> None:
        subprocess.run(
            command, check=True, user=user.pw_uid, group=user.pw_gid, cwd=directory, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip

    run(str(tools / "initdb"), "-D", str(data), "-A", "trust", "-U", _DATABASE_USER, "-E", "UTF8", "--no-locale")
    options = f"-h {_LOOPBACK} -p {port} -k {directory} -c max_connections=200"
    run(str(tools / "pg_ctl"), "-D", str(data), "-w", "-o", options, "-l", str(directory / "log"), "start")
    try:
        yield f"postgresql://{_DATABASE_USER}@{_LOOPBACK}:{port}/postgres"
    finally:
        run(str(tools / "pg_ctl"), "-D", str(data), "-w", "-m", "immediate", "stop")


@contextlib.contextmanager
def tls_limit(directory: Path) -> Iterator[Address | None]:
    """Run ``openssl s_server`` with TLS 1.3 alone and client certificates; None where it is not installed."""
    program = shutil.which("openssl")
    if program is None:
        yield None
        return
    directory.mkdir(mode=0o700, parents=True)
    identity = directory / "identity.pem"
    identity.write_bytes(Identity.generate("limit").to_pem().reveal())
    address = Address(_LOOPBACK, _free_port())
    process = subprocess.Popen(
        [program, "s_server", "-accept", str(address), "-cert", str(identity), "-key", str(identity), "-tls1_3",
         "-Verify", "1", "-no_ticket", "-num_tickets", "0", "-quiet"],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _await(process, address, None)
        yield address
    finally:
        process.kill()
        process.wait()


def _await(process: subprocess.Popen[bytes], address: Address, log: Path | None) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((address.host, address.port), 1.0):
            return
        time.sleep(_PAUSE)
    said = log.read_text(encoding="utf-8", errors="replace")[-2000:] if log else ""
    raise RuntimeError(f"what is to be measured does not answer at {address}: {said}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return int(probe.getsockname()[1])
