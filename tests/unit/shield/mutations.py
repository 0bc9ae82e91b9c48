"""What somebody can do to the storage of a volume: 10,000 random changes of 24 kinds, each followed by a look.

A change is a few paths and what stands there afterwards. It is made to a copy of the volume in memory, and put back.
"""

from __future__ import annotations

import os
import random
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from bannock.errors import IntegrityError
from bannock.shield.format.pages import PAGE_BYTES
from bannock.shield.format.records import ROOT
from bannock.shield.regions import Protection
from bannock.shield.volume import PROTECTION_FILE, Volume
from tests.unit.shield.support import KEY, Seen, deterministic, find, look, make_file, put, take, ticking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bannock.values import FspfTag
    from tests.unit.shield.support import Disk

__all__ = ["CHANGES", "KINDS", "Attacked", "Change", "Outcome", "States", "attack", "build", "mutations_section"]

_PROTECTION: Final = PROTECTION_FILE.encode()
_CHUNK: Final = 1024
_FILES: Final = 24
CHANGES: Final = 10_000
_TEXT: Final = """\
{changes:,} random changes for each protection, made to the storage of a volume of four states and 24 files, one at a
time; then the volume is opened in the state that the keeper names, and everything in it is read. Nothing is ever read
but what was written.

| column | |
|---|---|
| did not open | the volume was refused as a whole: it is not in the state that the keeper names, or not authentic |
| files named | it opened; what was hit is an error that names the file, and all the rest was read as it was written |
| harmless | every name and byte was read as it was written: what was hit is in no use, or has not become another |
"""
_SUPERBLOCKS: Final = 2 * PAGE_BYTES


class Link(NamedTuple):
    """A symbolic link, to a copy of what it stands in place of."""


class Fifo(NamedTuple):
    """A pipe."""


class Socket(NamedTuple):
    """A socket that nobody listens on."""


class Directory(NamedTuple):
    """A directory."""


#: What stands at a path; None is nothing.
Found: TypeAlias = bytes | Link | Fifo | Socket | Directory | None
Change: TypeAlias = dict[bytes, Found]


@dataclass(frozen=True)
class States:
    """A volume of several states, the newest of which is attacked, and another volume under the same key.

    Attributes:
        disks: what the storage held in each state, the newest one last.
        other: what the storage of the other volume holds.
        tag: of the newest state.
        seen: what is in it.
        ciphertext: path in the volume to path in the storage.
    """

    disks: list[Disk]
    other: Disk
    tag: FspfTag
    seen: dict[bytes, Seen]
    ciphertext: dict[bytes, bytes]

    @property
    def disk(self) -> Disk:
        """What the storage holds now."""
        return self.disks[-1]


def build(directory: Path, protection: Protection) -> States:
    """Make both volumes, which are the same ones each time."""
    other = directory / "other"
    with _create(other, b"other", protection) as volume:
        _fill(volume, random.Random(2))  # noqa: S311 # repeatable content
        volume.commit()
    choose, disks = random.Random(1), []  # noqa: S311 # repeatable content
    with _create(directory / "volume", b"mutations", protection) as volume:
        _fill(volume, choose)
        tag = volume.commit()
        disks.append(take(directory / "volume"))
        for _ in range(3):
            for number in choose.sample(range(_FILES), 6):
                ino = find(volume, _path(number))
                volume.inodes.write(ino, choose.randrange(volume.inodes.get(ino).size), choose.randbytes(1500))
            tag = volume.commit()
            disks.append(take(directory / "volume"))
        seen = look(volume)
        ciphertext = {_path(n): volume.inodes.get(find(volume, _path(n))).backing for n in range(_FILES)}
    return States(disks, take(other), tag, seen, ciphertext)


def _create(directory: Path, seed: bytes, protection: Protection) -> Volume:
    return Volume.create(directory, KEY, protection=protection, random=deterministic(seed), clock=ticking())


def _fill(volume: Volume, choose: random.Random) -> None:
    for number in range(_FILES):
        data = choose.randbytes(choose.choice([1, 700, _CHUNK, _CHUNK + 1, 5000]))
        make_file(volume, _path(number), data, chunk=_CHUNK, mode=0o600 + number % 8)
    volume.names.symlink(ROOT, b"link", b"0/0")


def _path(number: int) -> bytes:
    return b"%d/%d" % (number % 4, number)


