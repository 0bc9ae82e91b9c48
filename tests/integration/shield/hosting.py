"""A mounted volume that is served by a process of its own, which may be killed at any moment.

The tests and what they start are the application, this is the machine's shield: as it is in a run, and so that no test
waits for its own server. :class:`Host` is the application's side; ``python -m tests.integration.shield.hosting`` is
the other.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import selectors
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from bannock.errors import ConflictError
from bannock.files import write_atomically
from bannock.shield.check import check
from bannock.shield.volume import Volume
from bannock.values import FspfKey, FspfTag

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from bannock.shield.findings import CheckReport

__all__ = ["KEY", "FileKeeper", "Host", "main", "unmount"]

KEY: Final = FspfKey(bytes(range(32)))
_ROOT: Final = Path(__file__).parents[3]
_READY: Final = b"ready\n"
#: Much more than a healthy host takes; what is over it is a hang.
_PATIENCE_SECONDS: Final = 60


class FileKeeper:
    """Keeps a tag in a file as CAS does: it moves by compare-and-swap, durably, for several processes at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._history = path.with_suffix(".history")

    @property
    def moves(self) -> int:
        """How often it has moved."""
        return len(self._history.read_text().splitlines()) if self._history.exists() else 0

    @property
    def tag(self) -> FspfTag | None:
        """The tag in force, None before the first."""
        return FspfTag.from_hex(self._path.read_text()) if self._path.exists() else None

    def advance(self, expected: FspfTag | None, new: FspfTag) -> None:
        """Move, unless somebody else has."""
        with self._alone():
            if (found := self.tag) == new:
                return
            if found != expected:
                raise ConflictError(f"the volume is in state {found}, not in {expected}")
            write_atomically(self._path, str(new).encode())
            with self._history.open("a") as history:
                history.write(f"{new}\n")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class Host:
    """A volume below ``base``, mounted at :attr:`path` while its process lives.

    A context manager, which starts it and in the end takes everything away, however it stands. It can be started,
    stopped and killed as often as one likes in between; each start takes the state that the keeper names.

    Attributes:
        directory: with the ciphertext.
        path: of the volume's topmost directory, as the application sees it.
        keeper: who knows the state in force.
        log: where the process writes what it has to say.
    """

    def __init__(self, base: Path) -> None:
        self.directory = base / "volume"
        self.keeper = FileKeeper(base / "tag")
        self.log = base / "shield.log"
        self._point = base / "mount"
        self._point.mkdir(exist_ok=True)
        self.path = self._point / "0"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The number of the process that serves the mount."""
        assert self._process is not None, "the host does not run"
        return self._process.pid

    def start(self) -> None:
        """Mount the volume; make it first if there is none."""
        command = [sys.executable, "-m", __spec__.name, str(self.directory), str(self._point), str(self.keeper._path)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=_ROOT
            )
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(KEY.reveal_hex().encode() + b"\n")
            self._process.stdin.flush()
            assert self._answer() == _READY, "it ended"
        except (AssertionError, BrokenPipeError) as error:
            self.kill()
            raise AssertionError(f"the host did not start: {self.log.read_text()}") from error

    def commit(self) -> FspfTag:
        """Make what there is the state in force, as a program does by fsync(2), and return its tag."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        tag = self.keeper.tag
        assert tag is not None
        return tag

    def wait_for_commit(self, before: FspfTag | None) -> None:
        """Wait until the state ``before`` is not in force any more, as it happens without anybody asking for it."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self.keeper.tag == before:
            assert time.monotonic() < deadline, "nothing was committed"
            time.sleep(0.05)

    def stop(self) -> FspfTag:
        """Unmount, commit, end the process, and return the last state's tag."""
        assert self._process is not None, "the host does not run"
        try:
            self._process.communicate(timeout=_PATIENCE_SECONDS)
            code = self._process.returncode
            assert code == 0, f"the host ended with {code}: {self.log.read_text()}"
        finally:
            self.kill()
        tag = self.keeper.tag
        assert tag is not None
        return tag

    def remount(self) -> None:
        """Stop, and start with an empty cache."""
        self.stop()
        self.start()

    def check(self) -> CheckReport:
        """See that nothing in the state in force is damaged, of a volume that nobody serves."""
        assert self._process is None, "the host runs"
        report = check(self.directory, KEY, self.keeper.tag)
        assert report.whole, report
        assert not report.rollback, report
        return report

    def kill(self) -> None:
        """End the process as power does, and take the dead mount away."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                with contextlib.suppress(BrokenPipeError):
                    if pipe is not None:
                        pipe.close()
            self._process = None
        unmount(self._point)

    def _answer(self) -> bytes:
        """Return the next line that the process says."""
        assert self._process is not None
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            assert selector.select(_PATIENCE_SECONDS), "it does not answer"
        return self._process.stdout.readline()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


def unmount(point: Path) -> None:
    """Take a mount away, whether or not anything answers for it or uses it."""
    if any(line.split()[1] == str(point) for line in Path("/proc/mounts").read_text().splitlines()):
        subprocess.run(["/bin/umount", "--lazy", str(point)], check=True)


def main(directory: Path, point: Path, tag: Path) -> int:
    """Serve a volume until there is no more to read; the key is the first line that is read."""
    from bannock.shield.fuse import FuseServer  # noqa: PLC0415 # needs what a machine without FUSE does not have

    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    key = FspfKey.from_hex(sys.stdin.readline().strip())
    keeper = FileKeeper(tag)
    state = keeper.tag
    if state is None:
        volume = Volume.create(directory, key, keeper=keeper)
        volume.commit()
    else:
        volume = Volume.open(directory, key, state, keeper=keeper)
    with volume:
        server = FuseServer(point, [("/data", volume)])
        server.start()
        os.write(sys.stdout.fileno(), _READY)
        sys.stdin.read()
        server.stop()
        volume.commit()
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
