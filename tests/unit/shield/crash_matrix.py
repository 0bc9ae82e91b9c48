"""The crash matrix: power is cut at every system call of a commit, and what is there afterwards is told in a table."""

from __future__ import annotations

import os
import random
import re
import shutil
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from bannock.errors import InputError, IntegrityError, RollbackError
from bannock.shield.format.pages import PAGE_BYTES
from bannock.shield.protection import present
from tests.unit.shield.layouts import AUTHENTICATED, ENCRYPTED, REGIONS
from tests.unit.shield.power import Call, Disk, Held, halves, lay, recording
from tests.unit.shield.support import Keeper, find, make_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bannock.values import FspfTag
    from tests.unit.shield.layouts import Layout, Opened
    from tests.unit.shield.power import Recorder
    from tests.unit.shield.support import Seen

__all__ = ["KINDS", "Kind", "Matrix", "Row", "crash_section", "examine"]

#: Disks on which a random part of what was not synced is there, for each system call.
_RANDOM_DISKS: Final = 4
_FILES_AT_ONCE: Final = 70
_NONE: Final = "-"
_END: Final = "after the last call"
_OTHERS: Final = (_NONE, "not there", "in part", "whole")
_COLUMNS: Final = """\
| system call | on | disks | keeper names | found | the other state | left over |
|---|---|---|---|---|---|---|"""
_TEXT: Final = """\
A commit is a row of system calls. The power is cut at each of them: the call was not made, or it was made, or, if it
is a write, one half of it reached the disk. Of what was done before and not synced, everything is there, or nothing,
or some random part, writes torn into sectors of 512 bytes. The disk that is played keeps no more than POSIX promises:
what was written is certain when its file was synced; that a name was made or removed, when the directory was.

Then a service starts again. It gets the tag from the keeper, opens the volume in that state, reads every byte and
compares it, goes on to write and to commit, and reads that as well.

| column | |
|---|---|
| system call | what was going on when the power was cut; several calls alike are one row |
| on | the file; `volume.fspf` has pages, and two superblocks, each of which makes the pages below it a state |
| disks | how many different disks these cuts left behind; each was looked at |
| keeper names | the state in force when the service asks: the one before the commit (old), or after it (new) |
| found | the state that the service found, whole |
| the other state | what there is on the disk of the state that is not in force; refused once the service went on |
| left over | files of ciphertext that nothing refers to; they take space and do no harm |

A cut at the *request* means that the keeper never got it, one at the *answer* that it has moved and nobody knows.

**{disks} disks, after cuts at {calls} system calls: on each exactly one state is accepted, and it is whole.**
"""


def _new_file(opened: Opened) -> None:
    make_file(opened.volume, b"a/new/file", b"new" * 500)


def _overwrite(opened: Opened) -> None:
    opened.volume.inodes.write(find(opened.volume, b"a/file"), 100, b"other" * 300)


def _append(opened: Opened) -> None:
    ino = find(opened.volume, b"a/file")
    opened.volume.inodes.write(ino, opened.volume.inodes.get(ino).size, b"appended" * 100)


def _truncate(opened: Opened) -> None:
    volume = opened.volume
    volume.inodes.truncate(find(volume, b"a/other"), 700)
    volume.inodes.truncate(find(volume, b"a/file"), 0)
    volume.inodes.write(find(volume, b"a/file"), 0, b"after it was emptied" * 40)


def _rename_over(opened: Opened) -> None:
    volume = opened.volume
    make_file(volume, b"a/.file.new", b"renamed" * 200)
    above = find(volume, b"a")
    volume.names.rename(above, b".file.new", above, b"file")


def _remove(opened: Opened) -> None:
    volume = opened.volume
    volume.names.unlink(find(volume, b"a"), b"file")
    volume.names.unlink(find(volume, b"b"), b"alone")
    volume.names.rmdir(volume.root, b"b")


def _many(opened: Opened) -> None:
    for number in range(_FILES_AT_ONCE):
        make_file(opened.volume, b"many/%d" % number, b"%d" % number * 40)


def _again(opened: Opened) -> None:
    volume = opened.volume
    make_file(volume, b"b/alone", b"made again" * 60)
    volume.names.rename(find(volume, b"a"), b"other", volume.root, b"moved")


