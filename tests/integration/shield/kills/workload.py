"""What is written while processes are killed: a row of states, each of which follows from its number alone.

The same changes are made to a volume and to a dictionary, so that who looks at the volume knows what has to be there.
"""

from __future__ import annotations

import hashlib
import random
import stat
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from bannock.shield.format.records import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.shield.volume import Volume

__all__ = ["Content", "Step", "apply_to", "apply_to_volume", "content_of", "digest", "number_of", "steps"]

#: What a volume holds: path to content.
Content: TypeAlias = dict[str, bytes]

#: The file that says which state it is.
NUMBER: Final = "number"
_CHUNK: Final = 1024
_NAMES: Final = tuple(f"{directory}{number}" for directory in ("", "a/", "a/b/") for number in range(4))
_MOST_BYTES: Final = 12_000
#: So many new files are made durable by one syncfs(2), and fewer each for itself.
_MANY: Final = 70


class Step(NamedTuple):
    """One change: ``write``, ``truncate``, ``rename``, ``unlink`` or ``mkdir``."""

    what: str
    path: str
    offset: int = 0
    data: bytes = b""
    to: str = ""


def steps(number: int, content: Content, seed: int) -> list[Step]:
    """Return the changes that make state ``number`` out of the one before it."""
    choose = random.Random(f"{seed}/{number}")  # noqa: S311 # repeatable work
    changes = [Step("mkdir", "a"), Step("mkdir", "a/b")] if number == 1 else []
    for _ in range(choose.randrange(1, 5)):
        changes.append(_change(choose, content))
        content = apply_to(content, changes[-1:])
    if number % 40 == 20:
        changes += [Step("mkdir", "many"), *(Step("write", f"many/{n}", 0, b"%d" % n) for n in range(_MANY))]
    elif number % 40 == 30:
        changes += [Step("unlink", f"many/{n}") for n in range(_MANY)] + [Step("unlink", "many")]
    return [*changes, Step("write", NUMBER, 0, b"%08d" % number)]


def _change(choose: random.Random, content: Content) -> Step:
    path, there = choose.choice(_NAMES), sorted(content.keys() & set(_NAMES))
    size = len(content.get(path, b""))
    data = choose.randbytes(choose.choice([1, 100, _CHUNK, 3 * _CHUNK + 1]))
    if not there or path not in content or choose.random() < 0.4:
        return Step("write", path, choose.randrange(min(size, _MOST_BYTES) + 1), data)
    other = choose.choice(there)
    return choose.choice([
        Step("write", path, min(size, _MOST_BYTES), data),
        Step("truncate", path, choose.randrange(size + 1)),
        Step("truncate", path, 0),
        Step("unlink", path),
        Step("rename", path, to=choose.choice(_NAMES)),
        Step("rename", path, to=other),
    ])  # fmt: skip


def apply_to(content: Content, changes: list[Step]) -> Content:
    """Return what a content becomes."""
    after = dict(content)
    for step in changes:
        old = after.get(step.path, b"")
        match step.what:
            case "write":
                end = step.offset + len(step.data)
                after[step.path] = old[: step.offset].ljust(step.offset, b"\0") + step.data + old[end:]
            case "truncate":
                after[step.path] = old[: step.offset]
            case "unlink":
                after.pop(step.path, None)
            case "rename":
                after[step.to] = after.pop(step.path)
            case _:
                pass
    return after


def apply_to_volume(volume: Volume, changes: list[Step]) -> None:
    """Make the same changes to a volume."""
    names, inodes = volume.names, volume.inodes
    for step in changes:
        parent, name = _find(volume, step.path)
        match step.what:
            case "mkdir":
                names.make(parent, name, stat.S_IFDIR | 0o755)
            case "write":
                try:
                    ino = names.lookup(parent, name)
                except FileNotFoundError:
                    ino = names.make(parent, name, stat.S_IFREG | 0o644)
                    inodes.change(ino).chunk_bytes = _CHUNK
                inodes.write(ino, step.offset, step.data)
            case "truncate":
                inodes.truncate(names.lookup(parent, name), step.offset)
            case "unlink" if inodes.get(names.lookup(parent, name)).is_directory:
                names.rmdir(parent, name)
            case "unlink":
                names.unlink(parent, name)
            case "rename":
                names.rename(parent, name, *_find(volume, step.to))


def _find(volume: Volume, path: str) -> tuple[int, bytes]:
    above, _, name = path.encode().rpartition(b"/")
    ino = ROOT
    for part in filter(None, above.split(b"/")):
        ino = volume.names.lookup(ino, part)
    return ino, name


def content_of(volume: Volume) -> Content:
    """Read all of a volume."""
    return dict(_content_below(volume, ROOT, ""))


def _content_below(volume: Volume, ino: int, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in volume.names.entries(ino):
        path = prefix + entry.name.decode()
        inode = volume.inodes.get(entry.ino)
        if inode.is_directory:
            yield from _content_below(volume, entry.ino, path + "/")
        else:
            yield path, bytes(volume.inodes.read(entry.ino, 0, inode.size))


def number_of(content: Content) -> int:
    """Return which state a content is."""
    return int(content.get(NUMBER, b"0"))


def digest(content: Content) -> str:
    """Name a content."""
    state = hashlib.sha256()
    for path in sorted(content):
        state.update(f"{path}\0{len(content[path])}\0".encode() + content[path])
    return state.hexdigest()
