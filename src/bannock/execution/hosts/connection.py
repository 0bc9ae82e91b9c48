"""One connection to a host by OpenSSH's own ``ssh``, over which everything goes: commands, and tunnels both ways.

A master process keeps the connection; every further ``ssh`` is a channel in it. The master's command on the host is an
echo of what this process writes to it (:mod:`bannock.execution.hosts.greeting`): so it ends when this process does,
however that ends, and with it all tunnels. The terminal's Ctrl-C does not reach it. Whoever uses a connection that was
lost gets an error and may repair it; tunnels come back at the places that they had. For several threads.
"""

from __future__ import annotations

import os
import select
import shlex
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Self

from bannock.errors import BannockError, Bug, EnvironmentFault, PeerError
from bannock.execution.hosts.greeting import BEAT_SECONDS, MARK, SILENCE_SECONDS, Welcome
from bannock.execution.hosts.machine import Finished
from bannock.execution.hosts.refusals import refusal
from bannock.execution.hosts.sockets import socket_directory
from bannock.net.address import Address

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bannock.execution.hosts.target import SshTarget

__all__ = ["SshConnection"]

_CONNECT_SECONDS: Final = 15
_PING_SECONDS: Final = 10.0
_LEAVE_SECONDS: Final = 5.0
_AGAIN_SECONDS: Final = 0.5
_TUNNEL_SECONDS: Final = 30.0
#: What the shell's own start-up files may say before the first word of ours.
_GREETING_BYTES_MAX: Final = 64 << 10
_OUTPUT_BYTES_MAX: Final = 16 << 20
_ERRORS_BYTES_MAX: Final = 8 << 10
_SSH_FAILED: Final = 255
#: How long a port is waited for that a client before may have held, or that this one has just lost.
_STALE_SECONDS: Final = SILENCE_SECONDS + 15.0
_LOST_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Tunnel:
    """A tunnel to the host (``-L``) or from it (``-R``), in ssh's words."""

    option: str
    ours: str
    theirs: str

    @property
    def words(self) -> list[str]:
        first, second = (self.ours, self.theirs) if self.option == "-L" else (self.theirs, self.ours)
        return [self.option, f"{first}:{second}"]


