"""A protected volume out into an empty directory in memory, as quickly as can be: an application waits for it.

What :mod:`bannock.shield.unpack` does with care for what is there already and for who watches. Several processes may
share the files.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final, NamedTuple

from bannock import linux
from bannock.errors import BannockError, IntegrityError
from bannock.shield.format.content import read_whole

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from bannock.shield.format.names import Entry
    from bannock.shield.format.records import Inode
    from bannock.shield.volume import Volume

__all__ = ["load"]

_COPY_BYTES: Final = 4 << 20
_PERMISSIONS: Final = 0o1777
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
#: So little is written sooner than another process is made.
_ALONE_BYTES: Final = 4 << 20
_ALONE_FILES: Final = 32
#: What a file takes, whatever its size, is as much as unsealing and writing so many bytes.
_FILE_COST_BYTES: Final = 128 << 10


def load(volume: Volume, target: Path, *, processes: int = 1) -> None:
    """Decrypt an open volume into an existing empty directory.

    Owners are those of the caller, so set-uid and set-gid bits are left out.

    Args:
        volume: to read.
        target: the directory.
        processes: how many do it together, on as many processors; more than one where this process has one thread.

    Raises:
        IntegrityError: a file in the volume was changed; the message names it.
        OSError: the memory does not suffice.
    """
    _Loader(volume, os.fspath(target)).load(processes)


class _File(NamedTuple):
    """A regular file that is to be written; paths are text here, since there are thousands of them."""

    ino: int
    inode: Inode
    path: str


class _Loader:
    """Makes directories and links, then files, then further names of these; directories get their metadata last."""

    def __init__(self, volume: Volume, target: str) -> None:
        self._volume = volume
        self._target = target
        self._files: list[_File] = []
        self._first: dict[int, str] = {}
        self._links: list[tuple[str, str]] = []
        self._directories: list[tuple[int, str]] = []

    def load(self, processes: int) -> None:
        done, self._directories = 0, [(self._volume.root, self._target)]
        while done < len(self._directories):
            ino, directory = self._directories[done]
            for entry in self._volume.names.entries(ino):
                self._place(entry, f"{directory}/{os.fsdecode(entry.name)}")
            done += 1
        size = sum(file.inode.size for file in self._files)
        if processes > 1 and (size > _ALONE_BYTES or len(self._files) > _ALONE_FILES):
            self._write_together(processes)
        else:
            self._write_all(self._files)
        for first, path in self._links:
            os.link(first, path, follow_symlinks=False)
        for ino, directory in reversed(self._directories):
            _restore(directory, self._volume.inodes.get(ino))

    def _place(self, entry: Entry, path: str) -> None:
        inode = self._volume.inodes.get(entry.ino)
        if inode.is_directory:
            os.mkdir(path, 0o700)  # noqa: PTH102
            self._directories.append((entry.ino, path))
            return
        if (first := self._first.get(entry.ino)) is not None:
            self._links.append((first, path))
            return
        if inode.is_file:
            self._files.append(_File(entry.ino, inode, path))
        else:
            os.symlink(os.fsdecode(self._volume.names.link_target(entry.ino)), path)  # noqa: PTH211
            os.utime(path, ns=(inode.accessed, inode.modified), follow_symlinks=False)
        if inode.links > 1:
            self._first[entry.ino] = path

    def _write_together(self, processes: int) -> None:
        """Write the files on several processors: a part of them here, the others by copies of this process."""
        own, *others = _shares(self._files, processes)
        children: list[tuple[int, list[_File]]] = []
        try:
            for share in others:
                children.append((self._fork(share), share))  # noqa: PERF401 # each is there to be ended
            self._write_all(own)
            while children:
                child, share = children.pop()
                _, status = os.waitpid(child, 0)
                if status:
                    # Something is damaged, or memory does not suffice: here, that is an error as ever.
                    for file in share:
                        with suppress(FileNotFoundError):
                            os.unlink(file.path)  # noqa: PTH108
                    self._write_all(share)
        finally:
            for child, _ in children:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)

    def _fork(self, share: list[_File]) -> int:
        """Write files in another process, whose exit code is 0 if all are there; return its number."""
        child = os.fork()
        if child:
            return child
        try:
            linux.die_with_parent(signal.SIGKILL)
            self._write_all(share)
            os._exit(0)
        finally:
            os._exit(1)

    def _write_all(self, files: Iterable[_File]) -> None:
        for file in files:
            self._write(file)

    def _write(self, file: _File) -> None:
        descriptor = os.open(file.path, _NEW, 0o600)
        try:
            if file.inode.size <= _COPY_BYTES:
                _put(descriptor, read_whole(file.ino, file.inode, self._volume.storage))
            else:
                for offset in range(0, file.inode.size, _COPY_BYTES):
                    _put(descriptor, self._volume.inodes.read(file.ino, offset, _COPY_BYTES))
            _restore(descriptor, file.inode)
        except BannockError as error:
            os.unlink(file.path)  # noqa: PTH108
            name = file.path.removeprefix(f"{self._target}/")
            raise IntegrityError(f"the file {name!r} in the volume is damaged") from error
        finally:
            os.close(descriptor)


def _shares(files: Iterable[_File], number: int) -> list[list[_File]]:
    """Part files so that each part takes about as long."""
    shares: list[tuple[int, int, list[_File]]] = [(0, index, []) for index in range(number)]
    for file in sorted(files, key=lambda file: file.inode.size, reverse=True):
        cost, index, share = heappop(shares)
        share.append(file)
        heappush(shares, (cost + file.inode.size + _FILE_COST_BYTES, index, share))
    return [share for _, _, share in shares]


def _put(descriptor: int, data: bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _restore(place: int | str, inode: Inode) -> None:
    """Give a file or a directory the metadata that it had."""
    # The owner is whoever extracts, so set-uid and set-gid would mean something else than where they came from.
    os.chmod(place, inode.mode & _PERMISSIONS)  # noqa: PTH101 # by descriptor, too
    os.utime(place, ns=(inode.accessed, inode.modified))
