"""Looking at a directory tree before it is protected: whether everything in it can be kept, and how much it is."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Scan", "scan"]

_REPORTED: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What a directory tree holds.

    Attributes:
        files: how many files, directories and links.
        bytes: the size of all regular files.
    """

    files: int
    bytes: int


def scan(source: Path) -> Scan:
    """Look at a tree without reading its files.

    Raises:
        InputError: something in it cannot be kept in a volume: a device, a socket, a pipe, a name that is not UTF-8,
            a file that cannot be read. Its reasons name all of these (up to 20).
    """
    files = size = 0
    problems: list[str] = []
    for path, status in _walk(source, problems):
        files += 1
        if (problem := _unkeepable(path, status)) is not None:
            problems.append(f"{_show(path)}: {problem}")
        elif stat.S_ISREG(status.st_mode):
            size += status.st_size
    if problems:
        more = [f"and {len(problems) - _REPORTED} more"] if len(problems) > _REPORTED else []
        raise InputError(
            f"{len(problems)} of the entries below {source} cannot be protected",
            reasons=[*problems[:_REPORTED], *more],
            hint="remove or rename them, or give a directory without them; nothing was written",
        )
    return Scan(files=files, bytes=size)


def _walk(source: Path, problems: list[str]) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield everything below a directory; what cannot be listed becomes a problem."""
    waiting = [source]
    while waiting:
        directory = waiting.pop()
        try:
            with os.scandir(directory) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            problems.append(f"{_show(directory)}: {error.strerror}")
            continue
        for entry in found:
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError as error:
                problems.append(f"{_show(Path(entry.path))}: {error.strerror}")
                continue
            yield Path(entry.path), status
            if stat.S_ISDIR(status.st_mode):
                waiting.append(Path(entry.path))


def _unkeepable(path: Path, status: os.stat_result) -> str | None:
    """Say why a volume cannot keep an entry, or None."""
    try:
        path.name.encode()
    except UnicodeEncodeError:
        return "the name is not UTF-8"
    kinds = {
        stat.S_IFSOCK: "a socket",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFBLK: "a block device",
        stat.S_IFCHR: "a character device",
    }
    if (kind := kinds.get(stat.S_IFMT(status.st_mode))) is not None:
        return f"{kind} has no content to protect"
    if stat.S_ISREG(status.st_mode) and not os.access(path, os.R_OK):
        return "it cannot be read"
    return None


def _show(path: Path) -> str:
    return os.fsencode(path).decode(errors="backslashreplace")