def _several(opened: Opened) -> None:
    _new_file(opened)
    _overwrite(opened)
    volume = opened.volume
    volume.names.unlink(find(volume, b"b"), b"alone")


def _each_region(opened: Opened) -> None:
    for volume in opened.volumes.values():
        make_file(volume, b"a/new/file", b"new" * 500)
        volume.inodes.write(find(volume, b"a/file"), 100, b"other" * 100)
        volume.names.unlink(find(volume, b"b"), b"alone")


class Kind(NamedTuple):
    """A kind of commit.

    Attributes:
        title: for the page.
        work: what changes before the commit.
        layout: what it is made on.
        before: what was changed and committed directly before it.
        killed: what somebody did who was then killed, before this service was started.
        kept: whether there is a keeper; else a service opens the newest state that is authentic.
    """

    title: str
    work: Callable[[Opened], None]
    layout: Layout = ENCRYPTED
    before: Callable[[Opened], None] | None = None
    killed: Callable[[Opened], None] | None = None
    kept: bool = True


KINDS: Final = {
    "first": Kind("The first commit of a new volume", _new_file),
    "new-file": Kind("A new file in a new directory", _new_file),
    "overwrite": Kind("Part of a file is overwritten", _overwrite),
    "append": Kind("A file is appended to", _append),
    "truncate": Kind("A file is cut, another one emptied and written anew", _truncate),
    "rename-over": Kind("A file is written beside another one and renamed over it", _rename_over),
    "remove": Kind("A file, and a directory with the file in it, are removed", _remove),
    "many": Kind(f"{_FILES_AT_ONCE} small files, made durable by one syncfs(2)", _many),
    "again": Kind("A commit right after one that removed files, whose removal was not synced", _again, before=_remove),
    "resumed": Kind("A new file where a process was killed that was making one too", _new_file, killed=_new_file),
    "authenticated": Kind("Several changes of a volume that is authenticated only", _several, layout=AUTHENTICATED),
    "regions": Kind("Changes in two regions of one protection file", _each_region, layout=REGIONS),
    "unkept": Kind("Several changes of a volume without a keeper, opened in its newest state", _several, kept=False),
}


@dataclass
class Recorded:
    """One commit: everything that was ever done to the disk, and the states before and after."""

    kind: Kind
    calls: list[Call]
    first: int
    old: FspfTag | None
    old_seen: dict[bytes, Seen]
    new: FspfTag
    new_seen: dict[bytes, Seen]


@dataclass
class Row:
    """What was found after power cuts at one system call, or at several alike that follow each other."""

    call: str
    on: str
    keeper: str
    found: str
    other: frozenset[str]
    calls: int = 1
    disks: int = 0
    left: Counter[int] = field(default_factory=Counter)


@dataclass
class Matrix:
    """The rows of one kind of commit."""

    kind: Kind
    rows: list[Row] = field(default_factory=list)

    def add(self, row: Row) -> None:
        """Append a row, or add it to one that says the same."""
        for last in self.rows:
            if (last.call, last.on, last.keeper, last.found) == (row.call, row.on, row.keeper, row.found):
                last.calls += row.calls
                last.disks += row.disks
                last.left += row.left
                last.other |= row.other
                return
        self.rows.append(row)


class _NotedKeeper(Keeper):
    """A keeper to whom requests are part of the record."""

    def __init__(self, recorder: Recorder, tag: FspfTag | None) -> None:
        super().__init__(tag)
        self._recorder = recorder

    def advance(self, expected: FspfTag | None, new: FspfTag) -> None:
        """Move, and note that it was asked and has answered."""
        self._recorder.note("request")
        super().advance(expected, new)
        self._recorder.note("answer")


