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
from typing import TYPE_CHECKING, Final

from bannock.errors import EnvironmentFault, InputError, IntegrityError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bannock.execution.transfer.interface import Readable

__all__ = ["END", "Archive", "ArchiveReader", "ArchiveWriter", "Entry", "Limits", "unpack"]

_BLOCK: Final = 512
#: What an archive ends with.
END: Final = bytes(2 * _BLOCK)
_CHUNK_BYTES: Final = 1 << 20
_NAME_FIELD: Final = slice(0, 100)
_SIZE_FIELD: Final = slice(124, 136)
_TYPE_FIELD: Final = 156
#: PATH_MAX (limits.h).
_NAME_BYTES_MAX: Final = 4096
#: Deeper than real trees; keeps a hostile stream from building one that no tool removes.
_DEPTH_MAX: Final = 256


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
class Entry:
    """What comes before the content of a file, or a directory.

    Attributes:
        name: relative to the topmost directory.
        size: of the content, which follows; 0 for a directory.
        is_directory: which of both it is.
    """

    name: str
    size: int
    is_directory: bool

    def header(self) -> bytes:
        """Return what stands before the content."""
        info = tarfile.TarInfo(self.name)
        info.size, info.mode = self.size, 0o700 if self.is_directory else 0o600
        info.type = tarfile.DIRTYPE if self.is_directory else tarfile.REGTYPE
        # With a long name this is more than one block: the name comes in front, as the content of an entry "L".
        return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")

    @property
    def padding(self) -> int:
        """How many zeros follow the content."""
        return -self.size % _BLOCK


class Archive:
    """The stream of a directory; iterate over it once or more often.

    Args:
        source: a directory of regular files and directories, which does not change meanwhile.
        first: a file in it that comes before all others, so that a reader knows what to expect of them.

    Attributes:
        size: of the whole stream, in bytes.

    Raises:
        InputError: there is something else in it, or a name that the format does not take.
    """

    def __init__(self, source: Path, *, first: str = "") -> None:
        self._source = source
        self._first = first
        self.size: Final = len(END) + sum(
            len(entry.header()) + entry.size + entry.padding for entry in self._entries()
        )

    def __iter__(self) -> Iterator[bytes]:
        for entry in self._entries():
            yield entry.header()
            if not entry.is_directory:
                yield from self._content(entry)
                yield bytes(entry.padding)
        yield END

    def _entries(self) -> Iterator[Entry]:
        # Found anew each time, since a list of millions would take more memory than all else.
        try:
            if self._first:
                yield _entry(self._first, (self._source / self._first).lstat())
            yield from (entry for entry in _entries(self._source) if entry.name != self._first)
        except OSError as error:
            raise InputError(f"cannot send {error.filename or self._source}: {error.strerror}") from error

    def _content(self, entry: Entry) -> Iterator[bytes]:
        left = entry.size
        with (self._source / entry.name).open("rb", buffering=0) as file:
            while left:
                data = file.read(min(left, _CHUNK_BYTES))
                if not data:
                    raise InputError(f"{self._source / entry.name} became shorter while it was sent")
                left -= len(data)
                yield data


def _entries(source: Path) -> Iterator[Entry]:
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


def _entry(name: str, status: os.stat_result) -> Entry:
    is_directory = stat.S_ISDIR(status.st_mode)
    if not is_directory and not stat.S_ISREG(status.st_mode):
        raise InputError(f"{name!r} cannot be sent: it is neither a file nor a directory")
    if len(os.fsencode(name)) >= _NAME_BYTES_MAX or name.count("/") >= _DEPTH_MAX:
        raise InputError(f"{name[:80]!r}… cannot be sent: its path is too long, or deeper than {_DEPTH_MAX}")
    return Entry(name=name, size=0 if is_directory else status.st_size, is_directory=is_directory)


