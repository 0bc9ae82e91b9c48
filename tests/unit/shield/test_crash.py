"""Power is cut at every point of a commit: what the keeper names is on the disk, whole, and nothing else opens.

The writes of a commit are recorded and then replayed in part: up to a point, up to a part of a write, or, since a
disk may write in any order until it is told to sync, any part of them.
"""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from bannock.errors import RollbackError
from bannock.shield import volume as volume_module
from bannock.shield.volume import Volume
from tests.unit.shield.support import (
    KEY,
    Create,
    Keeper,
    RecordedBacking,
    Sync,
    Unlink,
    Write,
    apply,
    find,
    look,
    make_file,
    put,
    take,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bannock.values import FspfTag
    from tests.unit.shield.support import Disk, Seen, Step

#: What a disk writes as a whole or not at all.
_SECTOR: Final = 512


def _overwrite(volume: Volume) -> None:
    ino = find(volume, b"a/file")
    volume.inodes.write(ino, 100, b"new" * 500)
    volume.inodes.write(ino, 100, b"newer" * 300)


def _names(volume: Volume) -> None:
    above = find(volume, b"a")
    volume.names.rename(above, b"file", 1, b"moved")
    volume.names.unlink(above, b"other")
    make_file(volume, b"b/c/d", b"made" * 300)
    make_file(volume, b"a/other", b"again" * 300)


def _truncate(volume: Volume) -> None:
    volume.inodes.truncate(find(volume, b"a/file"), 0)
    volume.inodes.write(find(volume, b"a/file"), 0, b"after it was emptied" * 100)
    volume.inodes.truncate(find(volume, b"a/other"), 700)


def _remove_open(volume: Volume) -> None:
    ino = find(volume, b"a/other")
    volume.inodes.handles.open(ino)
    volume.names.unlink(find(volume, b"a"), b"other")


def _many(volume: Volume) -> None:
    for number in range(70):
        make_file(volume, b"many/%d" % number, b"%d" % number * 40)


_WORK: Final[dict[str, Callable[[Volume], None]]] = {
    "overwrite": _overwrite, "names": _names, "truncate": _truncate, "remove-open": _remove_open, "many": _many,
}  # fmt: skip


@dataclass
class Recorded:
    """One commit: the disk and the state before it, what was written, and the state after it."""

    before: Disk
    old: FspfTag
    old_seen: dict[bytes, Seen]
    steps: list[Step]
    new: FspfTag
    new_seen: dict[bytes, Seen]

    @property
    def durable(self) -> int:
        """How many steps there are up to the one that makes them durable; then the keeper moves."""
        return self.steps.index(Sync()) + 1

    def check(self, disk: Disk, tag: FspfTag, directory: Path) -> None:
        """Open a disk in a state, find just that, go on working with it, and find that too."""
        shutil.rmtree(directory, ignore_errors=True)
        put(disk, directory)
        seen = self.old_seen if tag == self.old else self.new_seen
        with Volume.open(directory, KEY, tag, writable=False) as volume:
            assert look(volume) == seen
        keeper = Keeper(tag)
        with Volume.open(directory, KEY, tag, keeper=keeper) as volume:
            assert look(volume) == seen
            make_file(volume, b"later", b"later" * 400)
            volume.inodes.write(find(volume, b"keep"), 0, b"K" * 600)
            after = look(volume)
            volume.commit()
        assert keeper.tag is not None
        with Volume.open(directory, KEY, keeper.tag) as volume:
            assert look(volume) == after


@pytest.fixture(autouse=True)
def _recording(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Volumes in these tests note what they do to the storage."""
    RecordedBacking.steps = []
    monkeypatch.setattr(volume_module, "Backing", RecordedBacking)
    yield
    RecordedBacking.steps = []


@pytest.fixture(params=_WORK)
def recorded(request: pytest.FixtureRequest, tmp_path: Path) -> Recorded:
    """Give the record of one commit, for each kind of work."""
    directory, keeper = tmp_path / "volume", Keeper()
    with Volume.create(directory, KEY, keeper=keeper) as volume:
        make_file(volume, b"keep", b"keep" * 200)
        make_file(volume, b"a/file", b"file" * 600)
        make_file(volume, b"a/other", b"other" * 300)
        volume.commit()
        volume.inodes.write(find(volume, b"a/file"), 600, b"second state" * 40)
        old = volume.commit()
        before, old_seen = take(directory), look(volume)
        RecordedBacking.steps.clear()
        _WORK[request.param](volume)
        new_seen = look(volume)
        new = volume.commit()
        steps = list(RecordedBacking.steps)
    assert steps.count(Sync()) == 1
    return Recorded(before, old, old_seen, steps, new, new_seen)


def test_nothing_but_unlinks_comes_after_the_keeper_has_moved(recorded: Recorded) -> None:
    """All that a state consists of is durable before it may be the keeper's, and nothing of the old one is gone."""
    assert all(isinstance(step, Write | Create) for step in recorded.steps[: recorded.durable - 1])
    assert all(isinstance(step, Unlink) for step in recorded.steps[recorded.durable :])


def test_power_cut_between_any_two_steps(recorded: Recorded, tmp_path: Path) -> None:
    """Before the keeper moves the old state is whole, at every step; from the sync on the new one is as well."""
    points = range(len(recorded.steps) + 1)
    for point in _some(points, 60):
        disk = apply(recorded.before, recorded.steps[:point])
        if point <= recorded.durable:
            recorded.check(disk, recorded.old, tmp_path / "cut")
        if point >= recorded.durable:
            recorded.check(disk, recorded.new, tmp_path / "cut")


def test_power_cut_within_a_write(recorded: Recorded, tmp_path: Path) -> None:
    """A write of which only the beginning, or only the end, reached the disk, does not touch the old state."""
    for point in _some(range(recorded.durable), 30):
        step = recorded.steps[point]
        if not isinstance(step, Write):
            continue
        for at in {1, len(step.data) // 2, len(step.data) - 1}:
            for torn in (
                Write(step.path, step.offset, step.data[:at]),
                Write(step.path, step.offset + at, step.data[at:]),
            ):
                disk = apply(recorded.before, [*recorded.steps[:point], torn])
                recorded.check(disk, recorded.old, tmp_path / "cut")


def test_power_cut_with_writes_out_of_order(recorded: Recorded, tmp_path: Path) -> None:
    """Whatever part of the writes before the sync is on the disk, the old state is whole."""
    choose = random.Random(3)  # noqa: S311 # a fixed sequence
    for _ in range(30):
        written = recorded.steps[: recorded.durable]
        some = [step for step in written if isinstance(step, Create) or choose.random() < choose.choice([0.2, 0.8])]
        choose.shuffle(some)
        recorded.check(apply(recorded.before, some), recorded.old, tmp_path / "cut")


def test_power_cut_while_ciphertext_is_removed(recorded: Recorded, tmp_path: Path) -> None:
    """Whatever part of the files that no state needs is gone, the new state is whole."""
    choose = random.Random(4)  # noqa: S311 # a fixed sequence
    for _ in range(5):
        some = [step for step in recorded.steps[recorded.durable :] if choose.random() < 0.5]
        disk = apply(recorded.before, [*recorded.steps[: recorded.durable], *some])
        recorded.check(disk, recorded.new, tmp_path / "cut")


def test_other_states_do_not_open(recorded: Recorded, tmp_path: Path) -> None:
    """The old state is refused as soon as the keeper has moved, though it is on the disk, and a new one before."""
    disk = apply(recorded.before, recorded.steps)
    keeper = Keeper(recorded.new)
    directory = put(disk, tmp_path / "after")
    with Volume.open(directory, KEY, recorded.new, keeper=keeper) as volume:
        volume.inodes.change(1)
        volume.commit()
        volume.inodes.change(1)
        volume.commit()
    for tag in (recorded.old, recorded.new):
        with pytest.raises(RollbackError, match=f"expected state {tag}"):
            Volume.open(directory, KEY, tag)
    early = put(apply(recorded.before, recorded.steps[:1]), tmp_path / "before")
    with pytest.raises(RollbackError, match=f"expected state {recorded.new}"):
        Volume.open(early, KEY, recorded.new)


def test_first_commit(tmp_path: Path) -> None:
    """A volume whose very first commit was cut off is made anew, unless the keeper has its state: then it opens."""
    keeper = Keeper()
    with Volume.create(tmp_path / "volume", KEY, keeper=keeper) as volume:
        make_file(volume, b"a/file", b"file" * 600)
        seen = look(volume)
        tag = volume.commit()
    steps = list(RecordedBacking.steps)
    durable = steps.index(Sync()) + 1
    for point in range(durable + 1):
        for at in range(0, 4096, _SECTOR):
            torn = list(steps[:point])
            if torn and isinstance(last := torn[-1], Write):
                torn[-1] = last._replace(data=last.data[: at or 4096])
            directory = put(apply({}, torn), tmp_path / f"{point}-{at}")
            directory.mkdir(exist_ok=True)
            again = Keeper()
            with Volume.create(directory, KEY, keeper=again) as volume:
                make_file(volume, b"a/file", b"other" * 600)
                expected = look(volume)
                volume.commit()
            assert again.tag is not None
            with Volume.open(directory, KEY, again.tag) as volume:
                assert look(volume) == expected
    with Volume.open(put(apply({}, steps), tmp_path / "whole"), KEY, tag) as volume:
        assert look(volume) == seen


def test_cut_in_the_recovery(recorded: Recorded, tmp_path: Path) -> None:
    """What opening a volume does to the storage can be cut off as well, and done again."""
    disk = apply(recorded.before, recorded.steps[: recorded.durable])
    directory = put(disk, tmp_path / "recovered")
    RecordedBacking.steps.clear()
    Volume.open(directory, KEY, recorded.new).close()
    steps = list(RecordedBacking.steps)
    assert all(isinstance(step, Unlink) for step in steps)
    for point in range(len(steps) + 1):
        recorded.check(apply(disk, steps[:point]), recorded.new, tmp_path / "cut")


def _some(points: range, count: int) -> list[int]:
    """Return all points, or that many of them with the first and the last ones."""
    if len(points) <= count:
        return list(points)
    chosen = random.Random(5).sample(points[5:-5], count - 10)  # noqa: S311 # a fixed sequence
    return sorted([*points[:5], *chosen, *points[-5:]])
