"""Directories that only their owner looks into."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from bannock.errors import InputError
from bannock.files import private_directory

if TYPE_CHECKING:
    from pathlib import Path

_SOMEBODY = 1234


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    """Also where directories above it are missing."""
    path = private_directory(tmp_path / "a" / "b")
    assert _mode(path) == 0o700
    assert private_directory(path) == path


def test_an_empty_one_is_closed(tmp_path: Path) -> None:
    """What `mkdir` or a container engine made becomes private."""
    tmp_path.chmod(0o755)
    private_directory(tmp_path)
    assert _mode(tmp_path) == 0o700


@pytest.mark.root
def test_an_empty_one_becomes_root_s(tmp_path: Path) -> None:
    """In a container, root gets a directory that a user of the host made."""
    os.chown(tmp_path, _SOMEBODY, _SOMEBODY)
    tmp_path.chmod(0o755)
    private_directory(tmp_path)
    assert (tmp_path.stat().st_uid, _mode(tmp_path)) == (0, 0o700)


def test_one_in_use_is_refused(tmp_path: Path) -> None:
    """What others could look into before is not taken for private afterwards."""
    (tmp_path / "file").touch()
    tmp_path.chmod(0o755)
    with pytest.raises(InputError, match="open to others: mode 0755"):
        private_directory(tmp_path)
    assert _mode(tmp_path) == 0o755


@pytest.mark.root
def test_somebody_s_is_refused(tmp_path: Path) -> None:
    """Its owner could exchange what is in it."""
    (tmp_path / "file").touch()
    os.chown(tmp_path, _SOMEBODY, -1)
    tmp_path.chmod(0o700)
    with pytest.raises(InputError, match=f"owner {_SOMEBODY}; expected 0700, owner 0"):
        private_directory(tmp_path)
    assert tmp_path.stat().st_uid == _SOMEBODY


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770])
def test_one_that_others_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    """Somebody may be in it, or be about to put something there."""
    tmp_path.chmod(mode)
    with pytest.raises(InputError, match="open to others"):
        private_directory(tmp_path)


def test_one_by_a_link_is_refused(tmp_path: Path) -> None:
    """Whoever made the link does not say which directories are changed."""
    (tmp_path / "real").mkdir(mode=0o755)
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(InputError, match="open to others"):
        private_directory(tmp_path / "link")