class ArchiveWriter:
    """An archive that is put together by whoever makes its content.

    Args:
        write: takes its bytes.
    """

    def __init__(self, write: Callable[[bytes | memoryview], None]) -> None:
        self._write = write
        self._left = self._padding = 0

    def begin(self, entry: Entry) -> None:
        """Begin a file, or put a directory; the content of the file before has to be there."""
        self._fill()
        self._write(entry.header())
        self._left, self._padding = entry.size, entry.padding

    def content(self, data: bytes | memoryview) -> None:
        """Put the next bytes of the file."""
        self._left -= len(data)
        self._write(data)

    def end(self) -> None:
        """End the archive."""
        self._fill()
        self._write(END)

    def _fill(self) -> None:
        if self._left:
            raise InputError("a file was changed while it was sent", hint="try again when nobody writes to it")
        if self._padding:
            self._write(bytes(self._padding))


class ArchiveReader:
    """The entries of an archive that comes from outside, one after the other.

    Args:
        stream: of the archive; read to its end.
        position: where in the archive the stream begins, at the begin of an entry or in the content of one.
        entry: in whose content that is.
        left: how much of that is still to come.

    Attributes:
        position: how much of the archive was read.
        left: how much of the content of the entry is still to come.
    """

    def __init__(self, stream: Readable, *, position: int = 0, entry: Entry | None = None, left: int = 0) -> None:
        self._stream = stream
        self._entry = entry
        self.position = position
        self.left = left

    def next(self) -> Entry | None:
        """Return the next entry, or None at the end; the content of the one before has to be read.

        Raises:
            IntegrityError: this is not an archive that is written here, or it is cut.
        """
        if self._entry is not None and any(self._exactly(self._entry.padding)):
            raise IntegrityError(f"the archive has bytes behind {self._entry.name!r} that belong to nothing")
        header = self._exactly(_BLOCK)
        if header == bytes(_BLOCK):
            if self._exactly(_BLOCK) != header or self._stream.read(1):
                raise IntegrityError("the archive does not end where it says")
            return None
        self._entry = entry = self._parse(header)
        parts = entry.name.split("/")
        if not all(parts) or {".", ".."} & set(parts) or len(parts) > _DEPTH_MAX or "\0" in entry.name:
            raise IntegrityError(f"the archive has an entry that leads elsewhere: {entry.name!r}")
        self.left = entry.size
        return entry

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes of the content of the entry, none at its end.

        Raises:
            IntegrityError: the archive is cut.
        """
        size = min(size, self.left)
        data = self._stream.read(size) if size else b""
        if size and not data:
            name = self._entry.name if self._entry is not None else ""
            raise IntegrityError(f"the archive is cut in the middle of {name!r}")
        self.left -= len(data)
        self.position += len(data)
        return data

    def _parse(self, header: bytes) -> Entry:
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
            entry = Entry(
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
        self.position += size
        return data


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
    reader = ArchiveReader(stream)
    entries = size = 0
    try:
        target.mkdir(mode=0o700)
        while (entry := reader.next()) is not None:
            entries, size = entries + 1, size + entry.size
            if entries > limits.entries or size > limits.bytes:
                raise IntegrityError(f"the archive has more than {limits.entries} entries or {limits.bytes} bytes")
            _place(reader, entry, target)
    except OSError as error:
        raise EnvironmentFault(f"cannot unpack into {target}: {error.strerror or error}") from error


def _place(reader: ArchiveReader, entry: Entry, target: Path) -> None:
    """Make a file or a directory where there is none yet, in a directory that was made before."""
    path = target / entry.name
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        if entry.is_directory:
            path.mkdir(mode=0o700)
            return
        descriptor = os.open(path, flags, 0o600)
    except (FileExistsError, FileNotFoundError, NotADirectoryError) as error:
        raise IntegrityError(f"the archive has an entry where none belongs: {entry.name!r}") from error
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        while data := reader.read(_CHUNK_BYTES):
            view = memoryview(data)
            while view:
                view = view[file.write(view) or 0 :]


def _unusual() -> IntegrityError:
    return IntegrityError("the archive has an entry that is not in the form that is written here")


def _number(field: bytes) -> int:
    """Read a size: octal digits, or from 8 GiB on a binary number behind the byte 0x80 (GNU)."""
    if field[0] == 0x80:  # noqa: PLR2004 # the mark of the format
        return int.from_bytes(field[1:], "big")
    return int(field.rstrip(b"\0 "), 8)
