"""Several processes at work on the same directories and files: no error but those that follow from that."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.shield.hosting import Host

pytestmark = [pytest.mark.fuse, pytest.mark.root]

_REPOSITORY = Path(__file__).parents[3]


def _storm(path: Path, *parts: tuple[str, int]) -> None:
    """Start processes that each do something so many times, and wait for them."""
    command = [sys.executable, "-m", "tests.integration.shield.storm"]
    running = [
        subprocess.Popen(
            [*command, what, str(path), str(seed), str(count)], stderr=subprocess.PIPE, text=True, cwd=_REPOSITORY
        )
        for seed, (what, count) in enumerate(parts)
    ]
    errors = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0] * len(running), errors


def test_many_change_the_same_names(host: Host) -> None:
    """Files and directories are made, moved and removed by all; what is left is the same after a remount."""
    (host.path / "top").mkdir()
    _storm(host.path / "top", *[("names", 1500)] * 4)
    before = _listing(host.path)
    assert len(before) > 5
    host.remount()
    assert _listing(host.path) == before
    for above, directories, _ in os.walk(host.path):
        below = [name for name in directories if not Path(above, name).is_symlink()]
        assert Path(above).stat().st_nlink == 2 + len(below)
    assert "error" not in host.log.read_text()


def _listing(top: Path) -> list[tuple[str, int, int, int]]:
    found = []
    for above, directories, files in os.walk(top):
        for path in (Path(above, name) for name in (*directories, *files)):
            status = path.lstat()
            found.append((str(path), status.st_mode, status.st_ino, status.st_size if path.is_file() else 0))
    return sorted(found)


def test_readers_beside_writers_see_whole_chunks(host: Host) -> None:
    """What is read past the cache while it is written anew, synced and cut is one write's, and never an error."""
    (host.path / "file").touch()
    _storm(host.path / "file", ("write", 600), ("write", 600), ("read", 2500), ("read", 2500))
    assert "error" not in host.log.read_text()