# -- kinds of change; each takes the states and a source of choices, and returns what it does


def _some_file(states: States, choose: random.Random) -> bytes:
    """Choose a file: in one of two cases the protection file, in which nearly everything is."""
    return _PROTECTION if choose.random() < 0.5 else choose.choice(sorted(states.disk))


def _some_ciphertext(states: States, choose: random.Random) -> bytes:
    return choose.choice(sorted(states.disk.keys() - {_PROTECTION}))


def _inside(edit: Callable[[bytes, random.Random], bytes]) -> Callable[[States, random.Random], Change]:
    """Change the content of a file."""

    def change(states: States, choose: random.Random) -> Change:
        path = _some_file(states, choose)
        return {path: edit(states.disk[path], choose)}

    return change


def _flip(data: bytes, choose: random.Random) -> bytes:
    at = choose.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << choose.randrange(8)]) + data[at + 1 :]


def _cut(data: bytes, choose: random.Random) -> bytes:
    return data[: choose.randrange(len(data))]


def _extend(data: bytes, choose: random.Random) -> bytes:
    return data + choose.randbytes(choose.randrange(1, 5000))


def _insert(data: bytes, choose: random.Random) -> bytes:
    at = choose.randrange(len(data))
    return data[:at] + choose.randbytes(choose.randrange(1, 600)) + data[at:]


def _overwrite(data: bytes, choose: random.Random) -> bytes:
    at = choose.randrange(len(data))
    return data[:at] + choose.randbytes(min(choose.randrange(1, 600), len(data) - at)) + data[at + 600 :]


def _zero(data: bytes, choose: random.Random) -> bytes:
    at = choose.randrange(len(data))
    size = min(choose.choice([1, 16, 512, PAGE_BYTES]), len(data) - at)
    return data[:at] + bytes(size) + data[at + size :]


def _swap_parts(data: bytes, size: int, choose: random.Random) -> bytes:
    """Swap two parts of a file that are as large, at places where such parts begin."""
    count = len(data) // size
    if count < 2:
        return data[::-1]
    one, two = (number * size for number in choose.sample(range(count), 2))
    changed = bytearray(data)
    changed[one : one + size], changed[two : two + size] = data[two : two + size], data[one : one + size]
    return bytes(changed)


def _swap_chunks(states: States, choose: random.Random) -> Change:
    path = _some_ciphertext(states, choose)
    return {path: _swap_parts(states.disk[path], _CHUNK, choose)}


def _swap_chunks_of_files(states: States, choose: random.Random) -> Change:
    disk = states.disk
    one, two = choose.sample(sorted(disk.keys() - {_PROTECTION}), 2)
    first, second = disk[one], disk[two]
    at, to = (choose.randrange(0, len(data), _CHUNK) for data in (first, second))
    size = min(_CHUNK, len(first) - at, len(second) - to)
    return {
        one: first[:at] + second[to : to + size] + first[at + size :],
        two: second[:to] + first[at : at + size] + second[to + size :],
    }


def _swap_pages(states: States, choose: random.Random) -> Change:
    return {_PROTECTION: _swap_parts(states.disk[_PROTECTION], PAGE_BYTES, choose)}


def _swap_superblocks(states: States, _: random.Random) -> Change:
    data = states.disk[_PROTECTION]
    return {_PROTECTION: data[PAGE_BYTES:_SUPERBLOCKS] + data[:PAGE_BYTES] + data[_SUPERBLOCKS:]}


def _swap_files(states: States, choose: random.Random) -> Change:
    one, two = choose.sample(sorted(states.disk), 2)
    return {one: states.disk[two], two: states.disk[one]}


def _old(states: States, choose: random.Random) -> Disk:
    return choose.choice(states.disks[:-1])


def _put_back(states: States, choose: random.Random, path: bytes, size: int) -> Change:
    """Put a part of a file back to what it was in an older state."""
    now, old = states.disk[path], _old(states, choose).get(path, b"")
    at = choose.randrange(0, max(len(old), 1), size)
    return {path: now[:at] + old[at : at + size] + now[at + size :]}


def _old_chunk(states: States, choose: random.Random) -> Change:
    return _put_back(states, choose, _some_ciphertext(states, choose), _CHUNK)


