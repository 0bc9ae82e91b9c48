"""Processes that all change one directory or one file at once: ``python -m tests.integration.shield.storm``."""

from __future__ import annotations

import errno
import mmap
import os
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CHUNK", "main"]

CHUNK: Final = 64 << 10
_CHUNKS: Final = 6
_NAMES: Final = 12
#: What may happen to one when others take names away, or put them there.
_EXPECTED: Final = {
    errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.EISDIR, errno.ENOTDIR, errno.EINVAL, errno.EPERM, errno.EXDEV,
}  # fmt: skip


def names(top: Path, seed: int, count: int) -> None:
    """Make, move, link and remove files and directories under a few names; the others do the same."""
    generator = random.Random(seed)  # noqa: S311 # repeatable as far as it goes

    def path() -> Path:
        depth = generator.choice([1, 1, 2, 3])
        return top.joinpath(*(f"{generator.randrange(_NAMES)}" for _ in range(depth)))

    actions: list[Callable[[], object]] = [
        lambda: path().mkdir(),
        lambda: path().write_bytes(generator.randbytes(generator.choice([0, 100, 2 * CHUNK]))),
        lambda: path().rename(path()),
        lambda: path().replace(path()),
        lambda: path().hardlink_to(path()),
        lambda: path().symlink_to("0"),
        lambda: path().unlink(),
        lambda: path().rmdir(),
        lambda: list(path().iterdir()),
        lambda: path().read_bytes(),
        lambda: _sync(path()),
    ]
    for _ in range(count):
        try:
            generator.choice(actions)()
        except OSError as error:
            if error.errno not in _EXPECTED | {errno.ELOOP}:
                raise


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(path: Path, seed: int, count: int) -> None:
    """Write whole chunks of one letter past the cache, and sync now and then; or cut them off."""
    generator = random.Random(seed)  # noqa: S311 # repeatable as far as it goes
    descriptor = os.open(path, os.O_RDWR | os.O_DIRECT)
    with mmap.mmap(-1, CHUNK) as buffer:
        for _ in range(count):
            what = generator.random()
            if what < 0.8:
                buffer[:] = bytes([generator.randrange(65, 91)]) * CHUNK
                assert os.pwritev(descriptor, [buffer], CHUNK * generator.randrange(_CHUNKS)) == CHUNK
            elif what < 0.95:
                os.fsync(descriptor)
            else:
                os.ftruncate(descriptor, CHUNK * generator.randrange(_CHUNKS + 1))
    os.close(descriptor)


def read(path: Path, seed: int, count: int) -> None:
    """Read whole chunks past the cache: each is of one letter, or zeros, or behind the end."""
    generator = random.Random(seed)  # noqa: S311 # repeatable as far as it goes
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
    with mmap.mmap(-1, CHUNK) as buffer:
        for _ in range(count):
            length = os.preadv(descriptor, [buffer], CHUNK * generator.randrange(_CHUNKS))
            assert length in {0, CHUNK}, length
            assert len(set(buffer[:length])) <= 1, "a chunk is half of one write and half of another"
    os.close(descriptor)


def main(what: str, path: str, seed: int, count: int) -> int:
    """Do one of these so many times."""
    {"names": names, "write": write, "read": read}[what](Path(path), seed, count)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
