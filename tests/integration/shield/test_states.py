"""What whoever decrypts a volume is told when it is an older one, or when something else stands in place of a file."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from bannock.errors import IntegrityError, RollbackError
from bannock.shield.pack import create_volume
from bannock.shield.unpack import extract_volume
from bannock.shield.volume import Volume
from bannock.values import FspfKey, FspfTag

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = FspfKey(bytes(range(32)))


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, FspfTag]:
    """Give a small volume and its state."""
    source = tmp_path / "in"
    source.mkdir()
    files = {b"hello": b"Hello World\n", b"empty": b"", b"key": bytes(range(256))}
    for name, data in files.items():
        (source / os.fsdecode(name)).write_bytes(data)
    return tmp_path / "volume", create_volume(source, tmp_path / "volume", KEY)


def test_an_older_volume_is_refused_as_rolled_back(small: tuple[Path, FspfTag]) -> None:
    """A complete, authentic copy from before is told as what it is, with both states."""
    directory, before = small
    copy = directory.with_name("copy")
    shutil.copytree(directory, copy)
    with Volume.open(directory, KEY, before) as volume:
        volume.names.make(1, b"new", 0o100644)
        tag = volume.commit()
    with pytest.raises(RollbackError, match=f"is in state {before} .*, expected state {tag}"):
        Volume.open(copy, KEY, tag)


def test_links_and_pipes_in_the_storage_lead_nowhere(small: tuple[Path, FspfTag], tmp_path: Path) -> None:
    """Something else than a regular file in place of ciphertext is refused: not followed, not waited for."""
    directory, tag = small
    ciphertext = (directory / "hello").read_bytes()
    (tmp_path / "elsewhere").write_bytes(ciphertext)
    makers: list[Callable[[Path], object]] = [
        lambda path: path.symlink_to(tmp_path / "elsewhere"),
        os.mkfifo,
        lambda path: path.mkdir(),
    ]
    for make in makers:
        path = directory / "hello"
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        make(path)
        with pytest.raises(IntegrityError, match="hello"):
            extract_volume(directory, KEY, tag, tmp_path / "out")
        assert not (tmp_path / "out/hello").exists()
