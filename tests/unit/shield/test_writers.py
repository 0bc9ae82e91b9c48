"""Several writers of one volume, and a keeper that does not answer: the second is refused, and nothing is lost."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from bannock.errors import BannockError, ConflictError, EnvironmentFault, InputError, PeerError
from bannock.shield.volume import Volume
from tests.unit.shield.support import KEY, OTHER_KEY, Keeper, find, look, make_file

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.values import FspfTag


class _Unreachable(Keeper):
    """A keeper whose answer is lost: before it has moved, or after."""

    def __init__(self, tag: FspfTag | None, *, moves: bool) -> None:
        super().__init__(tag)
        self._moves = moves

    def advance(self, expected: FspfTag | None, new: FspfTag) -> None:
        if self._moves:
            super().advance(expected, new)
        raise PeerError("the connection was lost")


def _volume(directory: Path, keeper: Keeper) -> None:
    """Make a volume of several commits, so that there are free pages and free slots."""
    with Volume.create(directory, KEY, keeper=keeper) as volume:
        ino = make_file(volume, b"file", bytes(5000))
        make_file(volume, b"directory/other", b"other" * 300)
        volume.commit()
        for number in range(4):
            volume.inodes.write(ino, number * 700, b"%d" % number * 900)
            volume.commit()


def _tag(keeper: Keeper) -> FspfTag:
    assert keeper.tag is not None
    return keeper.tag


def test_second_writer_in_one_directory_is_refused(tmp_path: Path) -> None:
    """While a volume is open for writing nobody else on this machine opens it so; reading it is no harm."""
    keeper = Keeper()
    _volume(tmp_path, keeper)
    with Volume.open(tmp_path, KEY, _tag(keeper), keeper=keeper):
        with pytest.raises(ConflictError, match="open for writing"):
            Volume.open(tmp_path, KEY, _tag(keeper), keeper=keeper)
        Volume.open(tmp_path, KEY, _tag(keeper), writable=False).close()
    Volume.open(tmp_path, KEY, _tag(keeper), keeper=keeper).close()


def test_second_writer_of_a_copy_is_refused_by_the_keeper(tmp_path: Path) -> None:
    """Of two copies of a volume, the first to commit wins; the other gets a conflict, the winner stays whole."""
    keeper = Keeper()
    _volume(tmp_path / "one", keeper)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    start = _tag(keeper)
    first = Volume.open(tmp_path / "one", KEY, start, keeper=keeper)
    second = Volume.open(tmp_path / "two", KEY, start, keeper=keeper)
    with first, second:
        first.inodes.write(find(first, b"file"), 100, b"first")
        second.inodes.write(find(second, b"file"), 100, b"second")
        first.commit()
        with pytest.raises(ConflictError):
            second.commit()
    with Volume.open(tmp_path / "one", KEY, _tag(keeper), writable=False) as volume:
        assert look(volume)[b"file"].content[100:105] == b"first"
    with Volume.open(tmp_path / "two", KEY, start, writable=False) as volume:
        assert look(volume)[b"file"].content[100:105] == b"00000", "the loser's copy still holds the state it had"


@pytest.mark.parametrize("moves", [False, True])
def test_after_a_failed_commit_both_states_stay_on_the_disk(tmp_path: Path, *, moves: bool) -> None:
    """A handle whose commit failed takes no second one, so whichever state the keeper has can be opened."""
    keeper = Keeper()
    _volume(tmp_path, keeper)
    lost = _Unreachable(_tag(keeper), moves=moves)
    with Volume.open(tmp_path, KEY, _tag(keeper), keeper=lost) as volume:
        before = look(volume)
        ino = find(volume, b"file")
        volume.inodes.write(ino, 0, b"new" * 1000)
        after = look(volume)
        with pytest.raises(PeerError, match="connection was lost"):
            volume.commit()
        for _ in range(3):
            with pytest.raises(BannockError):
                volume.commit()
        with pytest.raises(OSError, match="nothing can be changed any more"):
            volume.inodes.write(ino, 0, b"more")
    with Volume.open(tmp_path, KEY, _tag(lost), keeper=lost) as volume:
        assert look(volume) == (after if moves else before)


def test_failure_of_the_storage_is_kept_as_an_error_of_ours(tmp_path: Path) -> None:
    """Who asks later why a volume takes no changes gets the error that the first commit got."""
    keeper = Keeper()
    _volume(tmp_path, keeper)
    with Volume.open(tmp_path, KEY, _tag(keeper), keeper=keeper) as volume:
        volume.inodes.write(find(volume, b"file"), 0, b"x")

        def broken(data: bytes, offset: int) -> None:
            raise OSError(5, f"Input/output error ({len(data)} bytes at {offset})")

        volume._protection._pager._file.pwrite = broken  # type: ignore[method-assign] # the disk is from here on
        with pytest.raises(EnvironmentFault, match="Input/output error"):
            volume.commit()
        assert isinstance(volume.failure, EnvironmentFault)
        with pytest.raises(EnvironmentFault, match="Input/output error"):
            volume.commit()


def test_volume_that_was_never_confirmed_is_made_again(tmp_path: Path) -> None:
    """A crash between the first commit's writes and the keeper's move does not lock the directory."""
    lost = _Unreachable(None, moves=False)
    with Volume.create(tmp_path, KEY, keeper=lost) as volume:
        make_file(volume, b"file", b"first try")
        with pytest.raises(PeerError):
            volume.commit()
    keeper = Keeper()
    with Volume.create(tmp_path, KEY, keeper=keeper) as volume:
        make_file(volume, b"file", b"second try")
        volume.commit()
    with Volume.open(tmp_path, KEY, _tag(keeper), keeper=keeper) as volume:
        assert look(volume)[b"file"].content == b"second try"


def test_volume_whose_first_commit_never_began_is_made_again(tmp_path: Path) -> None:
    """A crash right after the protection file appeared does not lock the directory."""
    Volume.create(tmp_path, KEY, keeper=Keeper()).close()
    keeper = Keeper()
    with Volume.create(tmp_path, KEY, keeper=keeper) as volume:
        volume.commit()
    assert keeper.tag is not None


@pytest.mark.parametrize("commits", [1, 2])
def test_volume_that_may_be_somebodys_is_not_made_again(tmp_path: Path, commits: int) -> None:
    """A volume under another key, or of more than one state, or that no keeper calls void, is not touched."""
    with Volume.create(tmp_path, KEY) as volume:
        tag = volume.commit()
        for _ in range(commits - 1):
            volume.inodes.change(1)
            tag = volume.commit()
    with pytest.raises(InputError, match="holds a volume already"):
        Volume.create(tmp_path, OTHER_KEY, keeper=Keeper())
    with pytest.raises(InputError, match="holds a volume already"):
        Volume.create(tmp_path, KEY)
    if commits > 1:
        with pytest.raises(InputError, match="holds a volume already"):
            Volume.create(tmp_path, KEY, keeper=Keeper())
    Volume.open(tmp_path, KEY, tag, writable=False).close()


def test_volume_that_is_being_made_is_not_made_again(tmp_path: Path) -> None:
    """A second writer that finds the first one at its first commit is refused."""
    with Volume.create(tmp_path, KEY, keeper=Keeper()), pytest.raises(ConflictError, match="open for writing"):
        Volume.create(tmp_path, KEY, keeper=Keeper())