def _old_page(states: States, choose: random.Random) -> Change:
    return _put_back(states, choose, _PROTECTION, PAGE_BYTES)


def _old_file(states: States, choose: random.Random) -> Change:
    path = _some_ciphertext(states, choose)
    return {path: _old(states, choose).get(path)}


def _old_directory(states: States, choose: random.Random) -> Change:
    above, old = b"%d/" % choose.randrange(4), _old(states, choose)
    return {path: old.get(path) for path in states.disk if path.startswith(above)}


def _old_protection(states: States, choose: random.Random) -> Change:
    return {_PROTECTION: _old(states, choose)[_PROTECTION]}


def _old_superblocks(states: States, choose: random.Random) -> Change:
    old = _old(states, choose)[_PROTECTION]
    return {_PROTECTION: old[:_SUPERBLOCKS] + states.disk[_PROTECTION][_SUPERBLOCKS:]}


def _old_volume(states: States, choose: random.Random) -> Change:
    old = _old(states, choose)
    return {path: old.get(path) for path in states.disk}


def _file_of_other(states: States, choose: random.Random) -> Change:
    path = choose.choice(sorted(states.disk.keys() & states.other.keys()))
    return {path: states.other[path]}


def _in_place(found: Found) -> Callable[[States, random.Random], Change]:
    """Put something else in the place of a file."""

    def change(states: States, choose: random.Random) -> Change:
        return {_some_ciphertext(states, choose) if choose.random() < 0.9 else _PROTECTION: found}

    return change


KINDS: Final[dict[str, Callable[[States, random.Random], Change]]] = {
    "one bit is flipped": _inside(_flip),
    "a file is cut": _inside(_cut),
    "a file is extended": _inside(_extend),
    "bytes are put into a file": _inside(_insert),
    "up to 600 bytes are written over": _inside(_overwrite),
    "a range is zeroed": _inside(_zero),
    "two chunks of a file are swapped": _swap_chunks,
    "two chunks of two files are swapped": _swap_chunks_of_files,
    "two files are swapped": _swap_files,
    "two pages of `volume.fspf` are swapped": _swap_pages,
    "the superblocks are swapped": _swap_superblocks,
    "an older chunk is put back": _old_chunk,
    "an older page is put back": _old_page,
    "both superblocks are put back": _old_superblocks,
    "an older file is put back": _old_file,
    "an older directory is put back": _old_directory,
    "an older `volume.fspf` is put back": _old_protection,
    "an older volume is put back as a whole": _old_volume,
    "a file of another volume, same key": _file_of_other,
    "a file is removed": _in_place(None),
    "a directory in place of a file": _in_place(Directory()),
    "a link to the file in its place": _in_place(Link()),
    "a pipe in place of a file": _in_place(Fifo()),
    "a socket in place of a file": _in_place(Socket()),
}


@dataclass
class Outcome:
    """What came of the changes of one kind.

    Attributes:
        refused: the volume did not open.
        named: it opened, and what could not be read any more was an error that named the file.
        harmless: all that was written was read.
    """

    refused: int = 0
    named: int = 0
    harmless: int = 0


@dataclass
class Attacked:
    """A volume in a directory to which changes are made and taken back."""

    states: States
    directory: Path
    outcomes: dict[str, Outcome] = field(default_factory=lambda: {kind: Outcome() for kind in KINDS})

    def __post_init__(self) -> None:
        put(self.states.disk, self.directory)

    def make(self, change: Change) -> None:
        """Change the storage."""
        for path, found in change.items():
            self._lay(path, found)

    def undo(self, change: Change) -> None:
        """Put back what was there."""
        for path in change:
            self._lay(path, self.states.disk[path])

    def _lay(self, path: bytes, found: Found) -> None:
        target = self.directory / os.fsdecode(path)
        if target.is_dir() and not target.is_symlink():
            target.rmdir()
        else:
            target.unlink(missing_ok=True)
        match found:
            case bytes():
                target.write_bytes(found)
            case Link():
                copy = self.directory.with_name("copy")
                copy.write_bytes(self.states.disk[path])
                target.symlink_to(copy)
            case Fifo():
                os.mkfifo(target)
            case Socket():
                with socket.socket(socket.AF_UNIX) as server:
                    server.bind(str(target))
            case Directory():
                target.mkdir()

    def look(self) -> dict[bytes, Seen | IntegrityError] | None:
        """Read everything; None if the volume does not open."""
        try:
            volume = Volume.open(self.directory, KEY, self.states.tag, writable=False)
        except IntegrityError:
            return None
        with volume:
            return _read_each(volume)