def record(kind: Kind, directory: Path) -> Recorded:
    """Do the work of one kind and record every system call, from the first one on the directory on."""
    directory.parent.mkdir()
    layout, seed = kind.layout, kind.title.encode()
    tag = layout.prepare(directory, seed)
    with recording(directory) as recorder:
        keeper = _NotedKeeper(recorder, tag)
        opened = layout.open(directory, tag, keeper=keeper, seed=seed)
        if kind is not KINDS["first"]:
            _first_states(opened, kind)
        if kind.killed is not None or not kind.kept:
            # Who is killed does not commit.
            if kind.killed is not None:
                kind.killed(opened)
            opened.close()
            opened = layout.open(directory, keeper.tag, keeper=keeper if kind.kept else None, seed=seed + b"again")
        with opened:
            first, old, old_seen = len(recorder.calls), keeper.tag, opened.look()
            kind.work(opened)
            new_seen = opened.look()
            new = opened.commit()
    return Recorded(kind, recorder.calls, first if old is not None else 0, old, old_seen, new, new_seen)


def _first_states(opened: Opened, kind: Kind) -> None:
    """Make two states, so that what is recorded is a commit like any other."""
    for volume in opened.volumes.values():
        make_file(volume, b"a/file", b"file" * 600)
        make_file(volume, b"a/other", b"other" * 300)
        make_file(volume, b"b/alone", b"alone" * 30)
    opened.commit()
    opened.volume.inodes.write(find(opened.volume, b"a/file"), 600, b"second state" * 40)
    if kind.before is not None:
        kind.before(opened)
    opened.commit()


class _Judge:
    """Finds out what is on a disk, and that a service can go on with it."""

    def __init__(self, recorded: Recorded, directory: Path) -> None:
        self._recorded = recorded
        self._layout = recorded.kind.layout
        self._directory = directory
        self._number = 0
        self.protection_file = self._layout.protection_file

    def judge(self, held: Held, tag: FspfTag | None) -> tuple[str, str, int]:
        """Return which state was found, what there is of the other one, and how many files nothing refers to.

        Args:
            held: what is on the disk.
            tag: what the keeper names, if there is one.

        Raises:
            AssertionError, BannockError: the state that the keeper names is not the one that is found.
        """
        self._number += 1
        directory = self._directory / str(self._number)
        lay(held, directory)
        recorded, kept = self._recorded, self._recorded.kind.kept
        found = self._look(directory, tag) if tag is not None or not kept else None
        other = recorded.new if found == recorded.old else recorded.old
        of_other = self._look_at_other(directory, other)
        keeper = Keeper(tag) if kept else None
        with self._layout.open(directory, tag, keeper=keeper, seed=None) as opened:
            assert tag is None or opened.look() == self._seen(tag)
            left = _left_over(opened, directory, self._layout)
            for volume in opened.volumes.values():
                make_file(volume, b"later", b"later" * 400)
                make_file(volume, b"a/later", b"later" * 100)
            seen, after = opened.look(), opened.commit()
        assert keeper is None or keeper.tag == after
        with self._layout.open(directory, after if kept else None, keeper=None, seed=None) as opened:
            assert opened.look() == seen
        self._refuse(directory, other)
        shutil.rmtree(directory)
        return self.name(found), of_other, left

    def name(self, tag: FspfTag | None) -> str:
        """Say which of the states a tag is of."""
        return "nothing" if tag is None else "old" if tag == self._recorded.old else "new"

    def in_force(self, tag: FspfTag | None) -> str:
        """Say what the keeper names."""
        return self.name(tag) if self._recorded.kind.kept else "nobody"

    def _seen(self, tag: FspfTag) -> dict[bytes, Seen]:
        assert tag in (self._recorded.old, self._recorded.new)
        return self._recorded.old_seen if tag == self._recorded.old else self._recorded.new_seen

    def _look(self, directory: Path, tag: FspfTag | None) -> FspfTag:
        """Open the state that is in force, only to look, and return it; what is in it is what was in it."""
        with self._layout.open(directory, tag, keeper=None, seed=None, writable=False) as opened:
            found = present(opened.volume.tag)
            assert opened.look() == self._seen(found)
        return found

    def _look_at_other(self, directory: Path, other: FspfTag | None) -> str:
        if other is None:
            return _NONE
        try:
            opened = self._layout.open(directory, other, keeper=None, seed=None, writable=False)
        except (IntegrityError, InputError):
            return "not there"
        with opened:
            try:
                assert opened.look() == self._seen(other)
            except IntegrityError:
                return "in part"
        return "whole"

    def _refuse(self, directory: Path, other: FspfTag | None) -> None:
        """Once the service has gone on, there is nothing left that would be taken for the other state."""
        if other is not None:
            try:
                self._layout.open(directory, other, keeper=None, seed=None).close()
            except RollbackError:
                return
            raise AssertionError("a state that is not in force was opened")


