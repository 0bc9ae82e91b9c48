"""Where the work is done: the same directory, bare or behind one of the file systems that are compared.

Each is made with its defaults, in a directory of its own, and served by a process that is found in ``processes``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Protocol

from bannock.files import sync_directory, sync_file_system
from bannock.shield.volume import Volume
from bannock.values import FspfTag
from benchmarks.shield.goals import Contender
from benchmarks.shield.host import KEY
from benchmarks.shield.machine import drop_caches

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BannockPlace", "Place", "cool", "make_place", "mounted", "settle"]

_START_SECONDS: Final = 60
_STOP_SECONDS: Final = 300
_POLL_SECONDS: Final = 0.01
#: Make-believe, for directories that hold nothing.
_PASSWORD: Final = "benchmark"  # noqa: S105


class Place(Protocol):
    """A directory to work in, and what is behind it.

    Attributes:
        contender: who serves it.
        root: the directory to work in.
        storage: the directory on the disk in which everything comes to lie.
    """

    contender: Contender
    root: Path
    storage: Path

    def start(self) -> None:
        """Mount."""

    def stop(self) -> None:
        """Unmount, and return when everything was handed to the disk's file system."""

    def kill(self) -> None:
        """End what serves it at once, so that whoever waits for it gets an error."""


class PlainPlace:
    """The directory itself."""

    def __init__(self, directory: Path, contender: Contender = Contender.PLAIN) -> None:
        self.contender = contender
        self.storage = self.root = directory / "plain"
        self.root.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        """Nothing is to be done."""

    stop = kill = start


class _Program:
    """A peer: a program that stays in the foreground and serves a mount."""

    contender: Contender

    def __init__(self, directory: Path) -> None:
        self.storage, self.root = directory / "storage", directory / "mount"
        self._process: subprocess.Popen[bytes] | None = None
        for path in (self.storage, self.root):
            path.mkdir(parents=True, exist_ok=True)

    def _command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> None:
        self._process = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/")
        deadline = time.monotonic() + _START_SECONDS
        while not os.path.ismount(self.root):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ChildProcessError(f"{self.contender} did not mount {self.root}")
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        if self._process is not None:
            _flush(self.root)
            _unmount(self.root)
            self._process.wait(_STOP_SECONDS)
            self._process = None

    def kill(self) -> None:
        if self._process is not None:
            _kill(self._process, self.root)
            self._process = None


class BindfsPlace(_Program):
    """bindfs: the directory once more, by FUSE, and nothing else done."""

    contender = Contender.BINDFS

    def _command(self) -> list[str]:
        return ["bindfs", "-f", str(self.storage), str(self.root)]


class GocryptfsPlace(_Program):
    """gocryptfs as it comes; only the hardening of the password is made short, since nothing of it is measured."""

    contender = Contender.GOCRYPTFS

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._password = directory / "password"
        if not self._password.exists():
            self._password.write_text(_PASSWORD, encoding="ascii")
            command = ["gocryptfs", "-init", "-q", "-scryptn", "10", "-passfile", str(self._password)]
            subprocess.run([*command, str(self.storage)], check=True, stdin=subprocess.DEVNULL, cwd="/")

    def _command(self) -> list[str]:
        return ["gocryptfs", "-fg", "-q", "-passfile", str(self._password), str(self.storage), str(self.root)]


class BannockPlace:
    """A volume that a process of its own mounts; its state is remembered beside it.

    Attributes:
        mount_seconds: how long opening and mounting took the last time.
        process: the number of the process that serves it.
    """

    contender = Contender.BANNOCK

    def __init__(self, directory: Path) -> None:
        self.storage = directory / "storage"
        self._point = directory / "mount"
        self.root = self._point / "0"
        self._state = directory / "state.json"
        self._process: subprocess.Popen[str] | None = None
        self.mount_seconds = 0.0
        self._point.mkdir(parents=True, exist_ok=True)
        if not self._state.exists():
            with Volume.create(self.storage, KEY) as volume:
                self.remember(volume.commit())

    @property
    def process(self) -> int:
        if self._process is None:
            raise ChildProcessError("the volume is not mounted")
        return self._process.pid

    def remember(self, tag: FspfTag) -> None:
        """Note the state that the volume is in."""
        self._state.write_text(json.dumps({"tag": str(tag)}), encoding="ascii")

    def start(self) -> None:
        tag = json.loads(self._state.read_text(encoding="ascii"))["tag"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.shield.host", str(self.storage), str(self._point), tag],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        self.mount_seconds = float(str(self._answer()["seconds"]))

    def stop(self) -> None:
        if self._process is not None:
            _flush(self._point / "0")
            _pipe(self._process.stdin).close()
            self.remember(FspfTag.from_hex(str(self._answer()["tag"])))
            self._process.wait(_STOP_SECONDS)
            _pipe(self._process.stdout).close()
            self._process = None

    def kill(self) -> None:
        if self._process is not None:
            _kill(self._process, self._point)
            self._process = None

    def _answer(self) -> dict[str, object]:
        line = _pipe(self._process.stdout).readline() if self._process is not None else ""
        if not line:
            raise ChildProcessError(f"the process that serves {self.storage} ended")
        return dict(json.loads(line))


def make_place(contender: Contender, directory: Path) -> Place:
    """Make a fresh place for a contender, or find the one that was made there before; it is not mounted yet."""
    match contender:
        case Contender.BANNOCK:
            return BannockPlace(directory)
        case Contender.GOCRYPTFS:
            return GocryptfsPlace(directory)
        case Contender.BINDFS:
            return BindfsPlace(directory)
        case Contender.PLAIN | Contender.AGE:
            return PlainPlace(directory, contender)


@contextmanager
def mounted(place: Place) -> Iterator[None]:
    """Mount a place for a while; what goes wrong in between leaves no mount and no process behind."""
    try:
        place.start()
        yield
        place.stop()
    except BaseException:
        place.kill()
        raise


def settle(place: Place) -> None:
    """Have everything that was done in a place on the disk, in the same way for each of them.

    fsync(2) of the directory is what has Bannock commit; the kernel does not pass syncfs(2) on to a FUSE file system,
    so what lies below has to be asked, too.
    """
    sync_directory(place.root)
    _flush(place.root)
    _flush(place.storage)


def cool(place: Place) -> None:
    """Mount anew and empty the kernel's caches: neither the file system's process nor the kernel knows anything."""
    place.stop()
    place.start()
    drop_caches()


def _flush(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync_file_system(descriptor)
    finally:
        os.close(descriptor)


def _pipe(pipe: IO[str] | None) -> IO[str]:
    """Return a pipe that was asked for when the process was started."""
    if pipe is None:
        raise ChildProcessError("the process has no pipe")
    return pipe


def _unmount(point: Path) -> None:
    subprocess.run(["umount", str(point)], check=True, stdin=subprocess.DEVNULL, cwd="/")


def _kill(process: subprocess.Popen[bytes] | subprocess.Popen[str], point: Path) -> None:
    process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_START_SECONDS)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    command = ["umount", "-l", str(point)]
    subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
