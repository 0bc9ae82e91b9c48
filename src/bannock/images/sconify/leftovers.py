"""What an image would show of what is to be protected: copies of encrypted files, private keys, values of secrets.

All layers of the result are looked at as whoever pulls it can, so with what upper layers have taken away. Copies of
files that distributions ship are no secret, and are passed over where a container sees them.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, BinaryIO, Final

from bannock.errors import InputError
from bannock.images.digests import blocks
from bannock.images.tree import Contents

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bannock.images.model import Layer
    from bannock.images.sconify.cache import SealCache
    from bannock.images.sconify.options import Places
    from bannock.images.sconify.sealing import SealedImage
    from bannock.images.tar import Entry

__all__ = ["Leftover", "find_leftovers", "require_none", "secrets_of"]

#: Shorter contents are those of many files.
_CONTENT_MIN: Final = 16
_VALUE_MIN: Final = 6
_OVERLAP: Final = 4096
_GAP: Final = 64 << 10
_REPORTED: Final = 20
_SECRET_NAME: Final = re.compile(
    r"PASS(WORD|WD|PHRASE)?|SECRET|TOKEN|CREDENTIAL|PRIVATE|API_?KEY|ACCESS_?KEY", re.IGNORECASE
)
_KEY_MARK: Final = b" PRIVATE KEY-----"
_KEY: Final = re.compile(rb"-----BEGIN ([A-Z]{2,9} )?PRIVATE KEY-----\r?\n[A-Za-z0-9+/=:, -]{16}")
#: Trees that packages of distributions are installed to, and below them those that are not.
_OF_PACKAGES: Final = ("/usr/", "/bin/", "/sbin/", "/lib/", "/lib64/", "/var/lib/", "/var/cache/", "/etc/")
_OF_USERS: Final = ("/usr/local/", "/usr/src/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """Something that would be in clear.

    Attributes:
        path: of the file.
        layer: number of the layer, from 0.
        what: why it should not be.
        hidden: whether it is in the layer alone, and no container sees it.
    """

    path: str
    layer: int
    what: str
    hidden: bool

    def __str__(self) -> str:
        where = f"layer {self.layer + 1}, which upper layers hide" if self.hidden else f"layer {self.layer + 1}"
        return f"{self.path} ({where}): {self.what}"


def secrets_of(environment: Mapping[str, str]) -> dict[str, bytes]:
    """Return the variables that look like secrets: by their names, and by values that are no paths or addresses."""
    return {
        name: value.encode("utf-8", "surrogateescape")
        for name, value in environment.items()
        if _SECRET_NAME.search(name) and len(value) >= _VALUE_MIN and not value.startswith(("/", "http:", "https:"))
    }


def find_leftovers(
    sealed: SealedImage, places: Places, secrets: Mapping[str, bytes], cache: SealCache | None = None
) -> list[Leftover]:
    """Look for what would be in clear and should not be.

    Args:
        sealed: the layers of the result.
        places: what is in clear on purpose.
        secrets: name → value.
        cache: knows which layers were searched before; None: every layer is.

    Raises:
        IntegrityError: a layer is not what it has to be.
    """
    digests = sealed.digests()
    sizes = {file.size for layer in sealed.layers for file in layer.files.values()}
    shown = {(found.layer, found.entry.start, path) for path, found in sealed.plan.shown.items()}
    found: list[Leftover] = []
    # Without values and encrypted files to look for, what is found in a layer is the same each time.
    memory = None if sizes or secrets else cache
    for number, (made, planned) in enumerate(zip(sealed.layers, sealed.plan.layers, strict=True)):
        if memory is not None and memory.is_clear(made.layer.diff_id):
            continue
        kept = [entry for entry in made.layer.entries() if f"/{entry.path}" not in made.files and entry.kind == "file"]
        starts = {entry.path: entry.start for entry in planned.layer.entries()}
        suspicious = list(_suspicious(made.layer, kept, sizes, digests, secrets))
        if memory is not None and not suspicious:
            memory.keep_clear(made.layer.diff_id)
        for entry, what in suspicious:
            path = f"/{entry.path}"
            hidden = (number, starts.get(entry.path), path) not in shown
            if not _on_purpose(path, places) and (
                hidden or not _of_packages(path) or what.startswith("it has the value")
            ):
                found.append(Leftover(path=path, layer=number, what=what, hidden=hidden))
    return found


def require_none(found: Sequence[Leftover]) -> None:
    """Refuse what would be in clear.

    Raises:
        InputError: there is something.
    """
    if not found:
        return
    more = [f"and {len(found) - _REPORTED} more"] if len(found) > _REPORTED else []
    directory = found[0].path.rpartition("/")[0] or "/"
    raise InputError(
        f"the image would have {len(found)} files in clear that give away what is to be protected",
        reasons=[*map(str, found[:_REPORTED]), *more],
        hint=f"encrypt them, or take them out of lower layers, with --dir {directory}; "
        f"leave them in clear on purpose with --plain-file {found[0].path}, or --plain DIRECTORY",
    )


def _on_purpose(path: str, places: Places) -> bool:
    return path in places.plain_files or any(
        f"{path}/".startswith(f"{plain.rstrip('/')}/") for plain in places.plain_directories
    )


def _of_packages(path: str) -> bool:
    return path.startswith(_OF_PACKAGES) and not path.startswith(_OF_USERS)


def _suspicious(
    layer: Layer,
    entries: Sequence[Entry],
    sizes: set[int],
    digests: Mapping[bytes, str],
    secrets: Mapping[str, bytes],
) -> Iterator[tuple[Entry, str]]:
    with Contents((layer,)) as contents:
        for entry in entries:
            if entry.size >= _CONTENT_MIN and entry.size in sizes and not entry.sparse:
                path = digests.get(_digest(contents.at(0, entry), entry.size))
                if path is not None:
                    yield entry, f"it is a copy of {path}"
    yield from _with_marks(layer, entries, secrets)


def _with_marks(layer: Layer, entries: Sequence[Entry], secrets: Mapping[str, bytes]) -> Iterator[tuple[Entry, str]]:
    """Search a layer for private keys and values, once for all of its files."""
    ordered = sorted(entries, key=lambda entry: entry.data)
    begins = [entry.data for entry in ordered]
    told: set[tuple[str, str]] = set()
    for offset, what in _marks(layer, ordered, secrets):
        index = bisect_right(begins, offset) - 1
        if index < 0 or offset >= ordered[index].data + ordered[index].size:
            continue
        entry = ordered[index]
        if (entry.path, what) not in told:
            told.add((entry.path, what))
            yield entry, what


def _marks(layer: Layer, entries: Sequence[Entry], secrets: Mapping[str, bytes]) -> Iterator[tuple[int, str]]:
    """Yield where in a tar something stands that should not, and what; neighbours are read at once."""
    with layer.unpacked() as stream:
        for begin, end in _ranges(entries):
            stream.seek(begin)
            offset, before = begin, b""
            for block in blocks(stream, end - begin):
                data = before + block
                yield from _found_in(data, offset - len(before), secrets)
                offset += len(block)
                before = data[-_OVERLAP:]


def _ranges(entries: Sequence[Entry]) -> Iterator[tuple[int, int]]:
    """Yield where the contents of files are; headers between them are few, and cheaper to read than to pass over."""
    begin = end = 0
    for entry in entries:
        if entry.data - end > _GAP:
            if end > begin:
                yield begin, end
            begin = entry.data
        end = entry.data + entry.size
    if end > begin:
        yield begin, end


def _found_in(data: bytes, begin: int, secrets: Mapping[str, bytes]) -> Iterator[tuple[int, str]]:
    if _KEY_MARK in data:
        yield from ((begin + match.start(), "it has a private key") for match in _KEY.finditer(data))
    for name, value in secrets.items():
        at = data.find(value)
        while at >= 0:
            yield begin + at, f"it has the value of the variable {name}"
            at = data.find(value, at + len(value))


def _digest(stream: BinaryIO, size: int) -> bytes:
    sha = sha256()
    for block in blocks(stream, size):
        sha.update(block)
    return sha.digest()