def _read_each(volume: Volume) -> dict[bytes, Seen | IntegrityError]:
    """Read every file that can be read, and return for each other one, or directory, the error."""
    return dict(_read_below(volume, ROOT, b""))


def _read_below(volume: Volume, ino: int, prefix: bytes) -> Iterator[tuple[bytes, Seen | IntegrityError]]:
    try:
        entries = list(volume.names.entries(ino))
    except IntegrityError as error:
        yield prefix, error
        return
    for entry in entries:
        path = prefix + entry.name
        try:
            inode = volume.inodes.get(entry.ino)
            content = b""
            if inode.is_file:
                content = bytes(volume.inodes.read(entry.ino, 0, inode.size + 1))
            elif not inode.is_directory:
                content = volume.names.link_target(entry.ino)
            yield path, Seen(inode.mode, inode.links, content)
        except IntegrityError as error:
            yield path, error
            continue
        if inode.is_directory:
            yield from _read_below(volume, entry.ino, path + b"/")


def attack(attacked: Attacked, count: int, seed: int, extra: Callable[[Change, set[bytes]], None]) -> None:
    """Make so many changes, all kinds in turn, and see that none gives anything but an error or what was written.

    Args:
        attacked: what is changed, and where it is counted.
        count: how many changes.
        seed: of the choices.
        extra: a look at what is there, given the change and the names that cannot be read.

    Raises:
        AssertionError: something else was read than was written, or a file cannot be read that was not changed.
    """
    choose, states = random.Random(seed), attacked.states  # noqa: S311 # repeatable choices
    for number in range(count):
        kind = list(KINDS)[number % len(KINDS)]
        change = {path: found for path, found in KINDS[kind](states, choose).items() if found != states.disk[path]}
        attacked.make(change)
        found, outcome = attacked.look(), attacked.outcomes[kind]
        if found is None:
            outcome.refused += 1
            assert _PROTECTION in change
        else:
            damaged = {path for path, one in found.items() if isinstance(one, IntegrityError)}
            for path, one in found.items():
                assert path in damaged or one == states.seen[path], f"{kind}: {path!r} is another one"
            missing = {path for path in states.seen.keys() - found.keys() if not _is_below(path, damaged)}
            assert not missing, f"{kind}: {missing} is silently not there"
            if _PROTECTION not in change:
                harmed = {path for path, name in states.ciphertext.items() if name in change}
                assert damaged <= harmed, (
                    f"{kind}: {damaged - harmed} cannot be read, though nothing of it was changed"
                )
            outcome.named += bool(damaged)
            outcome.harmless += not damaged
            extra(change, damaged)
        attacked.undo(change)
    assert attacked.look() == states.seen


def _is_below(path: bytes, damaged: set[bytes]) -> bool:
    return any(path.startswith(one.rstrip(b"/") + b"/") or one == b"" for one in damaged)


def _table(outcomes: dict[str, Outcome]) -> str:
    """Write what came of all changes as a table."""
    lines = ["| what was done | times | did not open | files named | harmless |", "|---|---|---|---|---|"]
    total = Outcome()
    for kind, one in outcomes.items():
        lines.append(_line(kind, one))
        total = Outcome(total.refused + one.refused, total.named + one.named, total.harmless + one.harmless)
    return "\n".join([*lines, _line("all", total)])


def mutations_section(directory: Path) -> str:
    """Make 10,000 changes to a volume of each protection, and write the section of the page that tells of them."""
    parts = [_TEXT.format(changes=CHANGES)]
    for seed, protection in enumerate((Protection.ENCRYPTED, Protection.AUTHENTICATED), start=1):
        attacked = Attacked(build(directory / protection, protection), directory / protection / "attacked")
        attack(attacked, CHANGES, seed, lambda _change, _damaged: None)
        parts += [f"### A volume that is {protection}\n", _table(attacked.outcomes), ""]
    return "\n".join(parts)


def _line(kind: str, one: Outcome) -> str:
    return f"| {kind} | {one.refused + one.named + one.harmless} | {one.refused} | {one.named} | {one.harmless} |"
