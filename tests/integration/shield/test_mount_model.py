"""A mounted volume does what a plain directory does: the same system calls, the same results, errors and contents."""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import shutil
import stat
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.integration.shield.fsx import punch

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.shield.hosting import Host

pytestmark = [pytest.mark.fuse, pytest.mark.root, pytest.mark.slow]

_CHUNK: Final = 64 << 10
_RENAME_NOREPLACE: Final = 1
_RENAME_EXCHANGE: Final = 2
_HERE: Final = -100
_FLAGS: Final = (
    os.O_RDWR,
    os.O_RDWR | os.O_CREAT,
    os.O_RDWR | os.O_CREAT | os.O_EXCL,
    os.O_RDWR | os.O_CREAT | os.O_TRUNC,
    os.O_RDWR | os.O_APPEND,
    os.O_WRONLY | os.O_TRUNC,
    os.O_RDONLY,
    os.O_RDONLY | os.O_DIRECTORY,
    os.O_RDWR | os.O_NOFOLLOW,
)

Place: TypeAlias = tuple[int, str | None]

_names = st.sampled_from(["a", "b", "c", "~1", "ü"])
#: The path of something that is there, or of a name in a directory that is there: see MountMachine._path.
_present = st.tuples(st.integers(0, 63), st.none())
_within = st.tuples(st.integers(0, 15), _names)
_places = st.one_of(_present, _present, _within)
_modes = st.sampled_from([0o600, 0o644, 0o755, 0o7777, 0o1700, 0])
_offsets = st.one_of(
    st.integers(0, 4).flatmap(lambda n: st.sampled_from([n * _CHUNK - 1, n * _CHUNK, n * _CHUNK + 1])),
    st.integers(0, 20_000),
    st.sampled_from([1 << 21, (1 << 32) + 5]),
).map(lambda n: max(n, 0))
_lengths = st.one_of(st.integers(1, 300), st.sampled_from([4095, 4096, _CHUNK - 1, _CHUNK, 2 * _CHUNK + 1]))
_which = st.integers(0, 3)


def _outcome(action: Callable[[], object]) -> object:
    """Return what an operation gives, or the name of its error."""
    try:
        return action()
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def _renameat2(old: Path, new: Path, flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_HERE, os.fsencode(old), _HERE, os.fsencode(new), flags):
        raise OSError(ctypes.get_errno(), "renameat2")


