"""A real sshd on this machine, for tests: its own keys, port and home directory; whoever runs the tests logs in there.

Nothing of the user's own ssh is touched: what would go to the home directory goes to one that the tests make.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from bannock.execution.hosts.book import HostBook
from bannock.execution.hosts.record import HostRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SshHost", "added", "running_ssh_host"]

_START_SECONDS: Final = 30.0
_STEP_SECONDS: Final = 0.02
_PATH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
#: Commands start in the home directory that the tests made.
_SHELL: Final = """\
#!/bin/sh
export HOME="{home}"
cd "$HOME" || exit 1
exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"
"""


@dataclass
class SshHost:
    """An sshd.

    Attributes:
        directory: where all of it is.
        port: of 127.0.0.1, the same over restarts.
        further: lines of its configuration beyond the usual ones.
    """

    directory: Path
    port: int
    further: tuple[str, ...] = ()
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    hostname: Final = "127.0.0.1"

    @property
    def user(self) -> str:
        """Who logs in: whoever runs the tests."""
        return getpass.getuser()

    @property
    def home(self) -> Path:
        """The home directory there."""
        return self.directory / "home"

    @property
    def authorized_keys(self) -> Path:
        """Who may log in."""
        return self.home / ".ssh" / "authorized_keys"

    def grant(self, public_key: str) -> None:
        """Let a key in."""
        self.authorized_keys.parent.mkdir(exist_ok=True)
        with self.authorized_keys.open("a") as file:
            file.write(f"{public_key.strip()}\n")

    def forget_everybody(self) -> None:
        """Let no key in any more."""
        self.authorized_keys.unlink(missing_ok=True)

    def have_new_key(self) -> None:
        """Be another machine from the next start on."""
        key = self.directory / "host_key"
        for path in (key, key.with_suffix(".pub")):
            path.unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)], check=True)

    def fingerprint(self) -> str:
        """Give the fingerprint of the host key, as ssh writes it."""
        told = subprocess.check_output(["ssh-keygen", "-lf", str(self.directory / "host_key.pub")], text=True)
        return told.split()[1]

    def start(self) -> None:
        """Take connections."""
        shell = self.directory / "shell"
        shell.write_text(_SHELL.format(home=self.home))
        shell.chmod(0o755)
        config = self.directory / "sshd_config"
        lines = [
            f"ListenAddress 127.0.0.1:{self.port}",
            f"HostKey {self.directory / 'host_key'}",
            f"AuthorizedKeysFile {self.authorized_keys}",
            f"ForceCommand {shell}",
            "PidFile none",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PrintMotd no",
            "MaxStartups 100",
            *self.further,
        ]
        config.write_text("".join(f"{line}\n" for line in lines))
        sshd = shutil.which("sshd", path=_PATH)
        assert sshd is not None
        with (self.directory / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen([sshd, "-D", "-e", "-f", str(config)], stdout=log, stderr=log)
        end = time.monotonic() + _START_SECONDS
        while True:
            try:
                socket.create_connection((self.hostname, self.port), timeout=1).close()
            except OSError:
                assert self._process.poll() is None, self.log
                assert time.monotonic() < end, self.log
                time.sleep(_STEP_SECONDS)
            else:
                return

    def stop(self) -> None:
        """Take no connections any more; those that are open stay."""
        if self._process is not None:
            sessions = self.sessions()
            self._process.terminate()
            self._process.wait(timeout=30)
            self._process = None
            self._orphans.update(sessions)

    def cut(self) -> None:
        """Lose all connections, as if the host had gone: its side of them is ended without a word."""
        for session in self.sessions() | self._orphans:
            with suppress(ProcessLookupError):
                os.kill(session, signal.SIGKILL)
        self._orphans.clear()

    def sessions(self) -> set[int]:
        """Give the processes that serve connections."""
        if self._process is None:
            return set()
        return _descendants(self._process.pid)

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return (self.directory / "sshd.log").read_text(errors="replace")[-4000:]

    _orphans: set[int] = field(default_factory=set, repr=False)


@contextmanager
def running_ssh_host(directory: Path, *further: str) -> Iterator[SshHost]:
    """Start an sshd whose data is in a directory; skips where it is not installed.

    Args:
        directory: new or empty.
        further: lines of its configuration beyond the usual ones.
    """
    if shutil.which("ssh") is None or shutil.which("sshd", path=_PATH) is None:
        pytest.skip("needs openssh-server and openssh-client")
    if os.geteuid() == 0:
        # Debian makes it when the service starts, which it need not have done.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    host = SshHost(directory, port, further)
    host.home.mkdir()
    host.have_new_key()
    host.start()
    try:
        yield host
    finally:
        host.stop()
        host.cut()


def added(conf: Path, host: SshHost, alias: str = "caroline", *, engine: str = "") -> HostBook:
    """Add a host to a configuration, be let in there, and give the configuration's hosts; its key is not pinned.

    Args:
        conf: directory of the configuration.
        host: the sshd.
        alias: what to call it.
        engine: path of the engine's socket, where it is not one that would be found.
    """
    book = HostBook(conf)
    record = HostRecord(alias=alias, hostname=host.hostname, port=host.port, user=host.user, engine=engine)
    host.grant(book.put(record))
    return book


def _descendants(pid: int) -> set[int]:
    found: set[int] = set()
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, task.read_text().split()):
                found |= {child} | _descendants(child)
    return found
