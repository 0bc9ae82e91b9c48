"""States of a volume: tampering with every byte, rolling back, and losing power at every step of a commit."""

from __future__ import annotations

import os
import random
import shutil
from typing import TYPE_CHECKING

import pytest

from bannock.errors import ConflictError, IntegrityError, RollbackError
from bannock.shield.format.backing import Backing, BackingFile
from bannock.shield.pack import create_volume
from bannock.shield.unpack import extract_volume
from bannock.shield.volume import PROTECTION_FILE, Volume
from bannock.values import FspfKey, FspfTag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = FspfKey(bytes(range(32)))
CHUNK = 64 << 10


def contents(directory: Path, tag: FspfTag) -> dict[bytes, bytes]:
    """Read every file of a volume in a state."""
    with Volume.open(directory, KEY, tag, writable=False) as volume:
        return {
            entry.name: bytes(volume.inodes.read(entry.ino, 0, 1 << 30))
            for entry in volume.names.entries(1)
            if volume.inodes.get(entry.ino).is_file
        }


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, FspfTag, dict[bytes, bytes]]:
    """Give a small volume, its state, and what is in it."""
    source = tmp_path / "in"
    source.mkdir()
    files = {b"hello": b"Hello World\n", b"empty": b"", b"key": bytes(range(256))}
    for name, data in files.items():
        (source / os.fsdecode(name)).write_bytes(data)
    return tmp_path / "volume", create_volume(source, tmp_path / "volume", KEY), files


def test_every_flipped_byte_is_found_or_does_no_harm(small: tuple[Path, FspfTag, dict[bytes, bytes]]) -> None:
    """Each byte of each file of a volume is flipped in turn: an error, or exactly what was written."""
    directory, tag, files = small
    refused = 0
    for path in directory.iterdir():
        original = path.read_bytes()
        for position in range(len(original)):
            path.write_bytes(original[:position] + bytes([original[position] ^ 0x10]) + original[position + 1 :])
            try:
                assert contents(directory, tag) == files
            except IntegrityError:
                refused += 1
        path.write_bytes(original)
    # The files' own bytes, one superblock and the pages in use: most of it counts.
    assert refused > 4096
    assert contents(directory, tag) == files


def test_mutations_of_a_larger_volume_never_give_wrong_data(tmp_path: Path) -> None:
    """Cut, extended, exchanged, older and mixed files: an error, or exactly what was written."""
    generator = random.Random(7)  # noqa: S311 # a repeatable order of attacks
    source, directory, older = tmp_path / "in", tmp_path / "volume", tmp_path / "older"
    source.mkdir()
    for number in range(6):
        (source / f"f{number}").write_bytes(generator.randbytes(generator.randrange(1, 4 * CHUNK)))
    before = create_volume(source, directory, KEY)
    shutil.copytree(directory, older)
    with Volume.open(directory, KEY, before) as volume:
        for number in range(0, 6, 2):
            ino = volume.names.lookup(1, b"f%d" % number)
            volume.inodes.write(ino, generator.randrange(CHUNK), generator.randbytes(CHUNK))
        tag = volume.commit()
    files = contents(directory, tag)
    pristine = tmp_path / "pristine"
    shutil.copytree(directory, pristine)
    outcomes = {"refused": 0, "harmless": 0}
    for _ in range(400):
        attack = generator.choice([_flip, _cut, _extend, _swap_files, _swap_chunks, _put_back])
        attack(generator, directory, older)
        try:
            assert contents(directory, tag) == files
            outcomes["harmless"] += 1
        except IntegrityError:
            outcomes["refused"] += 1
        shutil.rmtree(directory)
        shutil.copytree(pristine, directory)
    assert outcomes["refused"] > 200


def _any(generator: random.Random, directory: Path) -> Path:
    return generator.choice(sorted(directory.iterdir()))


def _flip(generator: random.Random, directory: Path, _: Path) -> None:
    path = _any(generator, directory)
    data = bytearray(path.read_bytes())
    data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
    path.write_bytes(data)


def _cut(generator: random.Random, directory: Path, _: Path) -> None:
    path = _any(generator, directory)
    os.truncate(path, generator.randrange(path.stat().st_size))


def _extend(generator: random.Random, directory: Path, _: Path) -> None:
    with _any(generator, directory).open("ab") as file:
        file.write(generator.randbytes(100))


def _swap_files(generator: random.Random, directory: Path, _: Path) -> None:
    one, other = generator.sample(sorted(directory.iterdir()), 2)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def _swap_chunks(generator: random.Random, directory: Path, _: Path) -> None:
    path = _any(generator, directory)
    data = bytearray(path.read_bytes())
    size = 4096 if path.name == PROTECTION_FILE else CHUNK
    one, other = (generator.randrange(0, len(data), size) for _ in range(2))
    data[one : one + size], data[other : other + size] = data[other : other + size], data[one : one + size]
    path.write_bytes(data)


