"""The two servers of a soak, as an operator runs them: processes that can be killed, and started again."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from bannock.errors import BannockError
from bannock.net.address import Address
from bannock.net.client import connect
from bannock.net.tls import Identity
from bannock.values import KeyHash

if TYPE_CHECKING:
    import signal
    from pathlib import Path

__all__ = ["BANNOCK", "SCONE", "Cas", "Server", "free_address"]

BANNOCK: Final = (sys.executable, "-I", "-m", "bannock.cli.bannock")
SCONE: Final = (sys.executable, "-I", "-m", "bannock.cli.scone")
_START_SECONDS: Final = 120.0
_STOP_SECONDS: Final = 60.0
_PAUSE: Final = 0.1
#: More than a CAS has threads for them.
_RUSH_CLIENTS: Final = 48
_KEY: Final = re.compile(r"^CAS (\w+)$", flags=re.MULTILINE)
_TOKEN: Final = re.compile(r"provisioning token (\w+)$", flags=re.MULTILINE)
_CREATED: Final = 201


class Server:
    """A process that is started, ended and killed again and again; ``lives`` says how often it was started."""

    def __init__(self, name: str, home: Path, words: tuple[str, ...], told: str) -> None:
        self.name = name
        self.lives = 0
        self._home = home
        self._words = words
        self._told = told

    @property
    def log(self) -> Path:
        """What it says in this life."""
        return self._home / f"{self.name}-{self.lives}.log"

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended by itself."""
        return self._process.poll() is None

    def start(self) -> None:
        """Start it, and wait until it serves.

        Raises:
            RuntimeError: it does not.
        """
        self.lives += 1
        environment = {"HOME": str(self._home), "TMPDIR": str(self._home / "tmp"), "PATH": os.defpath}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*BANNOCK, *self._words], env=environment, cwd=self._home, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True,
            )  # fmt: skip
        end = time.monotonic() + _START_SECONDS
        while self._told not in self.log.read_text(errors="replace"):
            if not self.is_running or time.monotonic() > end:
                raise RuntimeError(f"{self.name} does not come up: {self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(_PAUSE)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it as a power cut does."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it in good order.

        Raises:
            RuntimeError: it does not end.
        """
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"{self.name} does not end") from None


class Cas(Server):
    """A CAS with an owner, whose audit log is in a file.

    Args:
        home: of the servers.
        data: where its database and its audit log are.
    """

    def __init__(self, home: Path, data: Path) -> None:
        self.api, self.enclave = free_address(), free_address()
        self.audit_log = data / "audit.log"
        self._identity = home / "owner.pem"
        self._owner = Identity.generate("owner", names=(), addresses=())
        config = home / "cas.toml"
        config.write_text(
            f'[api]\nlisten = "{self.api}"\n[enclave]\nlisten = "{self.enclave}"\n'
            f'[audit_log]\nsink = "file"\npath = "{self.audit_log}"\n',
            encoding="utf-8",
        )
        super().__init__(
            "cas", home, ("cas", "serve", "--config", str(config), "--conf", str(data / "cas")), "for enclaves at"
        )

    @property
    def key(self) -> KeyHash:
        """Its key hash."""
        return KeyHash.from_base58(self._said(_KEY))

    def claim(self) -> None:
        """Become its owner.

        Raises:
            RuntimeError: it has one.
        """
        self._identity.touch(mode=0o600)
        self._identity.write_bytes(self._owner.to_pem().reveal())
        config = self._identity.with_name("owner.toml")
        config.write_text('[audit_log]\nmode = "signed"\nsink = "file"\n', encoding="utf-8")
        self._scone(
            "cas", "provision", str(self.api), "-c", str(self.key), "--token", self._said(_TOKEN), "--config-file",
            str(config), "--identity", str(self._identity), "with-attestation", "--only_for_testing-debug",
            "--only_for_testing-ignore-signer", "--only_for_testing-trust-any",
        )  # fmt: skip

    def post(self, session: str, key: KeyHash) -> str:
        """Make a session or its next version, and give its hash.

        Raises:
            BannockError: it is refused, or the CAS is away.
        """
        with connect(self.api.host, self.api.port, self._owner, expected_peer=key) as connection:
            answer = connection.request("POST", "/v1/sessions", session.encode())
            if answer.status != _CREATED:
                raise BannockError(f"status {answer.status}: {answer.body.decode(errors='replace')}")
            return str(re.search(rb'"hash": ?"(\w+)"', answer.body)[1].decode())  # type: ignore[index]

    def rush(self, key: KeyHash) -> None:
        """Have many clients ask at once, so that every thread that it may have is there before memory is looked at.

        Raises:
            BannockError: one is refused.
        """
        names = [f"rush-{self.lives}-{number}" for number in range(_RUSH_CLIENTS)]
        with ThreadPoolExecutor(_RUSH_CLIENTS) as clients:
            list(clients.map(lambda name: self.post(f'name: {name}\nversion: "0.3.11"\n', key), names))

    def verified(self, key: KeyHash) -> tuple[int, str]:
        """Verify the audit log by the command, and give its exit code and what it says."""
        done = self._scone(
            "cas", "verify-audit-log", str(self.audit_log), "--cas", str(self.api), "-c", str(key), "--identity",
            str(self._identity), check=False,
        )  # fmt: skip
        return done.returncode, done.stderr.strip()

    def _said(self, what: re.Pattern[str]) -> str:
        found = what.search(self.log.read_text(encoding="utf-8"))
        if found is None:
            raise RuntimeError(f"{self.log} does not say {what.pattern}")
        return found[1]

    def _scone(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        environment = {"HOME": str(self._home), "PATH": os.defpath}
        done = subprocess.run([*SCONE, *words], env=environment, capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(words[:2])} failed: {done.stderr}")
        return done


def free_address() -> Address:
    """Give an address that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return Address("127.0.0.1", int(probe.getsockname()[1]))
