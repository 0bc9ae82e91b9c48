"""A directory as one stream of bytes and back: GNU tar, of directories and regular files, in one canonical form.

The stream comes from services and hosts that are not trusted. So the reader accepts exactly what the writer writes:
each header is rebuilt from what was read of it and compared, and any other archive is refused. Memory is bounded;
nothing is written outside of the target, for the target is new and nothing in an archive can make a link.
"""

from __future__ import annotations

import os
import stat
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from bannock.errors import EnvironmentFault, InputError, IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Archive", "Limits", "Readable", "unpack"]

_BLOCK: Final = 512
_END: Final = bytes(2 * _BLOCK)
_CHUNK_BYTES: Final = 1 << 20
_NAME_FIELD: Final = slice(0, 100)
_SIZE_FIELD: Final = slice(124, 136)
_TYPE_FIELD: Final = 156
#: PATH_MAX (limits.h).
_NAME_BYTES_MAX: Final = 4096
#: Deeper than real trees; keeps a hostile stream from building one that no tool removes.
_DEPTH_MAX: Final = 256


class Readable(Protocol):
    """Where an archive is read from."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, none at the end."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an archive from outside may hold.

    Attributes:
        entries: files and directories; a volume has one file for every file in it.
        bytes: the content of all files; more than one machine works on in one run.
    """

    entries: int = 8_000_000
    bytes: int = 1 << 40


_DEFAULT_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    name: str
    size: int
    is_directory: bool

    def header(self) -> bytes:
        info = tarfile.TarInfo(self.name)
        info.size, info.mode = self.size, 0o700 if self.is_directory else 0o600
        info.type = tarfile.DIRTYPE if self.is_directory else tarfile.REGTYPE
        # With a long name this is more than one block: the name comes in front, as the content of an entry "L".
        return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")

    @property
    def padding(self) -> int:
        return -self.size % _BLOCK


class Archive:
    """The stream of a directory; iterate over it once or more often.

    Args:
        source: a directory of regular files and directories, which does not change meanwhile.

    Attributes:
        size: of the whole stream, in bytes.

    Raises:
        InputError: there is something else in it, or a name that the format does not take.
    """

    def __init__(self, source: Path) -> None:
        self._source = source
        try:
            self._entries = list(_entries(source))
        except OSError as error:
            raise InputError(f"cannot send {error.filename or source}: {error.strerror}") from error
        self.size: Final = len(_END) + sum(len(entry.header()) + entry.size + entry.padding for entry in self._entries)

    def __iter__(self) -> Iterator[bytes]:
        for entry in self._entries:
            yield entry.header()
            if not entry.is_directory:
                yield from self._content(entry)
                yield bytes(entry.padding)
        yield _END

    def _content(self, entry: _Entry) -> Iterator[bytes]:
        left = entry.size
        with (self._source / entry.name).open("rb", buffering=0) as file:
            while left:
                data = file.read(min(left, _CHUNK_BYTES))
                if not data:
                    raise InputError(f"{self._source / entry.name} became shorter while it was sent")
                left -= len(data)
                yield data


def _entries(source: Path) -> Iterator[_Entry]:
    """Yield what is in a directory, a directory before what is in it, and in order."""
    waiting = [_children(source, "")]
    while waiting:
        child = next(waiting[-1], None)
        if child is None:
            waiting.pop()
            continue
        entry = _entry(*child)
        yield entry
        if entry.is_directory:
            waiting.append(_children(source / entry.name, f"{entry.name}/"))


