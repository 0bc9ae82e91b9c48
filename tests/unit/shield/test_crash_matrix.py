"""The crash matrix in docs/crash-matrix.md is what the code does, and it would show a commit that is not safe."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bannock.errors import IntegrityError
from bannock.shield.format.backing import BackingFile, _Directory
from tests.unit.shield import power
from tests.unit.shield.crash_matrix import KINDS, Kind, crash_section, examine, record
from tests.unit.shield.crash_page import CRASHES, PAGE, fast_directory, section

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def directory() -> Iterator[Path]:
    """Give a directory in memory, where that is possible."""
    with tempfile.TemporaryDirectory(dir=fast_directory()) as path:
        yield Path(path)


@pytest.mark.slow
def test_page_says_what_is_found(directory: Path) -> None:
    """Power is cut at every system call of every kind of commit; the page has each row of what was found."""
    expected = section(PAGE.read_text(encoding="utf-8"), CRASHES)
    assert crash_section(directory / "cuts") == expected, "run `make crash-matrix`, and look at what became different"


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_record_is_complete(directory: Path, kind: Kind) -> None:
    """Every system call is in the record: a disk on which the recorded calls are made holds what the real one does."""
    recorded = record(kind, directory / "recorded/volume")
    disk = power.Disk()
    for call in recorded.calls:
        disk.do(call)
    assert disk.everything() == power.hold(directory / "recorded/volume")


def _no_sync(_: BackingFile) -> None:
    pass


def test_files_that_are_not_synced_are_found_out(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were chunks and pages not synced, a new state would be in force that is not whole."""
    monkeypatch.setattr(BackingFile, "sync", _no_sync)
    with pytest.raises((AssertionError, IntegrityError)):
        examine(KINDS["overwrite"], directory / "cuts")


def test_directories_that_are_not_synced_are_found_out(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the names of new files not synced, a new state would be in force whose files are not there."""
    monkeypatch.setattr(_Directory, "sync", _no_sync)
    with pytest.raises((AssertionError, IntegrityError)):
        examine(KINDS["new-file"], directory / "cuts")
