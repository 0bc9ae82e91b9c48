"""Random operations on one file, each of them checked against the bytes that should be there.

After the idea of fsx, the file system exerciser: reads and writes in every way there is (plain, mapped, direct,
appending), over several handles of one file, with a seed that repeats them. Runs as a program too, so that several can
be at work at once: ``python -m tests.integration.shield.fsx FILE SEED OPERATIONS``.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import random
import sys
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Exerciser", "main", "punch"]

#: Nine chunks of 64 KiB, the last of them in part.
SIZE_MAX: Final = (8 << 16) + 12_345
_CHUNK: Final = 64 << 10
_PAGE: Final = mmap.PAGESIZE
_KEEP_SIZE: Final = 1
_PUNCH_HOLE: Final = 2
_REMEMBERED: Final = 12


def punch(descriptor: int, offset: int, length: int) -> None:
    """Make a hole (FALLOC_FL_PUNCH_HOLE of fallocate(2)).

    Raises:
        OSError: EOPNOTSUPP, where the file system has no holes.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.fallocate(descriptor, _PUNCH_HOLE | _KEEP_SIZE, ctypes.c_long(offset), ctypes.c_long(length)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Exerciser:
    """Does random things to a file through several handles.

    Args:
        path: of the file, which is made.
        seed: of what is done.
        direct: whether one of the handles goes past the kernel's cache.
    """

    def __init__(self, path: Path, seed: int, *, direct: bool = False) -> None:
        self._path = path
        self._random = random.Random(seed)  # noqa: S311 # repeatable
        self._model = bytearray()
        self._done: deque[str] = deque(maxlen=_REMEMBERED)
        self._handles = [os.open(path, os.O_RDWR | os.O_CREAT, 0o600), os.open(path, os.O_RDWR)]
        self._appending = os.open(path, os.O_RDWR | os.O_APPEND)
        self._direct = os.open(path, os.O_RDWR | os.O_DIRECT) if direct else None
        self._buffer = mmap.mmap(-1, SIZE_MAX + _PAGE)
        self._operations: Sequence[Callable[[], str]] = [
            self.write, self.write, self.read, self.read, self.map_write, self.map_read, self.append, self.truncate,
            self.punch, self.allocate, self.sync, self.reopen, self.forget, self.check,
            *([self.direct_write, self.direct_read] if direct else []),
        ]  # fmt: skip

    def run(self, operations: int) -> None:
        """Do so many things, and close the file."""
        try:
            for _ in range(operations):
                self._done.append(self._random.choice(self._operations)())
            self.check()
        finally:
            for descriptor in (*self._handles, self._appending, self._direct):
                if descriptor is not None:
                    os.close(descriptor)
            self._buffer.close()

    @property
    def expected(self) -> bytes:
        """What is in the file."""
        return bytes(self._model)

    # -- what is done

    def write(self) -> str:
        """Write anywhere, also behind the end."""
        offset, data = self._place(), self._data()
        assert os.pwrite(self._handle(), data, offset) == len(data)
        self._put(offset, data)
        return f"write {len(data)} at {offset}"

    def read(self) -> str:
        """Read anywhere, also over the end."""
        offset, length = self._place(), self._random.randrange(1, 3 * _CHUNK)
        self._compare(os.pread(self._handle(), length, offset), offset, length, "read")
        return f"read {length} at {offset}"

    def append(self) -> str:
        """Write where the end is."""
        data = self._data()[: max(SIZE_MAX - len(self._model), 0)]
        assert os.write(self._appending, data) == len(data)
        self._put(len(self._model), data)
        return f"append {len(data)}"

    def map_write(self) -> str:
        """Change a part of a shared map; other handles see it at once."""
        if not self._model:
            return "nothing to map"
        with mmap.mmap(self._handle(), len(self._model)) as area:
            offset = self._random.randrange(len(self._model))
            data = self._data()[: len(self._model) - offset]
            area[offset : offset + len(data)] = data
            if self._random.random() < 0.3:
                area.flush()
        self._put(offset, data)
        return f"map and write {len(data)} at {offset}"

    def map_read(self) -> str:
        """Look at a part of a map."""
        if not self._model:
            return "nothing to map"
        offset, length = self._random.randrange(len(self._model)), self._random.randrange(1, 2 * _CHUNK)
        with mmap.mmap(self._handle(), len(self._model), access=mmap.ACCESS_READ) as area:
            self._compare(area[offset : offset + length], offset, length, "map and read")
        return f"map and read {length} at {offset}"

    def truncate(self) -> str:
        """Cut or extend the file."""
        size = self._place()
        os.ftruncate(self._handle(), size)
        self._resize(size)
        return f"truncate to {size}"

    def punch(self) -> str:
        """Make a hole, where there can be holes."""
        offset, length = self._place(), self._random.randrange(1, 2 * _CHUNK)
        try:
            punch(self._handle(), offset, length)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            return "no holes"
        end = min(offset + length, len(self._model))
        if offset < end:
            self._model[offset:end] = bytes(end - offset)
        return f"punch {length} at {offset}"

    def allocate(self) -> str:
        """Have room made, which extends the file with zeros."""
        offset = self._place()
        length = self._random.randrange(1, SIZE_MAX + 1 - offset) if offset < SIZE_MAX else 1
        os.posix_fallocate(self._handle(), offset, length)
        self._resize(max(len(self._model), offset + length))
        return f"allocate {length} at {offset}"

    def sync(self) -> str:
        """Have the data made durable."""
        self._random.choice([os.fsync, os.fdatasync])(self._handle())
        return "sync"

    def reopen(self) -> str:
        """Close a handle and open another."""
        which = self._random.randrange(len(self._handles))
        os.close(self._handles[which])
        self._handles[which] = os.open(self._path, os.O_RDWR)
        return f"reopen {which}"

    def forget(self) -> str:
        """Have the kernel's cache dropped, so that the next read comes from the file system."""
        os.posix_fadvise(self._handle(), 0, 0, os.POSIX_FADV_DONTNEED)
        return "forget"

    def check(self) -> str:
        """Compare everything."""
        descriptor = self._handle()
        assert os.fstat(descriptor).st_size == len(self._model), self._story("size")
        self._compare(os.pread(descriptor, SIZE_MAX + 1, 0), 0, SIZE_MAX + 1, "check")
        return "check"

    def direct_write(self) -> str:
        """Write whole pages, past the cache."""
        assert self._direct is not None
        offset, length = self._pages()
        self._buffer[:length] = data = self._random.randbytes(length)
        with memoryview(self._buffer) as view:
            assert os.pwritev(self._direct, [view[:length]], offset) == length
        self._put(offset, data)
        return f"write directly {length} at {offset}"

    def direct_read(self) -> str:
        """Read whole pages, past the cache."""
        assert self._direct is not None
        offset, length = self._pages()
        with memoryview(self._buffer) as view:
            count = os.preadv(self._direct, [view[:length]], offset)
        self._compare(self._buffer[:count], offset, length, "read directly")
        return f"read directly {length} at {offset}"

    # -- below

    def _handle(self) -> int:
        return self._random.choice(self._handles)

    def _place(self) -> int:
        """Return where something is done: somewhere, about where a chunk begins, or about where the file ends."""
        near = self._random.choice([0, self._random.randrange(0, SIZE_MAX, _CHUNK), len(self._model), None])
        if near is None:
            return self._random.randrange(SIZE_MAX)
        return min(max(near + self._random.randint(-3, 3), 0), SIZE_MAX)

    def _data(self) -> bytes:
        most = self._random.choice([5, _PAGE, _CHUNK, 3 * _CHUNK])
        return self._random.randbytes(self._random.randint(1, most))

    def _pages(self) -> tuple[int, int]:
        first = self._random.randrange(SIZE_MAX // _PAGE)
        return first * _PAGE, self._random.randint(1, SIZE_MAX // _PAGE - first) * _PAGE

    def _put(self, offset: int, data: bytes) -> None:
        self._resize(max(len(self._model), offset + len(data)))
        self._model[offset : offset + len(data)] = data

    def _resize(self, size: int) -> None:
        del self._model[size:]
        self._model.extend(bytes(size - len(self._model)))

    def _compare(self, found: bytes, offset: int, length: int, what: str) -> None:
        expected = self._model[offset : offset + length]
        if found == expected:
            return
        differs = next(
            (n for n, pair in enumerate(zip(found, expected, strict=False)) if pair[0] != pair[1]),
            min(len(found), len(expected)),
        )
        raise AssertionError(
            self._story(
                f"{what} {length} at {offset} of {len(self._model)}: {len(found)} bytes in place of {len(expected)}, "
                f"first difference at {offset + differs}"
            )
        )

    def _story(self, what: str) -> str:
        return f"{self._path.name}: {what}; before: {'; '.join(self._done)}"


def main(path: Path, seed: int, operations: int) -> int:
    """Exercise one file; 0 if all was well."""
    with suppress(FileNotFoundError):
        path.unlink()
    Exerciser(path, seed).run(operations)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