def _children(directory: Path, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(directory) as found:
        children = sorted(found, key=lambda child: child.name)
    return ((prefix + child.name, child.stat(follow_symlinks=False)) for child in children)


def _entry(name: str, status: os.stat_result) -> _Entry:
    is_directory = stat.S_ISDIR(status.st_mode)
    if not is_directory and not stat.S_ISREG(status.st_mode):
        raise InputError(f"{name!r} cannot be sent: it is neither a file nor a directory")
    if len(os.fsencode(name)) >= _NAME_BYTES_MAX or name.count("/") >= _DEPTH_MAX:
        raise InputError(f"{name[:80]!r}… cannot be sent: its path is too long, or deeper than {_DEPTH_MAX}")
    return _Entry(name=name, size=0 if is_directory else status.st_size, is_directory=is_directory)


def unpack(stream: Readable, target: Path, *, limits: Limits = _DEFAULT_LIMITS) -> None:
    """Write an archive into a new directory.

    Args:
        stream: of the archive; it is read to its end.
        target: a path at which nothing exists; its directory belongs to the caller alone.
        limits: what the archive may hold.

    Raises:
        IntegrityError: the stream is not an archive that :class:`Archive` writes, is cut, or is over a limit. What
            was written until then stays for the caller to remove.
        EnvironmentFault: the disk does not take it.
    """
    try:
        target.mkdir(mode=0o700)
        _Unpacker(stream, target, limits).run()
    except OSError as error:
        raise EnvironmentFault(f"cannot unpack into {target}: {error.strerror or error}") from error


class _Unpacker:
    def __init__(self, stream: Readable, target: Path, limits: Limits) -> None:
        self._stream = stream
        self._target = target
        self._limits = limits
        self._directories = {""}
        self._last: tuple[str, ...] = ()
        self._entries = 0
        self._bytes = 0

    def run(self) -> None:
        while (header := self._exactly(_BLOCK)) != bytes(_BLOCK):
            entry = self._parse(header)
            self._check(entry)
            if entry.is_directory:
                self._directories.add(entry.name)
                (self._target / entry.name).mkdir(mode=0o700)
            else:
                self._write(entry)
        if self._exactly(_BLOCK) != bytes(_BLOCK) or self._stream.read(1):
            raise IntegrityError("the archive does not end where it says")

    def _check(self, entry: _Entry) -> None:
        """Refuse what the writer never writes: bad names, no parent, another order, an entry twice, too much."""
        parts = tuple(entry.name.split("/"))
        parent = entry.name.rpartition("/")[0]
        if not all(parts) or {".", ".."} & set(parts) or len(parts) > _DEPTH_MAX:
            raise IntegrityError(f"the archive has an entry that leads elsewhere: {entry.name!r}")
        if parent not in self._directories or parts <= self._last:
            raise IntegrityError(f"the archive has an entry where none belongs: {entry.name!r}")
        self._last = parts
        self._entries += 1
        self._bytes += entry.size
        if self._entries > self._limits.entries or self._bytes > self._limits.bytes:
            raise IntegrityError(
                f"the archive has more than {self._limits.entries} entries or {self._limits.bytes} bytes"
            )

    def _write(self, entry: _Entry) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(self._target / entry.name, flags, 0o600), "wb", buffering=0) as file:
            left = entry.size
            while left:
                data = self._stream.read(min(left, _CHUNK_BYTES))
                if not data:
                    raise IntegrityError(f"the archive is cut in the middle of {entry.name!r}")
                view = memoryview(data)
                while view:
                    view = view[file.write(view) or 0 :]
                left -= len(data)
        if any(self._exactly(entry.padding)):
            raise IntegrityError(f"the archive has bytes behind {entry.name!r} that belong to nothing")

    def _parse(self, header: bytes) -> _Entry:
        """Read the rest of an entry's header, and refuse any that would be written otherwise."""
        read, name = header, header[_NAME_FIELD]
        try:
            if header[_TYPE_FIELD : _TYPE_FIELD + 1] == tarfile.GNUTYPE_LONGNAME:
                length = _number(header[_SIZE_FIELD])
                if not 0 < length <= _NAME_BYTES_MAX + 1:
                    raise _unusual()
                name = self._exactly(length + -length % _BLOCK)
                header = self._exactly(_BLOCK)
                read += name + header
            is_directory = header[_TYPE_FIELD : _TYPE_FIELD + 1] == tarfile.DIRTYPE
            text = name.rstrip(b"\0").decode("utf-8", "surrogateescape")
            entry = _Entry(
                name=text.removesuffix("/") if is_directory else text,
                size=_number(header[_SIZE_FIELD]),
                is_directory=is_directory,
            )
            canonical = entry.header() == read and not (is_directory and entry.size)
        except ValueError:
            canonical = False
        if not canonical:
            raise _unusual()
        return entry

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._stream.read(size - len(data))
            if not more:
                raise IntegrityError("the archive is cut")
            data += more
        return data


def _unusual() -> IntegrityError:
    return IntegrityError("the archive has an entry that is not in the form that is written here")


def _number(field: bytes) -> int:
    """Read a size: octal digits, or from 8 GiB on a binary number behind the byte 0x80 (GNU)."""
    if field[0] == 0x80:  # noqa: PLR2004 # the mark of the format
        return int.from_bytes(field[1:], "big")
    return int(field.rstrip(b"\0 "), 8)
