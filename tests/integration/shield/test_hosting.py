"""A shield of its own process: what is committed survives its end, whichever way it ends."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from bannock.errors import ConflictError
from bannock.values import FspfTag
from tests.integration.shield.hosting import FileKeeper

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.shield.hosting import Host

pytestmark = [pytest.mark.fuse, pytest.mark.root]


def test_what_is_there_when_it_stops_is_there_when_it_starts(host: Host) -> None:
    """An orderly end is a commit, of what nobody synced too."""
    (host.path / "file").write_bytes(b"text")
    before = host.keeper.tag
    assert host.stop() != before
    assert not host.path.exists()
    host.start()
    assert (host.path / "file").read_bytes() == b"text"


def test_what_was_synced_survives_a_kill_and_nothing_older_comes_back(host: Host) -> None:
    """After fsync(2) the process may die, its mount too: the next one finds the data, and what was removed is gone."""
    (host.path / "removed").write_bytes(b"old")
    host.commit()
    (host.path / "removed").unlink()
    with (host.path / "kept").open("wb") as file:
        file.write(b"text")
        file.flush()
        os.fsync(file.fileno())
    host.kill()
    host.start()
    assert [path.name for path in host.path.iterdir()] == ["kept"]
    assert (host.path / "kept").read_bytes() == b"text"


def test_the_keeper_moves_from_the_state_in_force_alone(tmp_path: Path) -> None:
    """Two keepers on one file know the same state, and the later of two writers is refused."""
    one, other = FileKeeper(tmp_path / "tag"), FileKeeper(tmp_path / "tag")
    first, second, third = (FspfTag(bytes([n]) * 16) for n in range(3))
    one.advance(None, first)
    other.advance(first, second)
    with pytest.raises(ConflictError):
        one.advance(first, third)
    assert one.tag == second
    one.advance(first, second)
