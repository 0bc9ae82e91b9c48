"""A PostgreSQL server on a directory of the tests' choice, which can be killed with everything that belongs to it."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Server", "programs"]

_PATIENCE_SECONDS: Final = 120
_POLL_SECONDS: Final = 0.02
#: Nobody else comes to the socket; what matters here is kept at its default: fsync, full_page_writes, WAL.
_SETTINGS: Final = (
    "listen_addresses=",
    "shared_buffers=32MB",
    "max_connections=20",
    "checkpoint_timeout=30s",
    "max_wal_size=64MB",
    "autovacuum_naptime=1s",
    "log_checkpoints=off",
)


def programs() -> Path | None:
    """Return the directory of PostgreSQL's programs, None where they are not installed."""
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)


class Server:
    """A server of its own user; started, stopped and killed at will.

    Args:
        data: the directory of its cluster, which :meth:`create` makes.
        base: where its socket and its log are; every user can look into it.
        settings: beside those that all have.
    """

    def __init__(self, data: Path, base: Path, *, settings: Sequence[str] = ()) -> None:
        found = programs()
        assert found is not None
        self._programs = found
        self._data = data
        self._settings = (*_SETTINGS, *settings)
        self._base = base / "postgresql"
        self._user = pwd.getpwnam("postgres")
        self._process: subprocess.Popen[bytes] | None = None
        self.log = self._base / "log"
        self._base.mkdir()
        os.chown(self._base, self._user.pw_uid, self._user.pw_gid)

    def create(self) -> None:
        """Make the cluster, with check sums on every page."""
        self._data.mkdir(mode=0o700)
        os.chown(self._data, self._user.pw_uid, self._user.pw_gid)
        self.run("initdb", "-D", self._data, "-k", "-A", "trust", "-U", "postgres", "--no-locale", "-E", "UTF8")

    def begin(self) -> None:
        """Start it, and wait for nothing."""
        assert self._process is None
        settings = [word for setting in self._settings for word in ("-c", setting)]
        with self.log.open("ab") as log:
            self._process = self._start(
                "postgres", "-D", self._data, "-k", self._base, *settings, stdout=log, stderr=log
            )

    def start(self) -> None:
        """Start it, and wait until it has recovered and takes connections."""
        self.begin()
        assert self._process is not None
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self._start("pg_isready", "-q").wait():
            assert self._process.poll() is None, f"PostgreSQL ended: {self._last_words()}"
            assert time.monotonic() < deadline, f"PostgreSQL does not get ready: {self._last_words()}"
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Shut it down in an orderly way, which writes a checkpoint."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        assert self._process.wait(_PATIENCE_SECONDS) == 0, self._last_words()
        self._process = None

    def kill(self) -> None:
        """Kill the server and its children at once, and wait until none of them is left."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGSTOP)
        everybody = [self._process.pid, *_children(self._process.pid)]
        for pid in everybody:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while any(map(_lives, everybody)):
            assert time.monotonic() < deadline, "a killed process stays"
            time.sleep(_POLL_SECONDS)

    def run(self, program: str, *arguments: object) -> str:
        """Run one of PostgreSQL's programs; return what it prints."""
        process = self._start(program, *arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output = process.communicate()[0].decode()
        assert process.returncode == 0, f"{program}: {output} {self._last_words()}"
        return output

    def query(self, text: str) -> str:
        """Ask for one value."""
        return self.run("psql", "-qtAX", "-c", text).strip()

    def bench(self, clients: int, seconds: int, prefix: Path) -> subprocess.Popen[bytes]:
        """Start pgbench, which writes one line for each transaction that was acknowledged to ``prefix.*``."""
        return self._start(
            "pgbench", "-n", "-c", clients, "-T", seconds, "-l", f"--log-prefix={prefix}",
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    @property
    def base(self) -> Path:
        """A directory that the server's user may write to."""
        return self._base

    def _start(self, program: str, *arguments: object, **more: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [self._programs / program, *map(str, arguments)],
            user=self._user.pw_uid, group=self._user.pw_gid, extra_groups=[], cwd=self._base,
            env={"PGHOST": str(self._base), "PGUSER": "postgres", "PGDATABASE": "postgres", "LC_ALL": "C"},
            **more,
        )  # fmt: skip

    def _last_words(self) -> str:
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""


def _children(pid: int) -> Iterator[int]:
    with suppress(FileNotFoundError, ProcessLookupError):
        yield from map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def _lives(pid: int) -> bool:
    """Whether a process has not ended; one that nobody has waited for has."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