class SshConnection:
    """A connection to a host; a context manager, connected within.

    Args:
        target: the host.
        pin: whether a host that has no pinned key yet is believed.
        patience: seconds for which a port of the host that another client has is waited for.
    """

    def __init__(self, target: SshTarget, *, pin: bool = False, patience: float = _STALE_SECONDS) -> None:
        self._target = target
        self._pin = pin
        self._patience = patience
        self._lock = threading.RLock()
        self._master: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._directory: Path | None = None
        self._tunnels: list[_Tunnel] = []
        self._welcome = Welcome()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if self._directory is not None:
            return self
        with ExitStack() as stack:
            self._directory = stack.enter_context(socket_directory())
            stack.callback(self._leave)
            self._connect(_CONNECT_SECONDS)
            stack.enter_context(self._beating())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def welcome(self) -> Welcome:
        """What the host said when we connected last."""
        return self._welcome

    def close(self) -> None:
        """End the connection, its tunnels and its commands."""
        self._stack.close()

    def is_alive(self) -> bool:
        """Whether the host answers; asks it."""
        with self._lock:
            master = self._master
            if master is None or master.poll() is not None or master.stdin is None or master.stdout is None:
                return False
            try:
                master.stdin.write(b"?\n")
                master.stdin.flush()
                return _read_until(master.stdout, b"?\n", time.monotonic() + _PING_SECONDS) is not None
            except OSError:
                return False

    def repair(self, seconds: float = 60.0) -> None:
        """Connect again if the host does not answer; tunnels are at the places that they had.

        Raises:
            EnvironmentFault: the host cannot be reached in this time.
            DeniedError, PeerError: it does not let us in any more, or is another one; at once.
        """
        with self._lock:
            if self.is_alive():
                return
            end = time.monotonic() + seconds
            while True:
                left = end - time.monotonic()
                try:
                    self._connect(max(1, min(_CONNECT_SECONDS, int(left))))
                except EnvironmentFault:
                    if left < _AGAIN_SECONDS:
                        raise
                    time.sleep(_AGAIN_SECONDS)
                else:
                    return

    def run(self, *command: str, stdin: bytes = b"", seconds: float = 60.0) -> Finished:
        """Run a program on the host; its exit code is part of the answer.

        Raises:
            EnvironmentFault: the connection is lost, or the program takes longer.
            PeerError: it prints more than is kept.
        """
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = self._channel(command, stdin=subprocess.PIPE, stdout=out, stderr=err)
            try:
                process.communicate(stdin, timeout=seconds)
            except subprocess.TimeoutExpired as error:
                raise EnvironmentFault(
                    f"host {self._target.alias}: {command[0]} takes longer than {seconds:.0f} s"
                ) from error
            finally:
                _end(process)
            output, told = _content(out, _OUTPUT_BYTES_MAX), _content(err, _OUTPUT_BYTES_MAX)
        if output is None or told is None:
            raise PeerError(f"host {self._target.alias}: {command[0]} prints more than {_OUTPUT_BYTES_MAX} bytes")
        text = told.decode(errors="replace")
        if process.returncode == _SSH_FAILED and not self.is_alive():
            raise EnvironmentFault(f"the connection to host {self._target.alias} was lost", reasons=_lines(text))
        return Finished(code=process.returncode, out=output, err=text)

    def stream(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a program on the host whose input and output are pipes; the caller waits for it, or ends it.

        Its exit code is 255 where the connection is lost.
        """
        return self._channel(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def tunnel(self, place: Path | Address) -> Path:
        """Return a unix socket of this machine that leads to a unix socket or a TCP service of the host.

        Raises:
            EnvironmentFault: the connection is lost.
        """
        with self._lock:
            theirs = str(place)
            for tunnel in self._tunnels:
                if tunnel.option == "-L" and tunnel.theirs == theirs:
                    return Path(tunnel.ours)
            ours = self._place / f"{len(self._tunnels)}.sock"
            tunnel = _Tunnel("-L", str(ours), theirs)
            self._forward(tunnel)
            self._tunnels.append(tunnel)
            return ours

    def reach(self, address: Address, at: Address | None = None) -> Address:
        """Return where the host reaches a TCP service of this machine: at a port of its loopback interface.

        Args:
            address: of the service.
            at: where it has to be.

        Raises:
            EnvironmentFault: the connection is lost.
            PeerError: the host's sshd does not allow it, or something else is there.
        """
        with self._lock:
            for tunnel in self._tunnels:
                if tunnel.option == "-R" and tunnel.ours == str(address) and (at is None or str(at) == tunnel.theirs):
                    return Address.parse(tunnel.theirs, default_port=0)
            wanted, patience = ("127.0.0.1:0", _LOST_SECONDS) if at is None else (str(at), self._patience)
            told = self._forward(_Tunnel("-R", str(address), wanted), patience)
            if at is None and not told.strip().isdigit():
                raise PeerError(f"host {self._target.alias} does not say which port leads here: {told[:80]!r}")
            place = Address("127.0.0.1", int(told)) if at is None else at
            self._tunnels.append(_Tunnel("-R", str(address), str(place)))
            return place

    @property
    def _place(self) -> Path:
        if self._directory is None:
            raise Bug("a connection is used outside of its context")
        return self._directory

    @property
    def _control(self) -> list[str]:
        return ["-S", str(self._place / "control")]

    def _connect(self, seconds: int) -> None:
        """Be the only connection, with all tunnels."""
        self._leave()
        (self._place / "control").unlink(missing_ok=True)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 # closed with the connection
        words = [
            *self._target.words(seconds=seconds, pin=self._pin),
            *("-o", "ControlMaster=yes", "-o", "ControlPersist=no"),
            *(*self._control, "-T", *self._target.place),
            self._welcome.next(),
        ]
        try:
            self._master = subprocess.Popen(
                words,
                env=_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                start_new_session=True,
            )
        except OSError as error:
            raise EnvironmentFault(
                f"cannot start ssh: {error.strerror}", hint="install OpenSSH's client (Debian: openssh-client)"
            ) from error
        self._greet(time.monotonic() + seconds + _LEAVE_SECONDS)
        try:
            for tunnel in self._tunnels:
                self._forward(tunnel)
        except BannockError:
            self._leave()
            raise

    def _greet(self, end: float) -> None:
        master = self._master
        if master is None or master.stdout is None:
            raise Bug("there is no connection to wait for")
        said = _read_until(master.stdout, MARK, end)
        rest = None if said is None else _read_until(master.stdout, b"\n", end)
        welcome = None if said is None or rest is None else Welcome.of(said + rest)
        if welcome is None:
            raise refusal(self._target, self._leave(), said=said is not None)
        self._welcome = welcome

    @contextmanager
    def _beating(self) -> Iterator[None]:
        """Have the host know that we are still there, from time to time."""
        end = threading.Event()

        def beat() -> None:
            while not end.wait(BEAT_SECONDS):
                self.is_alive()

        thread = threading.Thread(target=beat, name="ssh heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()

    def _forward(self, tunnel: _Tunnel, patience: float = _LOST_SECONDS) -> str:
        if tunnel.option == "-L":
            Path(tunnel.ours).unlink(missing_ok=True)
        words = [*self._target.words(seconds=1), *self._control, "-O", "forward", *tunnel.words, *self._target.place]
        # The host needs a while to notice that whoever had its port is gone.
        end = time.monotonic() + patience
        while True:
            try:
                done = subprocess.run(
                    words, env=_environment(), capture_output=True, timeout=_TUNNEL_SECONDS, check=False
                )
            except subprocess.TimeoutExpired as error:
                raise EnvironmentFault(f"the connection to host {self._target.alias} hangs") from error
            if done.returncode == 0:
                return done.stdout.decode(errors="replace")
            if self._master is None or self._master.poll() is not None or time.monotonic() > end:
                break
            time.sleep(_AGAIN_SECONDS / 5)
        told = _lines(done.stderr.decode(errors="replace"))
        if self.is_alive():
            raise PeerError(
                f"host {self._target.alias} does not allow the tunnel {' '.join(tunnel.words)}",
                reasons=told,
                hint="its sshd_config needs AllowTcpForwarding and AllowStreamLocalForwarding, which are the defaults",
            )
        raise EnvironmentFault(f"the connection to host {self._target.alias} was lost", reasons=told)

    def _channel(
        self, command: Sequence[str], *, stdin: int, stdout: IO[bytes] | int, stderr: IO[bytes] | int
    ) -> subprocess.Popen[bytes]:
        words = [
            *self._target.words(seconds=1),
            # Without its master, ssh would connect by itself.
            *("-o", "ControlMaster=no", "-o", "ProxyCommand=false", *self._control, "-T", *self._target.place),
            shlex.join(command),
        ]
        return subprocess.Popen(
            words, env=_environment(), stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
        )

    def _leave(self) -> list[str]:
        """End the connection, and return what ssh had to say."""
        master, self._master = self._master, None
        if master is not None:
            for pipe in (master.stdin, master.stdout):
                if pipe is not None:
                    # What could not be written any more is for nobody.
                    with suppress(BrokenPipeError):
                        pipe.close()
            _end(master)
        errors, self._errors = self._errors, None
        if errors is None:
            return []
        with errors:
            return _lines((_content(errors, _ERRORS_BYTES_MAX) or b"").decode(errors="replace"))


def _environment() -> dict[str, str]:
    """Return what ssh needs, and nothing that is nobody's business."""
    kept = {name: os.environ[name] for name in ("HOME", "PATH", "TMPDIR") if name in os.environ}
    return {**kept, "LC_ALL": "C"}


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def _read_until(stream: IO[bytes], mark: bytes, end: float) -> bytes | None:
    """Read up to a mark, byte for byte; None where the stream ends before, or does not get there in time."""
    read = bytearray()
    while not read.endswith(mark):
        ready, _, _ = select.select([stream], [], [], max(0.0, end - time.monotonic()))
        byte = os.read(stream.fileno(), 1) if ready else b""
        if not byte or len(read) > _GREETING_BYTES_MAX:
            return None
        read += byte
    return bytes(read)


def _content(file: IO[bytes], limit: int) -> bytes | None:
    """Give what was written to a file; None where it is more than the limit."""
    file.seek(0)
    data = file.read(limit + 1)
    return None if len(data) > limit else data


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]