def _put_back(generator: random.Random, directory: Path, older: Path) -> None:
    path = _any(generator, older)
    shutil.copyfile(path, directory / path.name)


def test_an_older_volume_is_refused_as_rolled_back(small: tuple[Path, FspfTag, dict[bytes, bytes]]) -> None:
    """A complete, authentic copy from before is told as what it is, with both states."""
    directory, before, _ = small
    copy = directory.with_name("copy")
    shutil.copytree(directory, copy)
    with Volume.open(directory, KEY, before) as volume:
        volume.names.make(1, b"new", 0o100644)
        tag = volume.commit()
    with pytest.raises(RollbackError, match=f"is in state {before} .*, expected state {tag}"):
        Volume.open(copy, KEY, tag)


def test_links_and_pipes_in_the_storage_lead_nowhere(
    small: tuple[Path, FspfTag, dict[bytes, bytes]], tmp_path: Path
) -> None:
    """Something else than a regular file in place of ciphertext is refused: not followed, not waited for."""
    directory, tag, _ = small
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


class Keeper:
    """Remembers a tag as a CAS does: moves by compare-and-swap."""

    def __init__(self, tag: FspfTag) -> None:
        self.tag = tag

    def advance(self, expected: FspfTag | None, new: FspfTag) -> None:
        """Move if the expected tag is in force."""
        if self.tag not in (expected, new):
            raise ConflictError(f"in state {self.tag}, expected {expected}")
        self.tag = new


class PowerLost(Exception):  # an event of the test, not an error of ours
    """The machine stops here."""


def test_power_lost_at_any_step_leaves_the_state_that_the_keeper_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever write was the last one, also in part, the volume opens whole in the keeper's state."""
    source, base = tmp_path / "in", tmp_path / "base"
    source.mkdir()
    generator = random.Random(3)  # noqa: S311 # repeatable content
    for number in range(4):
        (source / f"f{number}").write_bytes(generator.randbytes(2 * CHUNK + number))
    first = create_volume(source, base, KEY)
    old = contents(base, first)
    steps = 0
    for budget in _budgets():
        directory = tmp_path / "volume"
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(base, directory)
        keeper = Keeper(first)
        with monkeypatch.context() as patch:
            done = _commit_with_power_for(budget, directory, keeper, patch)
        if done:
            assert keeper.tag != first
            assert contents(directory, keeper.tag) == _changed(old)
            break
        assert contents(directory, keeper.tag) == (old if keeper.tag == first else _changed(old))
        # And the service goes on from there.
        with Volume.open(directory, KEY, keeper.tag, keeper=keeper) as volume:
            volume.names.make(1, b"after", 0o100644)
            volume.commit()
        steps += 1
    assert steps > 10


def _budgets() -> Iterator[int]:
    """Yield how many bytes may be written before the power goes: finely at first, then in larger steps."""
    total = 0
    while total < 64 << 20:
        yield total
        total += 1 + total // 8


def _changed(files: dict[bytes, bytes]) -> dict[bytes, bytes]:
    changed = dict(files)
    changed[b"f0"] = changed[b"f0"][:100] + b"x" * CHUNK + changed[b"f0"][100 + CHUNK :]
    del changed[b"f1"]
    changed[b"f2"] = b"short"
    changed[b"moved"] = changed.pop(b"f3")
    changed[b"new"] = b"n" * (CHUNK + 1)
    return changed


def _commit_with_power_for(budget: int, directory: Path, keeper: Keeper, patch: pytest.MonkeyPatch) -> bool:
    """Change a volume and commit it on a machine that writes so many bytes and no more; return whether it could."""
    left = budget
    write, unlink = BackingFile.pwrite, Backing.unlink

    def limited_write(self: BackingFile, data: bytes | memoryview, offset: int) -> None:
        nonlocal left
        write(self, bytes(data)[: max(left, 0)], offset)
        left -= len(data)
        if left < 0:
            raise PowerLost

    def limited_unlink(self: Backing, path: bytes) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise PowerLost
        unlink(self, path)

    patch.setattr(BackingFile, "pwrite", limited_write)
    patch.setattr(Backing, "unlink", limited_unlink)
    volume = Volume.open(directory, KEY, keeper.tag, keeper=keeper)
    try:
        inodes, names = volume.inodes, volume.names
        inodes.write(names.lookup(1, b"f0"), 100, b"x" * CHUNK)
        names.unlink(1, b"f1")
        inodes.truncate(names.lookup(1, b"f2"), 0)
        inodes.write(names.lookup(1, b"f2"), 0, b"short")
        names.rename(1, b"f3", 1, b"moved")
        inodes.write(names.make(1, b"new", 0o100644), 0, b"n" * (CHUNK + 1))
        volume.commit()
    except PowerLost:
        return False
    finally:
        volume.close()
    return True
