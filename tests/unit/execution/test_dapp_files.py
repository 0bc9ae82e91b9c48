"""Volumes in ZIP files: what is written is read again, and nothing leads out of the directory."""

from __future__ import annotations

import io
import subprocess
import zipfile
from typing import TYPE_CHECKING

import pytest

from bannock.errors import IntegrityError
from bannock.execution.dapps.zipped import INPUTS, OUTPUTS, Limits, VolumesZip, unzip_volume
from bannock.shield.outgoing import pass_on
from bannock.shield.unpack import extract_volume
from bannock.values import FspfKey

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_KEY = FspfKey(b"k" * 32)


def _written(path: Path, entries: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def test_two_volumes_in_one_file(tmp_path: Path) -> None:
    """Sealed into a stream, each is taken out alone, and opens in its state; any tool reads the file."""
    source = tmp_path / "source"
    (source / "below").mkdir(parents=True)
    (source / "below" / "scene").write_bytes(b"cube" * 50_000)
    (source / "empty").touch()
    stream = io.BytesIO()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with VolumesZip(stream.write) as archive:
        tag = pass_on(source, _KEY, archive.outlet(INPUTS), scratch=scratch)
        nothing = pass_on(None, _KEY, archive.outlet(OUTPUTS), scratch=scratch)
    path = tmp_path / "sent.zip"
    path.write_bytes(stream.getvalue())
    assert b"cubecube" not in path.read_bytes()
    for volume, state in ((INPUTS, tag), (OUTPUTS, nothing)):
        unzip_volume(path, volume, tmp_path / volume)
        extract_volume(tmp_path / volume, _KEY, state, tmp_path / "plain" / volume)
    assert (tmp_path / "plain" / INPUTS / "below" / "scene").read_bytes() == b"cube" * 50_000
    assert (tmp_path / "plain" / INPUTS / "empty").read_bytes() == b""
    assert list((tmp_path / "plain" / OUTPUTS).iterdir()) == []
    # What a host gives back is put together from a directory.
    again = io.BytesIO()
    with VolumesZip(again.write) as archive:
        archive.add_volume(OUTPUTS, tmp_path / INPUTS)
    (tmp_path / "back.zip").write_bytes(again.getvalue())
    unzip_volume(tmp_path / "back.zip", OUTPUTS, tmp_path / "again")
    same = ["/usr/bin/diff", "-r", str(tmp_path / INPUTS), str(tmp_path / "again")]
    assert subprocess.run(same, check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize(
    "name",
    ["../evil", "below/../../evil", "/evil", "a\\b", "a//b", "./a", "a" * 5000, "/".join("a" * 70)],
)
def test_names_that_no_volume_has(tmp_path: Path, name: str) -> None:
    """A path that leads out, or that two systems would read differently, is refused, and nothing is written."""
    path = _written(tmp_path / "sent.zip", {f"{INPUTS}/good": b"", f"{INPUTS}/{name}": b"x"})
    with pytest.raises(IntegrityError, match="name"):
        unzip_volume(path, INPUTS, tmp_path / "target")
    assert not (tmp_path / "target").exists()
    assert not (tmp_path / "evil").exists()


def test_files_that_are_not_whole(tmp_path: Path) -> None:
    """A volume that is not there, a damaged file, one that is none, one that holds too much."""
    path = _written(tmp_path / "sent.zip", {f"{OUTPUTS}/volume.fspf": b"x" * 10_000})
    with pytest.raises(IntegrityError, match="no volume"):
        unzip_volume(path, INPUTS, tmp_path / "a")
    with pytest.raises(IntegrityError, match="more than"):
        unzip_volume(path, OUTPUTS, tmp_path / "b", limits=Limits(bytes=9_999))
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="damaged"):
        unzip_volume(path, OUTPUTS, tmp_path / "c")
    path.write_bytes(b"PK" * 100)
    with pytest.raises(IntegrityError, match="damaged"):
        unzip_volume(path, OUTPUTS, tmp_path / "d")


def test_a_name_that_comes_twice(tmp_path: Path) -> None:
    """Readers would not agree on which one counts."""
    path = tmp_path / "sent.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{INPUTS}/volume.fspf", b"one")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr(f"{INPUTS}/volume.fspf", b"two")
    with pytest.raises(IntegrityError, match="twice"):
        unzip_volume(path, INPUTS, tmp_path / "target")
