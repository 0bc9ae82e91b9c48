"""20,000 changes of the storage of volumes: each is found out, or harms nothing; none gives wrong data."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bannock.errors import IntegrityError, causes
from bannock.shield.check import check
from bannock.shield.regions import Protection
from bannock.shield.unpack import extract_volume
from tests.unit.shield.crash_page import MUTATIONS, PAGE, fast_directory, section
from tests.unit.shield.mutations import KINDS, Attacked, attack, build, mutations_section
from tests.unit.shield.support import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.shield.mutations import Change


@pytest.fixture
def directory() -> Iterator[Path]:
    """Give a directory in memory, where that is possible."""
    with tempfile.TemporaryDirectory(dir=fast_directory()) as path:
        yield Path(path)


@pytest.mark.slow
def test_20_000_changes_of_the_storage(directory: Path) -> None:
    """Every kind of change is made some 400 times for each protection, and what is found is what the page says."""
    expected = section(PAGE.read_text(encoding="utf-8"), MUTATIONS)
    assert mutations_section(directory) == expected, "run `make crash-matrix`, and look at what became different"


@pytest.mark.parametrize("protection", [Protection.ENCRYPTED, Protection.AUTHENTICATED])
def test_what_a_change_harms_is_named(directory: Path, protection: Protection) -> None:
    """Who decrypts a changed volume gets an error that names a harmed file, or all of it; who checks it, all names."""
    attacked = Attacked(build(directory, protection), directory / "attacked")
    named = 0

    def extract(change: Change, damaged: set[bytes]) -> None:
        nonlocal named
        report = check(attacked.directory, KEY, attacked.states.tag)
        if b"volume.fspf" not in change:
            assert {damage.path for damage in report.damaged} == {f"/{path.decode()}" for path in damaged}
        assert report.whole or damaged or b"volume.fspf" in change
        assert not (report.whole and damaged)
        if not damaged:
            extract_volume(attacked.directory, KEY, attacked.states.tag, directory / "out")
            return
        with pytest.raises(IntegrityError) as caught:
            extract_volume(attacked.directory, KEY, attacked.states.tag, directory / "out")
        text = ": ".join(str(cause) for cause in causes(caught.value))
        names = {repr(path.decode()) for path in damaged}
        if b"volume.fspf" in change:
            names.add("protection file")
        assert any(name in text for name in names), text
        named += 1

    attack(attacked, 10 * len(KINDS), 2, extract)
    assert named > 100
