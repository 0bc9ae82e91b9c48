"""A disk that loses its power: every system call that reaches a volume's directory is recorded, and replayed in part.

What a disk holds after a cut is worked out by the strict reading of POSIX. A write is certain once its own file was
synced. A name that was made or removed is certain once its directory was synced; that the file itself was synced does
not help. Of everything else any part may be there or not, in any order, and of a write any of its sectors.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import pytest

from bannock import files
from bannock.shield.format import backing

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: What a disk writes as a whole or not at all.
SECTOR: Final = 512

#: What a directory of ciphertext holds; None is a directory.
Held: TypeAlias = dict[bytes, bytes | None]


class Call(NamedTuple):
    """A system call that changes what the storage holds, or makes it durable; or a message to or from the keeper.

    Attributes:
        name: openat (that makes a file), mkdirat, pwrite, unlinkat, rmdir, fsync, fdatasync, syncfs, request, answer.
        path: of the file, in the volume's directory.
        file: tells apart files that had one path one after the other; 0 for what is no file.
        phase: what the volume was asked to do: ``change`` or ``commit``.
    """

    name: str
    path: bytes
    file: int = 0
    offset: int = 0
    data: bytes = b""
    phase: str = ""


_NAMES: Final = ("openat", "mkdirat", "unlinkat", "rmdir")


#: The volume's directory itself, and the one that it is in.
_ROOT: Final = b""
_OUTSIDE: Final = b".."


def _parent(path: bytes) -> bytes:
    return _OUTSIDE if path == _ROOT else path.rpartition(b"/")[0]


def _covers(sync: Call, call: Call) -> bool:
    """Whether a call is certain once ``sync`` has returned."""
    match sync.name:
        case "syncfs":
            return True
        case "fsync" if not sync.file:
            return call.name in _NAMES and _parent(call.path) == sync.path
        case "fsync" | "fdatasync":
            return call.name == "pwrite" and call.file == sync.file
        case _:
            return False


@dataclass
class Disk:
    """A disk on which calls were made, some of them certain and some not."""

    _certain: list[Call] = field(default_factory=list)
    _open: list[Call] = field(default_factory=list)

    def do(self, call: Call) -> None:
        """Make one more call."""
        self._open.append(call)
        settled = [one for one in self._open if _covers(call, one)]
        self._certain += settled
        self._open = [one for one in self._open if one not in settled and one.name in (*_NAMES, "pwrite")]

    def certain(self) -> Held:
        """Return the least that is there after a cut."""
        return _replay(self._certain)

    def everything(self, last: Call | None = None) -> Held:
        """Return what is there if nothing is lost, and one more call (or a part of it) was made."""
        return _replay([*self._certain, *self._open, *([last] if last is not None else [])])

    def some(self, last: Call, choose: random.Random) -> Held:
        """Return what is there if any part of what is not certain is lost, the last call included."""
        likely = choose.choice([0.2, 0.5, 0.9])
        kept = [
            part
            for call in [*self._open, last]
            for part in (_sectors(call) if call.name == "pwrite" and choose.random() < 0.5 else [call])
            if choose.random() < likely
        ]
        return _replay([*self._certain, *kept])


def halves(call: Call) -> list[Call]:
    """Return the two halves of a write, each of which may be all that reached the disk."""
    if call.name != "pwrite" or len(call.data) < 2:
        return []
    at = len(call.data) // 2
    return [call._replace(data=call.data[:at]), call._replace(data=call.data[at:], offset=call.offset + at)]


def _sectors(call: Call) -> list[Call]:
    """Cut a write where the disk may cut it."""
    at, parts = 0, []
    while at < len(call.data):
        size = SECTOR - (call.offset + at) % SECTOR
        parts.append(call._replace(offset=call.offset + at, data=call.data[at : at + size]))
        at += size
    return parts


def _replay(calls: list[Call]) -> Held:
    """Work out what a disk holds on which some calls were made, and the others never."""
    names: dict[bytes, int] = {}
    contents: dict[int, bytearray] = {}
    for call in calls:
        match call.name:
            case "mkdirat":
                names.setdefault(call.path, 0)
            case "openat":
                names[call.path] = call.file
                contents.setdefault(call.file, bytearray())
            case "unlinkat" | "rmdir":
                names.pop(call.path, None)
            case "pwrite":
                content = contents.setdefault(call.file, bytearray())
                content.extend(bytes(max(call.offset - len(content), 0)))
                content[call.offset : call.offset + len(call.data)] = call.data
            case _:
                pass
    # What is below a directory that was never made is nowhere.
    return {
        path: bytes(contents[file]) if file else None
        for path, file in names.items()
        if path != _ROOT and all(names.get(above) == 0 for above in _above(path))
    }


def _above(path: bytes) -> Iterator[bytes]:
    while path != _ROOT:
        yield (path := _parent(path))


class Recorder:
    """Notes the calls on one directory, as the process makes them; knows files by their handles.

    Attributes:
        calls: what was done so far.
        phase: what calls are noted with.
    """

    def __init__(self, directory: Path) -> None:
        self.calls: list[Call] = []
        self.phase = "change"
        self._directory = os.fspath(directory)
        self._handles: dict[int, bytes] = {}
        self._files: dict[bytes, int] = {}
        self._made = 0
        if directory.exists():
            self._take_in(directory)

    def _take_in(self, directory: Path) -> None:
        """Note what was there before, as made and synced."""
        self.note("mkdirat")
        for path, content in sorted(hold(directory).items()):
            if content is None:
                self.note("mkdirat", path)
                continue
            self._made += 1
            self._files[path] = self._made
            self.note("openat", path, file=self._made)
            self.note("pwrite", path, file=self._made, data=content)
        self.note("syncfs")

    def note(self, name: str, path: bytes = b"", **more: Any) -> None:
        """Note one call."""
        self.calls.append(Call(name, path, phase=self.phase, **more))

    def _open(self, real: Callable[..., int], path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        handle = real(path, flags, mode, **more)
        where = self._where(path, more.get("dir_fd"))
        if where is None:
            return handle
        self._handles[handle] = where
        if flags & os.O_CREAT:
            assert flags & os.O_EXCL, "a file that is made where one may be is not modelled"
            self._made += 1
            self._files[where] = self._made
            self.note("openat", where, file=self._made)
        assert not flags & os.O_TRUNC, "not modelled"
        return handle

    def _where(self, path: Any, below: int | None) -> bytes | None:
        """Return the path in the volume's directory that a call means, or None if it is elsewhere."""
        if below is None:
            return self._inside(os.fspath(path))
        if below not in self._handles:
            return None
        above = self._handles[below]
        return above + b"/" + os.fsencode(path) if above else os.fsencode(path)

    def _inside(self, path: str) -> bytes | None:
        if path == os.path.dirname(self._directory):  # noqa: PTH120 # of a string
            return _OUTSIDE
        if path == self._directory:
            return _ROOT
        return os.fsencode(path[len(self._directory) + 1 :]) if path.startswith(self._directory + "/") else None

    def _close(self, real: Callable[..., None], handle: int) -> None:
        self._handles.pop(handle, None)
        real(handle)

    def _dup(self, real: Callable[..., int], handle: int) -> int:
        copy = real(handle)
        if handle in self._handles:
            self._handles[copy] = self._handles[handle]
        return copy

    def _pwrite(self, real: Callable[..., int], handle: int, data: Any, offset: int) -> int:
        written = real(handle, data, offset)
        if (path := self._handles.get(handle)) is not None:
            content = bytes(memoryview(data).cast("B")[:written])
            self.note("pwrite", path, file=self._files[path], offset=offset, data=content)
        return written

    def _name(self, name: str) -> Callable[..., None]:
        def call(real: Callable[..., None], path: Any, *rest: Any, **more: Any) -> None:
            real(path, *rest, **more)
            if (where := self._where(path, more.get("dir_fd"))) is not None:
                self.note(name, where, file=self._files.pop(where, 0))

        return call

    def _sync(self, name: str) -> Callable[..., None]:
        def call(real: Callable[..., None], handle: int) -> None:
            real(handle)
            if (path := self._handles.get(handle)) is not None:
                whole = stat.S_ISDIR(os.fstat(handle).st_mode)
                self.note(name, path, file=0 if whole else self._files[path])

        return call

    def _refuse(self, name: str) -> Callable[..., Any]:
        def call(real: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
            given = {*arguments, *more.values()}
            assert not any(handle in given for handle in self._handles), f"{name} is not modelled"
            return real(*arguments, **more)

        return call

    def patch(self, patch: pytest.MonkeyPatch) -> None:
        """Come between the process and the kernel."""
        wrappers: dict[str, Callable[..., Any]] = {
            "open": self._open, "close": self._close, "dup": self._dup, "pwrite": self._pwrite,
            "mkdir": self._name("mkdirat"), "unlink": self._name("unlinkat"), "rmdir": self._name("rmdir"),
            "fsync": self._sync("fsync"), "fdatasync": self._sync("fdatasync"),
        }  # fmt: skip
        wrappers |= {name: self._refuse(name) for name in ("rename", "replace", "link", "ftruncate", "write")}
        for name, wrapper in wrappers.items():
            patch.setattr(os, name, _bound(wrapper, getattr(os, name)))
        syncfs = _bound(self._sync("syncfs"), files.sync_file_system)
        patch.setattr(backing, "sync_file_system", syncfs)


def _bound(wrapper: Callable[..., Any], real: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arguments, **more: wrapper(real, *arguments, **more)


@contextmanager
def recording(directory: Path) -> Iterator[Recorder]:
    """Record what this process does to a directory."""
    recorder = Recorder(directory)
    with pytest.MonkeyPatch.context() as patch:
        recorder.patch(patch)
        yield recorder


def hold(directory: Path) -> Held:
    """Read a directory of ciphertext."""
    return {
        os.fsencode(path.relative_to(directory)): None if path.is_dir() else path.read_bytes()
        for path in directory.rglob("*")
    }


def lay(held: Held, directory: Path) -> None:
    """Write a directory of ciphertext."""
    directory.mkdir(parents=True)
    for name in sorted(held):
        path, content = directory / os.fsdecode(name), held[name]
        if content is None:
            path.mkdir()
        else:
            path.write_bytes(content)