def _left_over(opened: Opened, directory: Path, layout: Layout) -> int:
    """Count the files of ciphertext that the state which was opened has no use for."""
    there = {os.fsencode(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}
    return len(there - opened.ciphertext() - {layout.protection_file})


def examine(kind: Kind, directory: Path) -> Matrix:
    """Cut the power at every system call of a commit, and judge each disk that may be left."""
    recorded = record(kind, directory / "recorded")
    judge, matrix, choose = _Judge(recorded, directory / "cut"), Matrix(kind), random.Random(kind.title)  # noqa: S311
    disk = Disk()
    for call in recorded.calls[: recorded.first]:
        disk.do(call)
    keeper = recorded.old if kind.kept else None
    for call in recorded.calls[recorded.first :]:
        if call.name == "answer":
            keeper = recorded.new
        matrix.add(_cut_at(call, disk, keeper, judge, choose))
        disk.do(call)
    matrix.add(_cut_at(Call(_NONE, _END.encode()), disk, keeper, judge, choose))
    assert matrix.rows[-1].found == "new", "a commit is durable when it returns"
    return matrix


def _cut_at(call: Call, disk: Disk, keeper: FspfTag | None, judge: _Judge, choose: random.Random) -> Row:
    """Cut the power at one call: made, not made, or in part, with all, nothing or some of what was not synced."""
    held = [disk.certain(), disk.everything(), disk.everything(call)]
    held += [disk.everything(half) for half in halves(call)]
    held += [disk.some(call, choose) for _ in range(_RANDOM_DISKS)]
    found, others, left = set[str](), set[str](), Counter[int]()
    distinct = {frozenset(one.items()): one for one in held}
    for one in distinct.values():
        state, other, files = judge.judge(one, keeper)
        found.add(state)
        others.add(other)
        left[files] += 1
    assert keeper is None or found == {judge.name(keeper)}
    state = " or ".join(sorted(found, reverse=True))
    return Row(
        call.name, _object(call, judge.protection_file), judge.in_force(keeper), state, frozenset(others),
        disks=len(distinct), left=left,
    )  # fmt: skip


def _object(call: Call, protection: bytes) -> str:
    """Say what a call was made on."""
    path = re.sub(r"^many/\d+$", "many/*", os.fsdecode(call.path))
    match call.name:
        case "request" | "answer":
            return "the keeper"
        case "syncfs":
            return "the file system"
        case "pwrite" if call.path == protection:
            return "superblock" if call.offset < 2 * PAGE_BYTES else f"page of `{path}`"
        case "pwrite":
            return f"chunk in `{path}`"
        case "mkdirat" | "fsync" if not call.file:
            return {"": "the volume's directory", "..": "the directory above"}.get(path, f"directory `{path}`")
        case _:
            return path if path == _END else f"`{path}`"


def crash_section(directory: Path) -> str:
    """Examine every kind of commit, and write the section of the page that tells of it."""
    directory.mkdir()
    matrices = [examine(kind, directory / name) for name, kind in KINDS.items()]
    disks = sum(row.disks for matrix in matrices for row in matrix.rows)
    calls = sum(row.calls for matrix in matrices for row in matrix.rows)
    parts = [_TEXT.format(disks=disks, calls=calls)]
    for matrix in matrices:
        parts += [f"### {matrix.kind.title}\n", _COLUMNS, *map(_line, matrix.rows), ""]
    return "\n".join(parts)


def _line(row: Row) -> str:
    low, high = min(row.left), max(row.left)
    left = _NONE if not high else str(high) if low == high else f"{low} to {high}"
    other = " or ".join(sorted(row.other, key=_OTHERS.index))
    calls = f"{row.calls} of {row.call}" if row.calls > 1 else row.call
    return f"| {calls} | {row.on} | {row.disks} | {row.keeper} | {row.found} | {other} | {left} |"
