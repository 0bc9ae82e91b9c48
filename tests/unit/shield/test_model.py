"""A volume does what a plain directory does: the same operations on both, the same results, errors and contents."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from bannock.shield.format import content, inodes, slots, storage
from bannock.shield.format import tree as tree_module
from bannock.shield.format.records import CHUNK_RECORD_BYTES, ROOT, decode_chunk, decode_slots
from bannock.shield.volume import Volume
from tests.unit.shield.support import KEY, Keeper

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK: Final = 64
_RENAME_NOREPLACE: Final = 1
_RENAME_EXCHANGE: Final = 2
_HERE: Final = -100
#: The kinds of keys in the tree.
_CHUNKS: Final = 3
_SLOTS: Final = 4

_names = st.sampled_from(["a", "b", "c", "~1", "ü"])
_paths = st.lists(_names, min_size=1, max_size=3).map("/".join)
_offsets = st.one_of(
    st.integers(0, 6).flatmap(lambda n: st.sampled_from([n * _CHUNK - 1, n * _CHUNK, n * _CHUNK + 1])),
    st.integers(0, 5000),
).map(lambda n: max(n, 0))
_data = st.one_of(
    st.integers(1, 5).flatmap(lambda n: st.sampled_from([n * _CHUNK - 1, n * _CHUNK, n * _CHUNK + 1])),
    st.integers(0, 600),
)


def _outcome(action: Callable[[], object]) -> object:
    """Return what an operation gives, or the number of its error."""
    try:
        return action()
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def _renameat2(old: Path, new: Path, flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_HERE, os.fsencode(old), _HERE, os.fsencode(new), flags):
        raise OSError(ctypes.get_errno(), "renameat2")


class Paths:
    """What the kernel does above a file system: it walks paths. Links in them lead nowhere here."""

    def __init__(self, volume: Volume) -> None:
        self.volume = volume

    def find(self, path: str) -> int:
        """Return the inode of a path."""
        parent, name = self.parent(path)
        return self.volume.names.lookup(parent, name)

    def parent(self, path: str) -> tuple[int, bytes]:
        """Return the directory that a path is in, and its last name."""
        *above, name = path.split("/")
        ino = ROOT
        for part in above:
            ino = self.volume.names.lookup(ino, part.encode())
            inode = self.volume.inodes.get(ino)
            if not inode.is_directory:
                number = errno.ENOENT if stat.S_ISLNK(inode.mode) else errno.ENOTDIR
                raise OSError(number, os.strerror(number))
        return ino, name.encode()


class VolumeMachine(RuleBasedStateMachine):
    """Does the same to a volume and to a directory."""

    def __init__(self) -> None:
        super().__init__()
        self._patch = pytest.MonkeyPatch()
        for module, name, value in (
            (storage, "_DIRTY_BYTES", 5 * _CHUNK),
            (storage, "_CLEAN_BYTES", 1),
            (storage, "_CLEAN_CHUNKS_MIN", 3),
            (content, "_GROUPS", 2),
            (slots, "SLOTS_PER_RECORD", 3),
            (inodes, "_CACHED", 8),
            (tree_module, "_CACHED_PAGES", 2),
        ):
            self._patch.setattr(module, name, value)
        self._base = Path(tempfile.mkdtemp(prefix="bannock-model-"))
        self.real = self._base / "real"
        self.real.mkdir()
        self._saved = self._base / "saved"
        self._keeper = Keeper()
        self._on(Volume.create(self._base / "volume", KEY, keeper=self._keeper))
        self._handles: list[tuple[int, int]] = []
        self._counts_links = self.real.stat().st_nlink == 2

    def _on(self, volume: Volume) -> None:
        self.volume, self.names, self.inodes = volume, volume.names, volume.inodes
        self.paths = Paths(volume)

    def teardown(self) -> None:
        """Compare once more after a commit and a reopening."""
        try:
            self.reopen()
        finally:
            self.volume.close()
            shutil.rmtree(self._base)
            self._patch.undo()

    @initialize()
    def begin(self) -> None:
        """There is a first state."""
        self.commit()

    # -- names

    @rule(path=_paths)
    def mkdir(self, path: str) -> None:
        """Make a directory."""
        self._same(lambda: self._make(path, stat.S_IFDIR), (self.real / path).mkdir)

    @rule(path=_paths)
    def create(self, path: str) -> None:
        """Make an empty file."""

        def really() -> None:
            os.close(os.open(self.real / path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))

        self._same(lambda: self._make(path, stat.S_IFREG), really)

    @rule(path=_paths, length=st.sampled_from([0, 100, 1023, 1024, 4094]))
    def symlink(self, path: str, length: int) -> None:
        """Make a link that leads nowhere."""
        target = "n/" * (length // 2) + "n"
        self._same(
            lambda: self._at(self.names.symlink, path, target.encode()),
            lambda: (self.real / path).symlink_to(target),
        )

    @rule(old=_paths, new=_paths)
    def link(self, old: str, new: str) -> None:
        """Give a file a second name."""
        self._same(
            lambda: self.names.link(self.paths.find(old), *self.paths.parent(new)),
            lambda: os.link(self.real / old, self.real / new, follow_symlinks=False),
        )

    @rule(path=_paths)
    def unlink(self, path: str) -> None:
        """Remove the name of a file, which may be open."""
        self._same(lambda: self._at(self.names.unlink, path), (self.real / path).unlink)

    @rule(path=_paths)
    def rmdir(self, path: str) -> None:
        """Remove a directory, if it is one and empty."""
        self._same(lambda: self._at(self.names.rmdir, path), (self.real / path).rmdir)

    @rule(old=_paths, new=_paths, replace=st.booleans())
    def rename(self, old: str, new: str, *, replace: bool) -> None:
        """Move a name, over another one or not."""
        self._refuse_what_the_kernel_does(old, new)
        self._same(
            lambda: self.names.rename(*self.paths.parent(old), *self.paths.parent(new), replace=replace),
            lambda: _renameat2(self.real / old, self.real / new, 0 if replace else _RENAME_NOREPLACE),
        )

    @rule(old=_paths, new=_paths)
    def exchange(self, old: str, new: str) -> None:
        """Swap two names."""
        self._refuse_what_the_kernel_does(old, new)
        self._same(
            lambda: self.names.exchange(*self.paths.parent(old), *self.paths.parent(new)),
            lambda: _renameat2(self.real / old, self.real / new, _RENAME_EXCHANGE),
        )

    # -- contents

    @precondition(lambda self: len(self._handles) < 4)
    @rule(path=_paths)
    def open(self, path: str) -> None:
        """Open a file to work with it for a while."""
        target = self.real / path
        assume(target.is_file() and not target.is_symlink())
        ino = self.paths.find(path)
        self.inodes.handles.open(ino)
        self._handles.append((os.open(target, os.O_RDWR), ino))

    @precondition(lambda self: self._handles)
    @rule(which=st.integers(0, 3))
    def close(self, which: int) -> None:
        """Let go of an open file, which may have no name any more."""
        descriptor, ino = self._handles.pop(which % len(self._handles))
        os.close(descriptor)
        self.inodes.handles.release(ino)

    @precondition(lambda self: self._handles)
    @rule(which=st.integers(0, 3), offset=_offsets, size=_data, fill=st.integers(1, 255))
    def write(self, which: int, offset: int, size: int, fill: int) -> None:
        """Write to an open file."""
        descriptor, ino = self._handles[which % len(self._handles)]
        data = bytes((fill + n) % 256 for n in range(size))
        os.pwrite(descriptor, data, offset)
        self.inodes.write(ino, offset, data)

    @precondition(lambda self: self._handles)
    @rule(which=st.integers(0, 3), size=_offsets)
    def truncate(self, which: int, size: int) -> None:
        """Cut an open file, or extend it."""
        descriptor, ino = self._handles[which % len(self._handles)]
        os.ftruncate(descriptor, size)
        self.inodes.truncate(ino, size)

    @precondition(lambda self: self._handles)
    @rule(which=st.integers(0, 3), offset=_offsets, size=_data)
    def read(self, which: int, offset: int, size: int) -> None:
        """Read from an open file."""
        descriptor, ino = self._handles[which % len(self._handles)]
        assert self.inodes.read(ino, offset, size) == os.pread(descriptor, size, offset)
        assert self.inodes.get(ino).size == os.fstat(descriptor).st_size
        assert self.inodes.get(ino).links == os.fstat(descriptor).st_nlink

    # -- states

    @rule()
    def commit(self) -> None:
        """Make what there is the state."""
        tag = self.volume.commit()
        assert tag == self._keeper.tag == self.volume.tag
        shutil.rmtree(self._saved, ignore_errors=True)
        subprocess.run(["/bin/cp", "-a", self.real, self._saved], check=True)

    @rule()
    def reopen(self) -> None:
        """Close after a commit, and find everything again."""
        self._close_all()
        self.commit()
        self._open_again()

    @rule()
    def lose(self) -> None:
        """Close without a commit, and find the last state."""
        shutil.rmtree(self.real)
        for descriptor, _ in self._handles:
            os.close(descriptor)
        self._handles.clear()
        subprocess.run(["/bin/cp", "-a", self._saved, self.real], check=True)
        self._open_again()

    @rule()
    def compare(self) -> None:
        """Everything below is the same."""
        self._compare(ROOT, self.real)

    # -- below

    def _open_again(self) -> None:
        assert self._keeper.tag is not None
        self.volume.close()
        self._on(Volume.open(self._base / "volume", KEY, self._keeper.tag, keeper=self._keeper))
        self._compare(ROOT, self.real)
        self._account_for_slots()

    def _account_for_slots(self) -> None:
        """Every slot of every ciphertext file belongs to one chunk or is free, once."""
        slots: dict[int, list[int]] = {}
        tree = self.volume._protection.tree
        for key, value in tree.walk(bytes(8), b"\xff" * 8):
            ino, kind = int.from_bytes(key[:8], "big"), key[8]
            if kind == _CHUNKS:
                chunks = [decode_chunk(value, n) for n in range(len(value) // CHUNK_RECORD_BYTES)]
                slots.setdefault(ino, []).extend(chunk.slot for chunk in chunks if chunk.length)
            elif kind == _SLOTS:
                slots.setdefault(ino, []).extend(decode_slots(value))
        for ino, found in slots.items():
            assert sorted(found) == list(range(self.inodes.get(ino).slots))

    def _close_all(self) -> None:
        while self._handles:
            self.close(0)

    def _same(self, ours: Callable[[], object], really: Callable[[], object]) -> None:
        expected = _outcome(really)
        found = _outcome(ours)
        assert found == expected or not (isinstance(found, str) or isinstance(expected, str))

    def _at(self, action: Callable[..., object], path: str, *more: object) -> object:
        return action(*self.paths.parent(path), *more)

    def _make(self, path: str, kind: int) -> None:
        ino = self.names.make(*self.paths.parent(path), kind | 0o755)
        self.inodes.change(ino).chunk_bytes = _CHUNK

    @staticmethod
    def _refuse_what_the_kernel_does(old: str, new: str) -> None:
        """Leave out moves into or over what the name itself is below of; they never reach a file system."""
        assume(not (old + "/").startswith(new + "/") and not (new + "/").startswith(old + "/"))

    def _compare(self, ino: int, path: Path) -> None:
        entries = {entry.name: entry for entry in self.names.entries(ino)}
        assert sorted(entries) == sorted(os.fsencode(below.name) for below in path.iterdir())
        status = path.stat()
        if self._counts_links:
            assert self.inodes.get(ino).links == status.st_nlink
        same: dict[int, int] = {}
        for name, entry in entries.items():
            below = path / os.fsdecode(name)
            inode, status = self.inodes.get(entry.ino), below.lstat()
            assert stat.S_IFMT(status.st_mode) == entry.kind == stat.S_IFMT(inode.mode)
            if inode.is_directory:
                self._compare(entry.ino, below)
                continue
            assert same.setdefault(status.st_ino, entry.ino) == entry.ino
            assert (inode.links, inode.size) == (status.st_nlink, status.st_size)
            if inode.is_file:
                assert self.inodes.read(entry.ino, 0, inode.size + 1) == below.read_bytes()
            else:
                assert self.names.link_target(entry.ino) == os.fsencode(below.readlink())


TestVolume = VolumeMachine.TestCase
TestVolume.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
