"""Unmodified programs on a mounted volume: by FUSE, and in memory."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from bannock.errors import IntegrityError
from bannock.shield.memory import MemoryVolume
from bannock.shield.pack import create_volume
from bannock.shield.unpack import extract_volume
from bannock.shield.volume import Volume
from bannock.values import FspfKey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bannock.values import FspfTag

KEY = FspfKey(bytes(range(32)))


class Mounted:
    """A volume that is mounted by FUSE at ``path``."""

    def __init__(self, base: Path) -> None:
        from bannock.shield.fuse import FuseServer  # noqa: PLC0415 # not installed where there is no FUSE

        self.directory = base / "volume"
        self.volume = Volume.create(self.directory, KEY)
        self.volume.commit()
        self._point = base / "mount"
        self._point.mkdir()
        self._server = FuseServer(self._point, [("/data", self.volume)])
        self._server.start()
        self.path = self._point / "0"

    def stop(self) -> FspfTag:
        """Unmount, and return the last state."""
        self._server.stop()
        tag = self.volume.commit()
        self.volume.close()
        return tag


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Mounted]:
    """Give an empty volume, mounted."""
    mount = Mounted(tmp_path)
    yield mount
    if mount._server._threads[0].is_alive():
        mount.stop()


def shell(script: str, directory: Path) -> str:
    """Run a script in a directory and return what it prints."""
    # The script goes there by itself: a child that does it before exec(3) holds up this process, which is the server.
    command = ["/bin/bash", "-euc", f'cd "$0"; {script}', str(directory)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.fuse
@pytest.mark.root
def test_programs_make_move_link_and_remove_files(mounted: Mounted, tmp_path: Path) -> None:
    """What a shell does to a mounted volume comes out of it again, and the ciphertext holds none of it."""
    script = """
    mkdir -p a/b; echo one > a/b/one; mv a/b/one a/two; ln a/two a/hard; ln -s ../two a/b/soft
    cat a/b/soft; chmod 640 a/two; touch -d 2001-02-03T04:05:06Z a/two; mv a/b a/c; rmdir a/c 2>/dev/null || rm -r a/c
    printf %s middle | dd of=a/two bs=1 seek=1 conv=notrunc status=none; stat -c '%a %h %s' a/two; ls -A a
    """
    assert shell(script, mounted.path) == "one\n640 2 7\nhard\ntwo\n"
    tag = mounted.stop()
    extract_volume(mounted.directory, KEY, tag, tmp_path / "out")
    assert (tmp_path / "out/a/hard").read_text() == "omiddle"
    assert (tmp_path / "out/a/hard").samefile(tmp_path / "out/a/two")
    assert all(b"middle" not in path.read_bytes() for path in mounted.directory.rglob("*") if path.is_file())


@pytest.mark.fuse
@pytest.mark.root
def test_a_real_tree_survives_tar_and_git(mounted: Mounted) -> None:
    """A source tree is unpacked, versioned and compared on the volume without a difference."""
    import json as module  # noqa: PLC0415 # any package of the standard library serves as a tree

    source = os.path.dirname(module.__file__)  # noqa: PTH120
    shell(
        f"""
        tar -C {source} -cf - . | tar -xf -
        git init -q . && git add -A
        git -c user.name=test -c user.email=test@example.org commit -qm all && git gc -q && git fsck --strict
        diff -r --exclude=.git {source} .
        """,
        mounted.path,
    )


@pytest.mark.fuse
@pytest.mark.root
def test_a_file_without_a_name_lives_until_it_is_closed(mounted: Mounted) -> None:
    """An open file can be unlinked, written and read, as databases and temporary files do."""
    with (mounted.path / "gone").open("w+b") as file:
        (mounted.path / "gone").unlink()
        file.write(b"x" * 200_000)
        file.seek(100_000)
        assert file.read() == b"x" * 100_000
    assert list(mounted.path.iterdir()) == []


MAPS_AND_LOCKS = """
import fcntl, mmap, os
with open("map", "w+b") as file, open("map", "r+b") as other:
    file.truncate(1 << 20)
    with mmap.mmap(file.fileno(), 0) as area:
        area[500_000:500_005] = b"hello"
        area.flush()
    print(os.pread(other.fileno(), 5, 500_000).decode())
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("locked")
"""


@pytest.mark.fuse
@pytest.mark.root
def test_memory_maps_and_locks_work(mounted: Mounted) -> None:
    """A shared writable map changes the file, and a second locker is kept out."""
    # In a process of its own: a page fault in this one would wait for the server with the interpreter's lock held.
    (mounted.path / "program.py").write_text(MAPS_AND_LOCKS)
    assert shell(f"{sys.executable} program.py", mounted.path) == "hello\nlocked\n"


@pytest.mark.fuse
@pytest.mark.root
def test_fsync_moves_the_state(mounted: Mounted) -> None:
    """After fsync(2) returns, the state on the disk holds the data, whatever happens to the mount."""
    before = mounted.volume.tag
    with (mounted.path / "durable").open("wb") as file:
        file.write(b"kept")
        file.flush()
        os.fsync(file.fileno())
        after = mounted.volume.tag
    assert after is not None
    assert after != before
    with Volume.open(mounted.directory, KEY, after, writable=False) as copy:
        assert copy.inodes.read(copy.names.lookup(1, b"durable"), 0, 10) == b"kept"


@pytest.mark.fuse
@pytest.mark.root
def test_a_changed_byte_is_an_input_output_error_and_a_line_in_the_log(
    mounted: Mounted, caplog: pytest.LogCaptureFixture
) -> None:
    """The application gets EIO for the damaged file alone, and the log names it."""
    (mounted.path / "dir").mkdir()
    (mounted.path / "dir/bad").write_bytes(b"b" * 300_000)
    (mounted.path / "good").write_bytes(b"g" * 300_000)
    os.sync()
    mounted.volume.commit()
    ciphertext = mounted.directory / "dir" / "bad"
    data = bytearray(ciphertext.read_bytes())
    data[150_000] ^= 1
    ciphertext.write_bytes(data)
    with open("/proc/sys/vm/drop_caches", "w") as drop:  # noqa: PTH123
        drop.write("3")
    with pytest.raises(OSError, match="Input/output error") as caught:
        (mounted.path / "dir/bad").read_bytes()
    assert caught.value.errno == errno.EIO
    assert (mounted.path / "good").read_bytes() == b"g" * 300_000
    assert any(
        "/data/dir/bad: input/output error: bytes 131072 to 196607 were changed" in line for line in caplog.messages
    )


@pytest.mark.fuse
@pytest.mark.root
def test_devices_are_refused(mounted: Mounted) -> None:
    """What has no content to protect is not silently kept as something else."""
    with pytest.raises(OSError, match="Operation not supported"):
        os.mkfifo(mounted.path / "pipe")
    with pytest.raises(OSError, match="not supported"):
        os.setxattr(mounted.path, "user.x", b"1")


class InMemory:
    """A volume that is open in a directory."""

    def __init__(self, base: Path, volume: Volume) -> None:
        self.path = base / "memory"
        self.path.mkdir()
        self.mount = MemoryVolume("/data", volume, self.path)
        self.mount.load()
        self.mount.start()


def test_memory_writes_back_every_kind_of_change(tmp_path: Path) -> None:
    """New, changed, renamed, linked, replaced and removed files are in the volume after the application ends."""
    (tmp_path / "in/keep").mkdir(parents=True)
    for name in ("same", "changed", "removed", "becomes-directory"):
        (tmp_path / "in" / name).write_text(name)
    (tmp_path / "in/keep/file").write_text("kept")

    tag = create_volume(tmp_path / "in", tmp_path / "volume", KEY)
    with Volume.open(tmp_path / "volume", KEY, tag) as volume:
        memory = InMemory(tmp_path, volume)
        shell(
            """
            echo more >> changed; rm removed becomes-directory; mkdir becomes-directory; echo x > becomes-directory/y
            mv keep moved; ln same hard; ln -s same soft; mkdir empty; : > nothing; chmod 600 same
            """,
            memory.path,
        )
        memory.mount.stop()
        final = volume.tag
    assert final is not None
    extract_volume(tmp_path / "volume", KEY, final, tmp_path / "out")
    listing = "find . -printf '%P %y %m %l\\n' | sort; find . -type f | sort | xargs sha256sum"
    assert shell(listing, tmp_path / "out") == shell(listing, memory.path)
    assert (tmp_path / "out/hard").samefile(tmp_path / "out/same")


def test_memory_refuses_a_damaged_file_before_the_application_starts(tmp_path: Path) -> None:
    """There is no read that could fail later, so the start does, and names the file."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/f1.txt").write_text("Hello World\n")
    tag = create_volume(tmp_path / "in", tmp_path / "volume", KEY)
    data = bytearray((tmp_path / "volume/f1.txt").read_bytes())
    data[3] ^= 1
    (tmp_path / "volume/f1.txt").write_bytes(data)
    with Volume.open(tmp_path / "volume", KEY, tag) as volume, pytest.raises(IntegrityError, match=r"f1\.txt"):
        InMemory(tmp_path, volume)