class MountMachine(RuleBasedStateMachine):
    """Does the same below a mount and below a plain directory."""

    host: Host
    plain: Path
    counts_links: bool
    numbers = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        example = str(next(self.numbers))
        # One mount serves all examples, each of which has a directory of its own.
        self.ours, self.theirs = self.host.path / example, self.plain / example
        self.ours.mkdir()
        self.theirs.mkdir()
        self._open: list[tuple[int, int]] = []
        for top in (self.ours, self.theirs):
            (top / "a/b").mkdir(parents=True)
            (top / "a/file").write_bytes(b"some text")
        for name in ("a/file", "new"):
            ours, theirs = (os.open(top / name, os.O_RDWR | os.O_CREAT, 0o600) for top in (self.ours, self.theirs))
            self._open.append((ours, theirs))

    def teardown(self) -> None:
        """Compare once more, after everything went to the disk and came back."""
        try:
            self._close_all()
            self.compare()
        finally:
            self._close_all()
            shutil.rmtree(self.theirs)

    # -- names

    @rule(place=_within, mode=_modes)
    def mkdir(self, place: Place, mode: int) -> None:
        """Make a directory."""
        path = self._path(place)
        self._same(lambda top: (top / path).mkdir(mode))

    @rule(place=_within, to=_places)
    def symlink(self, place: Place, to: Place) -> None:
        """Make a link, which other operations may follow."""
        path, target = self._path(place), self._path(to).rpartition("/")[2]
        self._same(lambda top: (top / path).symlink_to(target))

    @rule(old=_present, new=_within)
    def link(self, old: Place, new: Place) -> None:
        """Give a file a second name."""
        first, second = self._path(old), self._path(new)
        self._same(lambda top: os.link(top / first, top / second, follow_symlinks=False))

    @rule(place=_places)
    def unlink(self, place: Place) -> None:
        """Remove the name of a file, which may be open."""
        path = self._path(place)
        self._same(lambda top: (top / path).unlink())

    @rule(place=_places)
    def rmdir(self, place: Place) -> None:
        """Remove a directory, if it is one and empty."""
        path = self._path(place)
        self._same(lambda top: (top / path).rmdir())

    @rule(old=_places, new=_places, flags=st.sampled_from([0, 0, _RENAME_NOREPLACE, _RENAME_EXCHANGE]))
    def rename(self, old: Place, new: Place, flags: int) -> None:
        """Move a name, over another one or not, or exchange the two."""
        first, second = self._path(old), self._path(new)
        self._same(lambda top: _renameat2(top / first, top / second, flags))

    # -- attributes

    @rule(place=_places, mode=_modes)
    def chmod(self, place: Place, mode: int) -> None:
        """Change a mode."""
        path = self._path(place)
        self._same(lambda top: (top / path).chmod(mode))

    @rule(place=_places, uid=st.sampled_from([-1, 0, 1234]), gid=st.sampled_from([-1, 0, 4321]))
    def chown(self, place: Place, uid: int, gid: int) -> None:
        """Change owners, of a link itself too."""
        if uid == gid == -1:
            # With nothing to change other file systems still take away the right to run as the owner; of FUSE the
            # kernel asks for no change at all then (fuse_setattr in fs/fuse/dir.c), and the owner is the same.
            uid = 0
        path = self._path(place)
        self._same(lambda top: os.chown(top / path, uid, gid, follow_symlinks=False))

    @rule(place=_places, nanoseconds=st.integers(-(1 << 30) * 10**9, (1 << 33) * 10**9))
    def utime(self, place: Place, nanoseconds: int) -> None:
        """Change the times, and find them."""
        path = self._path(place)
        self._same(lambda top: os.utime(top / path, ns=(nanoseconds, nanoseconds)))
        self._same(lambda top: (top / path).stat().st_mtime_ns == nanoseconds)

    @rule(place=_places, size=_offsets)
    def truncate_by_name(self, place: Place, size: int) -> None:
        """Cut or extend a file that need not be open."""
        path = self._path(place)
        self._same(lambda top: os.truncate(top / path, size))

    # -- open files

    @precondition(lambda self: len(self._open) < 4)
    @rule(place=_places, flags=st.sampled_from(_FLAGS), mode=_modes)
    def open(self, place: Place, flags: int, mode: int) -> None:
        """Open or make a file, to work with it for a while."""
        path = self._path(place)
        ours = _outcome(partial(os.open, self.ours / path, flags, mode))
        theirs = _outcome(partial(os.open, self.theirs / path, flags, mode))
        if isinstance(ours, int) and isinstance(theirs, int):
            self._open.append((ours, theirs))
        else:
            assert ours == theirs

    @precondition(lambda self: self._open)
    @rule(which=_which)
    def close(self, which: int) -> None:
        """Let go of an open file, which may have no name any more."""
        for descriptor in self._open.pop(which % len(self._open)):
            os.close(descriptor)

    @precondition(lambda self: self._open)
    @rule(which=_which, offset=_offsets, length=_lengths, fill=st.integers(1, 255))
    def write(self, which: int, offset: int, length: int, fill: int) -> None:
        """Write at an offset, or behind the end if the file was opened so."""
        data = bytes((fill + n) % 256 for n in range(length))
        self._same_open(which, lambda descriptor: os.pwrite(descriptor, data, offset))

    @precondition(lambda self: self._open)
    @rule(which=_which, offset=_offsets, length=_lengths)
    def read(self, which: int, offset: int, length: int) -> None:
        """Read at an offset."""
        self._same_open(which, lambda descriptor: os.pread(descriptor, length, offset))

    @rule(place=_present, offset=_offsets, length=_lengths, flags=st.sampled_from([0, os.O_APPEND, os.O_TRUNC]))
    def write_by_name(self, place: Place, offset: int, length: int, flags: int) -> None:
        """Open a file, write to it and close it."""
        path, data = self._path(place), bytes(length % 251 for _ in range(length))

        def write(top: Path) -> int:
            with open(top / path, "r+b", buffering=0, opener=lambda name, more: os.open(name, more | flags)) as file:
                return os.pwrite(file.fileno(), data, offset)

        self._same(write)

    @precondition(lambda self: self._open)
    @rule(which=_which, size=_offsets)
    def truncate(self, which: int, size: int) -> None:
        """Cut an open file, or extend it."""
        self._same_open(which, lambda descriptor: os.ftruncate(descriptor, size))

    @precondition(lambda self: self._open)
    @rule(which=_which, offset=_offsets, length=_lengths)
    def allocate(self, which: int, offset: int, length: int) -> None:
        """Have room made in a file."""
        self._same_open(which, lambda descriptor: os.posix_fallocate(descriptor, offset, length))

    @precondition(lambda self: self._open)
    @rule(which=_which, offset=_offsets, length=_lengths)
    def hole(self, which: int, offset: int, length: int) -> None:
        """Make a hole."""
        self._same_open(which, lambda descriptor: punch(descriptor, offset, length))

    @precondition(lambda self: self._open)
    @rule(which=_which)
    def look(self, which: int) -> None:
        """Compare what is known of an open file."""
        self._same_open(which, lambda descriptor: self._status(os.fstat(descriptor)))

    @precondition(lambda self: self._open)
    @rule(which=_which, sync=st.sampled_from([os.fsync, os.fdatasync]))
    def sync(self, which: int, sync: Callable[[int], None]) -> None:
        """Make an open file durable."""
        self._same_open(which, sync)

    # -- states

    @rule(stop=st.sampled_from([True, False, False, False, False]))
    def remount(self, *, stop: bool) -> None:
        """Have everything written; sometimes have it read back from the disk."""
        self.host.commit()
        if stop:
            self._close_all()
            self.host.remount()
            self.compare()

    @rule()
    def compare(self) -> None:
        """Everything below is the same."""
        found, expected = self._tree(self.ours), self._tree(self.theirs)
        differing = {name for name in {*found, *expected} if found.get(name) != expected.get(name)}
        assert [(name, found.get(name), expected.get(name)) for name in sorted(differing)] == []

    # -- below

    def _path(self, place: Place) -> str:
        """Return a path: of the n-th thing that is there, or a name in the n-th directory that is there."""
        number, name = place
        there, directories = [], [""]
        for above, below, files in os.walk(self.theirs):
            top = os.path.relpath(above, self.theirs) + "/"
            there += [top + each for each in (*below, *files)]
            directories += [top + each + "/" for each in below]
        if name is None:
            return sorted(there)[number % len(there)] if there else "a"
        return sorted(directories)[number % len(directories)] + name

    def _same(self, action: Callable[[Path], object]) -> None:
        found, expected = _outcome(partial(action, self.ours)), _outcome(partial(action, self.theirs))
        assert found == expected

    def _same_open(self, which: int, action: Callable[[int], object]) -> None:
        ours, theirs = self._open[which % len(self._open)]
        found, expected = _outcome(partial(action, ours)), _outcome(partial(action, theirs))
        assert found == expected

    def _close_all(self) -> None:
        while self._open:
            self.close(0)

    def _tree(self, top: Path) -> dict[str, object]:
        found: dict[str, object] = {}
        names: dict[int, set[str]] = {}
        for above, directories, files in os.walk(top):
            for name in (*directories, *files):
                path = Path(above, name)
                status = path.lstat()
                content: object = None
                if stat.S_ISREG(status.st_mode):
                    content = _content(path)
                elif stat.S_ISLNK(status.st_mode):
                    content = path.readlink()
                shown = str(path.relative_to(top))
                found[shown] = (self._status(status), content)
                names.setdefault(status.st_ino, set()).add(shown)
        # And which names are of one file.
        return {**found, "": sorted(map(sorted, names.values()))}

    def _status(self, status: os.stat_result) -> tuple[int, ...]:
        """Return what is the same everywhere of what stat(2) says."""
        is_directory = stat.S_ISDIR(status.st_mode)
        size = 0 if is_directory else status.st_size
        links = 0 if is_directory and not self.counts_links else status.st_nlink
        return status.st_mode, links, size, status.st_uid, status.st_gid


def _content(path: Path) -> object:
    """Return what is in a file: its parts with data, as sparse ones are too large to be read."""
    parts, size = [], path.stat().st_size
    with path.open("rb") as file:
        for offset in range(0, min(size, 2 << 20), _CHUNK):
            data = os.pread(file.fileno(), _CHUNK, offset)
            if data.strip(b"\0"):
                parts.append((offset, data))
        if size > 2 << 20:
            parts.append((size, os.pread(file.fileno(), 4 * _CHUNK, max(size - 3 * _CHUNK, 0))))
    return size, parts


def test_a_mounted_volume_is_like_a_plain_directory(host: Host) -> None:
    """Random operations have the same results, and leave the same tree behind."""
    with tempfile.TemporaryDirectory(prefix="bannock-plain-") as plain:
        MountMachine.host, MountMachine.plain = host, Path(plain)
        MountMachine.counts_links = Path(plain).stat().st_nlink == 2
        run_state_machine_as_test(
            MountMachine,
            settings=settings(
                max_examples=50, stateful_step_count=60, deadline=None, derandomize=True,
                suppress_health_check=list(HealthCheck),
            ),
        )  # fmt: skip
    assert "error" not in host.log.read_text()
