"""Storage that changes what it keeps: every change is found out or harms nothing, and never gives wrong data.

Thousands of random changes of all kinds are in ``test_mutations.py``.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from bannock.errors import BannockError, EnvironmentFault, IntegrityError, RollbackError
from bannock.shield.format.pages import PAGE_BYTES
from bannock.shield.regions import Protection
from bannock.shield.volume import Volume
from tests.unit.shield.support import KEY, OTHER_KEY, find, look, make_file, put, take

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bannock.values import FspfTag
    from tests.unit.shield.support import Disk, Seen


def _small(directory: Path, protection: Protection = Protection.ENCRYPTED) -> tuple[FspfTag, dict[bytes, Seen]]:
    with Volume.create(directory, KEY, protection=protection) as volume:
        make_file(volume, b"file", b"content of a file" * 40, chunk=256)
        make_file(volume, b"d/other", b"another" * 5)
        volume.names.symlink(1, b"link", b"file")
        volume.commit()
        volume.inodes.write(find(volume, b"file"), 300, b"changed")
        return volume.commit(), look(volume)


def _large(directory: Path) -> list[tuple[FspfTag, dict[bytes, Seen], Disk]]:
    """Make a volume of several states; return of each the tag, what is in it, and the disk."""
    states = []
    choose = random.Random(11)  # noqa: S311 # a fixed sequence
    with Volume.create(directory, KEY) as volume:
        for number in range(60):
            data = choose.randbytes(choose.choice([1, 512, 513, 3000]))
            make_file(volume, b"%d/%d" % (number % 7, number), data, mode=0o600 + number % 8)
        for _ in range(4):
            for number in choose.sample(range(60), 8):
                ino = find(volume, b"%d/%d" % (number % 7, number))
                volume.inodes.write(ino, choose.randrange(600), choose.randbytes(700))
            tag = volume.commit()
            states.append((tag, look(volume), take(directory)))
    return states


@pytest.mark.parametrize("protection", [Protection.ENCRYPTED, Protection.AUTHENTICATED])
def test_every_byte_of_every_file(tmp_path: Path, protection: Protection) -> None:
    """Each byte of a small volume is changed in turn: an error of integrity, or what was written, and nothing else."""
    tag, seen = _small(tmp_path, protection)
    found_out = harmless = 0
    for name, data in take(tmp_path).items():
        path = tmp_path / os.fsdecode(name)
        for at in range(len(data)):
            with path.open("r+b") as file:
                file.seek(at)
                file.write(bytes([data[at] ^ (1 << at % 8 or 1)]))
            try:
                with Volume.open(tmp_path, KEY, tag, writable=False) as volume:
                    assert look(volume) == seen
                harmless += 1
            except IntegrityError:
                found_out += 1
            with path.open("r+b") as file:
                file.seek(at)
                file.write(data[at : at + 1])
    assert found_out > PAGE_BYTES, "the bytes that are in use are found out"
    assert harmless > PAGE_BYTES, "those of the state before, and what pads a superblock, harm nothing"


@pytest.mark.parametrize("name", [b"file", b"d/other"])
def test_damaged_file_is_named_and_the_rest_stays_readable(tmp_path: Path, name: bytes) -> None:
    """A changed chunk is an error that says which bytes; other files, and other chunks, are read as before."""
    tag, seen = _small(tmp_path)
    path = tmp_path / os.fsdecode(name)
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    other = b"file" if name == b"d/other" else b"d/other"
    with Volume.open(tmp_path, KEY, tag) as volume:
        ino = find(volume, name)
        with pytest.raises(IntegrityError, match="bytes 0 to "):
            volume.inodes.read(ino, 0, 1000)
        assert volume.inodes.read(ino, 512, 1000) == seen[name].content[512:]
        assert volume.inodes.read(find(volume, other), 0, 1000) == seen[other].content


def test_work_on_a_changed_volume(tmp_path: Path) -> None:
    """Who goes on writing to a volume that was changed gets errors or a good state, and no wrong data."""
    tag, seen = _small(tmp_path / "volume")
    disk = take(tmp_path / "volume")
    choose = random.Random(13)  # noqa: S311 # a fixed sequence
    refused = kept = 0
    for number in range(400):
        directory = put({**disk, **_changed(disk, choose)}, tmp_path / str(number))
        try:
            with Volume.open(directory, KEY, tag) as volume:
                make_file(volume, b"d/new", b"new" * 500)
                volume.inodes.write(find(volume, b"file"), 600, b"middle")
                after = volume.commit()
        except IntegrityError:
            refused += 1
            continue
        kept += 1
        with Volume.open(directory, KEY, after) as volume:
            expected = {name: one.content for name, one in seen.items()}
            expected |= {b"d/new": b"new" * 500}
            expected[b"file"] = expected[b"file"][:600] + b"middle" + expected[b"file"][606:]
            for name in (b"file", b"d/other", b"d/new"):
                with suppress(IntegrityError):
                    assert volume.inodes.read(find(volume, name), 0, 1 << 16) == expected[name]
        shutil.rmtree(directory)
    assert refused > 50
    assert kept > 50


def _changed(disk: Disk, choose: random.Random) -> Disk:
    """Return one file with a change inside."""
    name = choose.choice([*disk, b"volume.fspf", b"volume.fspf"])
    return {name: choose.choice([_flip, _cut, _insert, _blank, _swap])(disk[name], choose)}


def _flip(data: bytes, choose: random.Random) -> bytes:
    at = choose.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << choose.randrange(8)]) + data[at + 1 :]


def _cut(data: bytes, choose: random.Random) -> bytes:
    return data[: choose.randrange(len(data))]


def _insert(data: bytes, choose: random.Random) -> bytes:
    at = choose.randrange(len(data))
    return data[:at] + choose.randbytes(choose.randrange(600)) + data[at + 1 :]


def _blank(data: bytes, choose: random.Random) -> bytes:
    at = choose.randrange(len(data))
    return data[:at] + bytes(min(512, len(data) - at)) + data[at + 512 :]


def _swap(data: bytes, choose: random.Random) -> bytes:
    """Exchange two chunks, or two pages."""
    unit = choose.choice([512, PAGE_BYTES])
    units = [data[at : at + unit] for at in range(0, len(data), unit)]
    one, other = choose.randrange(len(units)), choose.randrange(len(units))
    units[one], units[other] = units[other], units[one]
    return b"".join(units)


def test_old_states_are_refused(tmp_path: Path) -> None:
    """A volume that was put back, or its protection file alone, does not open in the state that is expected."""
    states = _large(tmp_path / "volume")
    newest, _, disk = states[-1]
    for tag, seen, old in states[:-1]:
        with pytest.raises(RollbackError, match=rf"in state {tag} .*expected state {newest}"):
            Volume.open(put(old, tmp_path / f"whole-{tag}"), KEY, newest)
        with Volume.open(tmp_path / f"whole-{tag}", KEY, tag) as volume:
            assert look(volume) == seen, "it is a good volume, only not the one that is expected"
        mixed = put({**disk, b"volume.fspf": old[b"volume.fspf"]}, tmp_path / f"mixed-{tag}")
        with pytest.raises(RollbackError):
            Volume.open(mixed, KEY, newest)
        if tag != states[-2][0]:
            with pytest.raises(RollbackError):
                Volume.open(tmp_path / "volume", KEY, tag)


def test_old_ciphertext_under_the_new_protection_file(tmp_path: Path) -> None:
    """Files put back to an older state are errors where they have changed since, and never give the older content."""
    states = _large(tmp_path / "volume")
    newest, seen, disk = states[-1]
    directory = put({**states[0][2], b"volume.fspf": disk[b"volume.fspf"]}, tmp_path / "mixed")
    refused = 0
    with Volume.open(directory, KEY, newest, writable=False) as volume:
        for path, expected in seen.items():
            if not stat.S_ISREG(expected.mode):
                continue
            try:
                assert volume.inodes.read(find(volume, path), 0, 1 << 20) == expected.content
            except IntegrityError:
                refused += 1
    assert refused > 10


def test_other_key(tmp_path: Path) -> None:
    """A volume is not authentic under the key of another one, and nothing says what would be."""
    tag, _ = _small(tmp_path)
    with pytest.raises(IntegrityError, match="not authentic under the key") as caught:
        Volume.open(tmp_path, OTHER_KEY, tag)
    assert not isinstance(caught.value, RollbackError)
    assert OTHER_KEY.reveal_hex() not in str(caught.value)


def test_files_of_another_volume(tmp_path: Path) -> None:
    """The same files in another volume under the same key have keys of their own, so theirs are not taken."""
    tag, _ = _small(tmp_path / "one")
    _small(tmp_path / "two")
    shutil.copy(tmp_path / "two" / "file", tmp_path / "one" / "file")
    with Volume.open(tmp_path / "one", KEY, tag) as volume, pytest.raises(IntegrityError):
        look(volume)
    shutil.copy(tmp_path / "two" / "volume.fspf", tmp_path / "one" / "volume.fspf")
    with pytest.raises(RollbackError):
        Volume.open(tmp_path / "one", KEY, tag)


def _link(path: Path, outside: Path) -> None:
    path.symlink_to(outside)


def _directory(path: Path, outside: Path) -> None:
    path.mkdir()
    shutil.copy(outside, path)


def _pipe(path: Path, _: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path, _: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def _nothing(_: Path, __: Path) -> None:
    pass


@pytest.mark.parametrize("kind", [_link, _directory, _pipe, _socket, _nothing], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("name", ["file", "d/other", "volume.fspf"])
@pytest.mark.parametrize("writable", [False, True])
def test_something_else_in_place_of_a_file(
    tmp_path: Path, kind: Callable[[Path, Path], None], name: str, *, writable: bool
) -> None:
    """A link, directory, pipe or socket, or nothing, where a file should be, is an error of integrity at once."""
    directory = tmp_path / "v"
    tag, _ = _small(directory)
    outside = tmp_path / "outside"
    shutil.move(directory / name, outside)
    kind(directory / name, outside)
    with pytest.raises(IntegrityError), Volume.open(directory, KEY, tag, writable=writable) as volume:
        look(volume)


def test_link_in_place_of_a_directory(tmp_path: Path) -> None:
    """A link where a directory of ciphertext should be is not followed, for reading or for writing."""
    directory = tmp_path / "v"
    tag, _ = _small(directory)
    shutil.move(directory / "d", tmp_path / "outside")
    (directory / "d").symlink_to(tmp_path / "outside")
    with Volume.open(directory, KEY, tag) as volume:
        with pytest.raises(IntegrityError):
            volume.inodes.read(find(volume, b"d/other"), 0, 10)
        make_file(volume, b"d/new", b"content")
        volume.names.unlink(find(volume, b"d"), b"other")
        volume.commit()
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["other"]


@pytest.mark.root
def test_device_in_place_of_a_file(tmp_path: Path) -> None:
    """A device where a file should be is an error, and nothing is read from it or written to it."""
    tag, _ = _small(tmp_path)
    (tmp_path / "file").unlink()
    try:
        os.mknod(tmp_path / "file", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("this root may not make devices")
    with Volume.open(tmp_path, KEY, tag) as volume, pytest.raises(BannockError):
        look(volume)


def test_ciphertext_cut_while_the_volume_is_open(tmp_path: Path) -> None:
    """What happens to the storage below an open volume is found out as well."""
    tag, _ = _small(tmp_path)
    with Volume.open(tmp_path, KEY, tag) as volume:
        ino = find(volume, b"file")
        os.truncate(tmp_path / "file", 10)
        with pytest.raises(IntegrityError):
            volume.inodes.read(ino, 0, 1000)


def test_directory_that_is_not_there(tmp_path: Path) -> None:
    """A missing directory is the machine's fault, told as such."""
    with pytest.raises(EnvironmentFault, match="No such file"):
        Volume.open(tmp_path / "nothing", KEY, _small(tmp_path / "v")[0])