def test_memory_without_changes_keeps_the_state(tmp_path: Path) -> None:
    """An application that only reads leaves the tag as it was."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/f1.txt").write_text("Hello World\n")
    (tmp_path / "in/link").symlink_to("f1.txt")
    os.link(tmp_path / "in/f1.txt", tmp_path / "in/hard")
    tag = create_volume(tmp_path / "in", tmp_path / "volume", KEY)
    with Volume.open(tmp_path / "volume", KEY, tag) as volume:
        memory = InMemory(tmp_path, volume)
        assert (memory.path / "link").read_text() == "Hello World\n"
        memory.mount.stop()
        assert volume.tag == tag


def _many_files(base: Path) -> FspfTag:
    """Make a volume that several processes decrypt together."""
    for number in range(80):
        place = base / "in" / str(number % 3)
        place.mkdir(parents=True, exist_ok=True)
        (place / str(number)).write_bytes(bytes([number]) * (number**3))
        (place / str(number)).chmod(0o444)
    os.link(base / "in/1/79", base / "in/again")
    (base / "in/link").symlink_to("1/79")
    return create_volume(base / "in", base / "volume", KEY)


def _load_together(base: Path, tag: FspfTag) -> Path:
    with Volume.open(base / "volume", KEY, tag) as volume:
        target = base / "memory"
        target.mkdir()
        MemoryVolume("/data", volume, target, processes=3).load()
    return target


def test_memory_by_several_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They give what one gives: contents, modes, times, links, and further names."""
    forked: list[int] = []
    fork = os.fork

    def counted() -> int:
        forked.append(fork())
        return forked[-1]

    monkeypatch.setattr("os.fork", counted)
    found = _load_together(tmp_path, _many_files(tmp_path))
    assert len(forked) == 2
    listing = "find . -printf '%P %y %m %l %n %T@\\n' | sort; find . -type f | sort | xargs sha256sum"
    assert shell(listing, found) == shell(listing, tmp_path / "in")


def test_memory_by_several_processes_refuses_a_damaged_file(tmp_path: Path) -> None:
    """Whichever of them comes by it: the error is the same, and none of them is left."""
    tag = _many_files(tmp_path)
    for number in (75, 76, 77, 78):
        damaged = tmp_path / "volume" / str(number % 3) / str(number)
        whole = damaged.read_bytes()
        damaged.write_bytes(whole[:-1] + b"?")
        with pytest.raises(IntegrityError, match=f"the file '{number % 3}/{number}' in the volume is damaged"):
            _load_together(tmp_path, tag)
        damaged.write_bytes(whole)
        shutil.rmtree(tmp_path / "memory")
