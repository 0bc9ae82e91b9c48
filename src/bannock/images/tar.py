"""What is in the tar of a layer, and where in it: read strictly, so that no engine can read something else out of it.

Formats: POSIX ustar and pax, and GNU's long names and large numbers (``tar(5)`` of libarchive). What an archive needs
to mislead (steps to the parent directory, NULs in names, headers that contradict each other or do not end) is refused.
Nothing is written anywhere, so links lead nowhere. Pure but for the stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Final, Literal, NamedTuple, TypeAlias

from bannock.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BLOCK_BYTES", "Entry", "Kind", "content_size", "entries_in", "next_entry", "normal_path"]

BLOCK_BYTES: Final = 512
_NOTHING: Final = bytes(BLOCK_BYTES)
#: More than the largest images have; a bound on the memory that a layer's list takes.
_ENTRIES_MAX: Final = 2_000_000
#: PATH_MAX and NAME_MAX.
_PATH_BYTES_MAX: Final = 4096
_NAME_BYTES_MAX: Final = 255
#: Extended headers carry attributes of files (a capability, an access list), which the kernel bounds to 64 KiB each.
_EXTENSION_BYTES_MAX: Final = 1 << 20
_SIZE_MAX: Final = 1 << 50

_CHECKSUM: Final = slice(148, 156)
_WHITEOUT: Final = ".wh."
_METADATA: Final = ".wh..wh."
_OPAQUE: Final = ".wh..wh..opq"

#: ``ignored`` is metadata of a file system (aufs) that engines skip.
Kind: TypeAlias = Literal[
    "file", "hardlink", "symlink", "directory", "device", "fifo", "whiteout", "opaque", "ignored"
]
_KINDS: Final[dict[bytes, Kind]] = {
    b"0": "file",
    b"\0": "file",
    b"7": "file",
    b"1": "hardlink",
    b"2": "symlink",
    b"3": "device",
    b"4": "device",
    b"5": "directory",
    b"6": "fifo",
}
#: Files, and extended headers.
_WITH_CONTENT: Final = (b"0", b"\0", b"7", b"x", b"g", b"L", b"K")


class Entry(NamedTuple):
    """One entry of a tar.

    Attributes:
        path: without a slash at its begin or end; empty for the root. Of a whiteout, what it takes away; of an opaque
            one, the directory whose older content it takes away.
        kind: what it is.
        mode: permission bits.
        uid: owner.
        gid: group.
        size: bytes of content.
        link: what a symbolic link says; of a hard link the path of the other entry, as ``path``.
        start: where its headers begin in the tar.
        data: where its content begins.
        end: where the next entry begins.
        sparse: its content is written with holes left out, so it is not ``size`` bytes from ``data`` on.
        modified: when it was changed, in whole seconds since 1970; 0 where the header says something else.
    """

    path: str
    kind: Kind
    mode: int
    uid: int
    gid: int
    size: int
    link: str
    start: int
    data: int
    end: int
    sparse: bool
    modified: int = 0


def normal_path(text: str) -> str:
    """Return a path as entries have it: relative to the root of the image, without empty parts.

    Raises:
        IntegrityError: it leads to a parent directory, has a NUL in it, or is longer than paths are.
    """
    parts = [part for part in text.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise IntegrityError(f"the path {text[:200]!r} in a layer leads out of its directory")
    if "\0" in text:
        raise IntegrityError(f"the path {text[:200]!r} in a layer has a NUL in it")
    path = "/".join(parts)
    if len(path) > _NAME_BYTES_MAX:
        encoded = path.encode("utf-8", "surrogateescape")
        if len(encoded) > _PATH_BYTES_MAX or max(map(len, encoded.split(b"/"))) > _NAME_BYTES_MAX:
            raise IntegrityError(f"the path {text[:80]!r}… in a layer is longer than paths are")
    return path


def entries_in(stream: BinaryIO) -> Iterator[Entry]:
    """List the entries of a plain tar.

    Args:
        stream: seekable, at its begin.

    Raises:
        IntegrityError: it is not a tar, it is cut, or it is made to mislead.
    """
    size = stream.seek(0, 2)
    position, count = 0, 0
    stream.seek(0)
    while entry := next_entry(stream, position, size):
        count += 1
        if count > _ENTRIES_MAX:
            raise IntegrityError(f"a layer has more than {_ENTRIES_MAX} entries")
        yield entry
        position = entry.end
        stream.seek(position)


def content_size(header: bytes) -> int:
    """Return how many bytes follow a header, which may be an extended one; an end has none.

    Raises:
        IntegrityError: it is no header.
    """
    if header == _NOTHING:
        return 0
    _require_checksum(header)
    return _number(header, 124, 136) if header[156:157] in _WITH_CONTENT else 0


def next_entry(stream: BinaryIO, start: int, size: int) -> Entry | None:
    """Read the headers of one entry; None at the end.

    Args:
        stream: at the begin of the entry, and afterwards at the begin of its content; gives all that is asked for.
        start: where in the tar that is.
        size: of the tar.

    Raises:
        IntegrityError: as :func:`entries_in`.
    """
    position = start
    extended: dict[str, str] = {}
    seen: set[bytes] = set()
    while True:
        header = stream.read(BLOCK_BYTES)
        if not header or header == _NOTHING:
            if seen:
                raise IntegrityError("a layer ends in the middle of an entry")
            _require_end(stream, header)
            return None
        if len(header) < BLOCK_BYTES:
            raise IntegrityError("a layer is cut short in a header")
        _require_checksum(header)
        kind, position = header[156:157], position + BLOCK_BYTES
        if kind not in b"xgLK" or not kind:
            return _entry(header, extended, start, position, size)
        if kind in seen:
            raise IntegrityError("a layer has two extended headers of one kind for one entry")
        seen.add(kind)
        length = _number(header, 124, 136)
        if length > _EXTENSION_BYTES_MAX:
            raise IntegrityError(f"a layer has an extended header of {length} bytes, more than {_EXTENSION_BYTES_MAX}")
        content = stream.read(_padded(length))
        if len(content) < _padded(length):
            raise IntegrityError("a layer is cut short in an extended header")
        position += len(content)
        _extend(extended, kind, content[:length])


def _extend(extended: dict[str, str], kind: bytes, content: bytes) -> None:
    """Take what an extended header says into account."""
    if kind in b"LK":
        name = "path" if kind == b"L" else "linkpath"
        text = content.partition(b"\0")[0].decode("utf-8", "surrogateescape")
        # GNU's names, and pax's for the same entry, could be two different ones.
        if extended.setdefault(name, text) != text:
            raise IntegrityError(f"a layer has two names for one entry, one of them {text[:200]!r}")
        return
    for name, value in _records(content):
        if kind == b"g":
            if name not in {"comment", "mtime", "atime", "ctime"}:
                raise IntegrityError(f"a layer has a header for all entries that sets {name[:40]!r}")
        elif extended.get(name, value) != value:
            raise IntegrityError(f"a layer has two values of {name[:40]!r} for one entry")
        else:
            extended[name] = value


def _records(content: bytes) -> Iterator[tuple[str, str]]:
    """Read the records of a pax header: ``LENGTH NAME=VALUE``, and the end of a line."""
    rest = content
    while rest:
        digits, blank, _ = rest[:8].partition(b" ")
        length = int(digits) if blank and digits.isdigit() else 0
        record = rest[:length]
        name, equals, value = record[len(digits) + 1 : -1].partition(b"=")
        if len(record) < length or not record.endswith(b"\n") or not equals or not name:
            raise IntegrityError("a layer has an extended header that is malformed")
        yield name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape")
        rest = rest[length:]


def _entry(header: bytes, extended: dict[str, str], start: int, data: int, size: int) -> Entry:
    """Make an entry of its header and of what extends it."""
    flag = header[156:157]
    name = extended.get("path") or _name(header)
    kind: Kind | None = _KINDS.get(flag)
    if kind is None:
        # Among them is GNU's old form of sparse files ("S"), which no builder of images writes.
        raise IntegrityError(f"the entry {name[:200]!r} of a layer is of the kind {flag!r}, which is not taken")
    if flag in {b"0", b"\0", b"7"} and name.endswith("/"):
        # Archives older than ustar mark directories so, and some engines still read them so.
        raise IntegrityError(f"the entry {name[:200]!r} of a layer is a file with a directory's name")
    length = _decimal(extended, "size", _number(header, 124, 136)) if kind == "file" else 0
    sparse = any(key.startswith("GNU.sparse.") for key in extended)
    end = data + _padded(length)
    if end > size:
        raise IntegrityError(f"the file {name[:200]!r} of a layer is cut short")
    path = normal_path(extended.get("GNU.sparse.name") or name)
    link = extended.get("linkpath") or _text(header, 157, 257) if kind in {"hardlink", "symlink"} else ""
    if kind == "hardlink":
        link = normal_path(link)
    if "\0" in link or (kind != "directory" and not path) or (kind == "symlink" and not link):
        raise IntegrityError(f"the entry {name[:200]!r} of a layer is no {kind} that can be")
    kind, path = _whiteout(kind, path)
    return Entry(
        path=path,
        kind=kind,
        mode=_number(header, 100, 108) & 0o7777,
        uid=_decimal(extended, "uid", _number(header, 108, 116)),
        gid=_decimal(extended, "gid", _number(header, 116, 124)),
        size=length,
        link=link,
        start=start,
        data=data,
        end=end,
        sparse=sparse,
        modified=_seconds(header),
    )


def _whiteout(kind: Kind, path: str) -> tuple[Kind, str]:
    """Tell what takes something away from lower layers by its name (OCI image specification, ``layer.md``)."""
    if _WHITEOUT not in path:
        return kind, path
    parent, _, name = path.rpartition("/")
    if any(part.startswith(_METADATA) for part in parent.split("/")):
        return "ignored", path
    if not name.startswith(_WHITEOUT):
        return kind, path
    if name == _OPAQUE:
        return "opaque", parent
    if name.startswith(_METADATA):
        return "ignored", path
    taken = name.removeprefix(_WHITEOUT)
    if taken in {"", ".", ".."}:
        raise IntegrityError(f"the entry {path[:200]!r} of a layer would take away its own directory, or one above")
    return "whiteout", f"{parent}/{taken}" if parent else taken


def _name(header: bytes) -> str:
    name = _text(header, 0, 100)
    if header[257:263] == b"ustar\0":
        # Jörg Schilling's star has a shorter prefix, and says so at the end of the header.
        prefix = _text(header, 345, 476 if header[508:512] == b"tar\0" else 500)
        return f"{prefix}/{name}" if prefix else name
    return name


def _text(header: bytes, start: int, end: int) -> str:
    return header[start:end].partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _number(header: bytes, start: int, end: int) -> int:
    """Read a number: octal digits, or base 256 where the first bit says so (GNU)."""
    field = header[start:end]
    if field[0] & 0x80:
        value = int.from_bytes(field, "big", signed=False) & ((1 << (8 * len(field) - 1)) - 1)
        if field[0] & 0x40 or value > _SIZE_MAX:
            raise IntegrityError("a layer has a number in a header that is out of bounds")
        return value
    digits = field.strip(b" \0")
    if not digits:
        return 0
    if digits.translate(None, b"01234567"):
        raise IntegrityError("a layer has a header with something other than a number in it")
    return int(digits, 8)


def _seconds(header: bytes) -> int:
    digits = header[136:148].strip(b" \0")
    return int(digits, 8) if digits and not digits.translate(None, b"01234567") else 0


def _decimal(extended: dict[str, str], name: str, default: int) -> int:
    text = extended.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(_SIZE_MAX)) and int(text) <= _SIZE_MAX):
        raise IntegrityError(f"a layer has {text[:40]!r} for the {name} of an entry")
    return int(text)


def _padded(length: int) -> int:
    return (length + BLOCK_BYTES - 1) // BLOCK_BYTES * BLOCK_BYTES


def _require_checksum(header: bytes) -> None:
    found = _number(header, 148, 156)
    # Eight blanks stand for the sum while it is made.
    if found != sum(header) - sum(header[_CHECKSUM]) + 8 * 0x20:
        raise IntegrityError("a layer is not a tar archive, or a header of it is damaged")


def _require_end(stream: BinaryIO, header: bytes) -> None:
    """Refuse entries behind an end that not every reader takes for one."""
    if header and stream.read(BLOCK_BYTES).strip(b"\0"):
        raise IntegrityError("a layer has something behind its end")
