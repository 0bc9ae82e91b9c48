"""Details of POSIX and Linux that programs rely on, and clean refusals of what a volume does not keep."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import resource
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.shield.fsx import punch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.shield.hosting import Host

pytestmark = [pytest.mark.fuse, pytest.mark.root]

_CHUNK = 64 << 10
#: EOPNOTSUPP, which is the same number on Linux.
_UNSUPPORTED = "ENOTSUP"
_UTIME_NOW, _UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2


def refusal(action: Callable[[], object]) -> str:
    """Return the name of the error that an action is refused with."""
    with pytest.raises(OSError, match=r"\[Errno") as caught:
        action()
    return errno.errorcode[caught.value.errno or 0]


def call(name: str, *arguments: object) -> None:
    """Call a function of the C library that Python does not have."""
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


# -- refused cleanly


@pytest.mark.parametrize("kind", ["IFCHR", "IFBLK", "IFIFO", "IFSOCK"])
def test_special_files_are_refused(host: Host, kind: str) -> None:
    """What has no content to protect is not made, and nothing is left of it."""
    mode = getattr(stat, f"S_{kind}") | 0o600
    assert refusal(lambda: os.mknod(host.path / "special", mode, os.makedev(1, 3))) in {_UNSUPPORTED, "EPERM"}
    assert list(host.path.iterdir()) == []


def test_sockets_are_refused(host: Host) -> None:
    """A socket cannot be bound to a name in a volume."""
    with socket.socket(socket.AF_UNIX) as sock:
        assert refusal(lambda: sock.bind(str(host.path / "socket"))) in {_UNSUPPORTED, "EPERM"}


def test_extended_attributes_are_refused(host: Host) -> None:
    """Every call says EOPNOTSUPP, which programs such as cp and tar take for what it is."""
    path = host.path / "file"
    path.touch()
    assert refusal(lambda: os.setxattr(path, "user.name", b"value")) == _UNSUPPORTED
    assert refusal(lambda: os.getxattr(path, "user.name")) == _UNSUPPORTED
    assert refusal(lambda: os.listxattr(path)) == _UNSUPPORTED
    assert refusal(lambda: os.removexattr(path, "user.name")) == _UNSUPPORTED


def test_files_that_never_have_a_name_are_refused_and_made_otherwise(host: Host) -> None:
    """O_TMPFILE gives EOPNOTSUPP, so temporary files are made the other way."""
    assert refusal(lambda: os.open(host.path, os.O_TMPFILE | os.O_RDWR)) == _UNSUPPORTED
    with tempfile.TemporaryFile(dir=host.path) as file:
        file.write(b"text")
        file.seek(0)
        assert file.read() == b"text"
        assert list(host.path.iterdir()) == []


def test_whiteouts_are_refused(host: Host) -> None:
    """RENAME_WHITEOUT would leave a device behind."""
    (host.path / "file").write_bytes(b"text")
    old, new = os.fsencode(host.path / "file"), os.fsencode(host.path / "new")
    assert refusal(lambda: call("renameat2", -100, old, -100, new, 4)) == "EINVAL"
    assert (host.path / "file").read_bytes() == b"text"


# -- names


def test_long_names(host: Host) -> None:
    """255 bytes are a name, 256 are not, and a link leads over 4,095 bytes at most."""
    longest = "ü" * 127 + "x"
    (host.path / longest).write_bytes(b"text")
    (host.path / ("d" * 255)).mkdir()
    (host.path / ("d" * 255) / ("f" * 255)).touch()
    for made in (Path.touch, Path.mkdir, lambda path: path.symlink_to("x"), lambda path: path.stat()):
        path = host.path / ("n" * 256)
        assert refusal(lambda made=made, path=path: made(path)) == "ENAMETOOLONG"  # type: ignore[misc]
    assert refusal(lambda: (host.path / longest).rename(host.path / ("n" * 256))) == "ENAMETOOLONG"
    (host.path / "link").symlink_to("l" * 4095)
    host.remount()
    assert (host.path / longest).read_bytes() == b"text"
    assert (host.path / ("d" * 255) / ("f" * 255)).exists()
    assert str((host.path / "link").readlink()) == "l" * 4095


def test_paths_longer_than_a_path_may_be(host: Host) -> None:
    """Directories can be nested deeper than PATH_MAX, as with every file system, and keep their files."""
    name, depth = "d" * 200, 60
    directory = os.open(host.path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=directory)
        directory = _down(directory, name)
    file = os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=directory)
    os.write(file, b"deep")
    os.close(file)
    os.close(directory)
    host.remount()
    directory = os.open(host.path, os.O_RDONLY)
    for _ in range(depth):
        directory = _down(directory, name)
    file = os.open("file", os.O_RDONLY, dir_fd=directory)
    assert os.read(file, 10) == b"deep"
    os.close(file)
    os.close(directory)
    shutil.rmtree(host.path / name)
    assert list(host.path.iterdir()) == []


def _down(directory: int, name: str) -> int:
    below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=directory)
    os.close(directory)
    return below


def test_names_of_any_bytes(host: Host) -> None:
    """Whatever is neither a slash nor zero can be in a name."""
    names = {os.fsdecode(bytes([number]) * 3) for number in range(1, 256) if number != ord("/")}
    for name in names:
        (host.path / name).mkdir()
    host.remount()
    assert {path.name for path in host.path.iterdir()} == names


def test_directories_are_moved(host: Host) -> None:
    """A directory goes over an empty one, not over a full one, and never below itself; ``..`` and counts follow."""
    for path in ("a/below", "b/full", "empty"):
        (host.path / path).mkdir(parents=True)
    (host.path / "file").touch()
    a, b, below = host.path / "a", host.path / "b", host.path / "a/below"
    assert refusal(lambda: a.rename(below / "a")) == "EINVAL"
    assert refusal(lambda: a.rename(below)) == "EINVAL"
    assert refusal(lambda: a.replace(b)) == "ENOTEMPTY"
    assert refusal(lambda: below.replace(a)) == "ENOTEMPTY"
    assert refusal(lambda: a.replace(host.path / "file")) == "ENOTDIR"
    assert refusal(lambda: (host.path / "file").replace(a)) == "EISDIR"
    below.replace(b / "full")
    a.replace(host.path / "empty")
    assert sorted(path.name for path in host.path.iterdir()) == ["b", "empty", "file"]
    (host.path / "empty").rename(b / "full/in")
    assert (b / "full/in/..").stat().st_ino == (b / "full").stat().st_ino
    assert [path.stat().st_nlink for path in (host.path, b, b / "full", b / "full/in")] == [3, 3, 3, 2]
    host.remount()
    assert [path.stat().st_nlink for path in (host.path, b, b / "full", b / "full/in")] == [3, 3, 3, 2]
    assert (b / "full/in/../..").samefile(b)


def test_a_thousand_names_of_one_file(host: Host) -> None:
    """Hard links are counted, up and down."""
    first = host.path / "0"
    first.write_bytes(b"text")
    for number in range(1, 1000):
        (host.path / str(number)).hardlink_to(first)
    assert first.stat().st_nlink == 1000
    host.remount()
    for number in range(999):
        (host.path / str(number)).unlink()
    assert (host.path / "999").stat().st_nlink == 1
    assert (host.path / "999").read_bytes() == b"text"


def test_a_directory_that_changes_while_it_is_read(host: Host) -> None:
    """Of 20,000 entries those that stay are listed exactly once, whatever comes and goes, for two readers at once."""
    count = 20_000
    for number in range(count):
        os.close(os.open(host.path / f"{number:05}", os.O_CREAT | os.O_WRONLY))
    readers = [os.scandir(host.path), os.scandir(host.path)]
    seen: list[list[str]] = [[], []]
    for number in range(0, count, 2):
        for reader, names in zip(readers, seen, strict=True):
            names.extend(_next_names(reader, 2))
        (host.path / f"{number:05}").unlink()
        if number % 8 == 0:
            os.close(os.open(host.path / f"{number * 7919 % count:05}.new", os.O_CREAT | os.O_WRONLY))
    staying = {f"{number:05}" for number in range(1, count, 2)}
    for reader, names in zip(readers, seen, strict=True):
        names.extend(entry.name for entry in reader)
        assert len(names) == len(set(names))
        assert staying <= set(names)
    assert staying <= {path.name for path in host.path.iterdir()}


def _next_names(reader: Iterator[os.DirEntry[str]], count: int) -> Iterator[str]:
    for _, entry in zip(range(count), reader, strict=False):
        yield entry.name


# -- files


def test_times_are_set(host: Host) -> None:
    """utimensat(2) sets both times to the nanosecond, one of them, or now; and a link's own."""
    path = host.path / "file"
    path.touch()
    os.utime(path, ns=(1_234_567_890_123_456_789, 9_876_543_210_987_654_321 // 10))
    assert path.stat().st_atime_ns == 1_234_567_890_123_456_789
    assert path.stat().st_mtime_ns == 987_654_321_098_765_432
    times = (ctypes.c_long * 4)(0, _UTIME_OMIT, 42, 7)
    call("utimensat", -100, os.fsencode(path), times, 0)
    assert path.stat().st_atime_ns == 1_234_567_890_123_456_789
    assert path.stat().st_mtime_ns == 42_000_000_007
    times = (ctypes.c_long * 4)(0, _UTIME_NOW, 0, _UTIME_OMIT)
    call("utimensat", -100, os.fsencode(path), times, 0)
    assert path.stat().st_atime > 1_600_000_000
    (host.path / "link").symlink_to("file")
    os.utime(host.path / "link", ns=(5, 6), follow_symlinks=False)
    assert (host.path / "link").lstat().st_mtime_ns == 6
    assert path.stat().st_mtime_ns == 42_000_000_007


def test_changes_move_the_times(host: Host) -> None:
    """Writing and truncating move the time of modification, chmod that of change alone, reading neither."""
    path = host.path / "file"
    path.write_bytes(b"text")
    changes: dict[str, Callable[[], object]] = {
        "write": lambda: path.write_bytes(b"more"),
        "truncate": lambda: os.truncate(path, 1),
        "chmod": lambda: path.chmod(0o600),
        "read": path.read_bytes,
    }
    moved = {}
    for what, change in changes.items():
        os.utime(path, ns=(0, 0))
        before = path.stat()
        # Longer than the kernel's clock stands still for.
        time.sleep(0.02)
        change()
        after = path.stat()
        moved[what] = (after.st_mtime_ns != before.st_mtime_ns, after.st_ctime_ns != before.st_ctime_ns)
    assert moved == {
        "write": (True, True), "truncate": (True, True), "chmod": (False, True), "read": (False, False),
    }  # fmt: skip
    os.utime(host.path, ns=(0, 0))
    (host.path / "new").touch()
    assert host.path.stat().st_mtime_ns != 0


def test_5000_open_files(host: Host) -> None:
    """Thousands of files can be open at once, in the application without the shield running out of its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = 5000
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(count + 500, hard)), hard))
    descriptors: list[int] = []
    try:
        for number in range(count):
            descriptors.append(os.open(host.path / str(number), os.O_RDWR | os.O_CREAT))
            os.write(descriptors[-1], b"%d" % number)
        host.commit()
        for number, descriptor in enumerate(descriptors):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            assert os.pread(descriptor, 10, 0) == b"%d" % number
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_copies_made_by_the_kernel(host: Host, tmp_path: Path) -> None:
    """copy_file_range(2) copies within a volume, sendfile(2) into it and out of it as well."""
    data = os.urandom(5 * _CHUNK + 77)
    (host.path / "source").write_bytes(data)
    (tmp_path / "plain").write_bytes(data)
    for source in (host.path / "source", tmp_path / "plain"):
        for target in (host.path / "target", tmp_path / "target"):
            _send_file(source, target, len(data))
            assert target.read_bytes() == data
            target.unlink()
    _copy_range(host.path / "source", host.path / "copy", len(data))
    assert (host.path / "copy").read_bytes() == data
    _copy_range(host.path / "source", host.path / "part", 1000, 65_000)
    assert (host.path / "part").read_bytes() == data[65_000:66_000]


def _copy_range(source: Path, target: Path, length: int, offset: int = 0) -> None:
    with source.open("rb") as reading, target.open("wb") as writing:
        while length:
            count = os.copy_file_range(reading.fileno(), writing.fileno(), length, offset)
            assert count
            length, offset = length - count, offset + count


def _send_file(source: Path, target: Path, length: int) -> None:
    with source.open("rb") as reading, target.open("wb") as writing:
        sent = 0
        while sent < length:
            sent += os.sendfile(writing.fileno(), reading.fileno(), sent, length - sent)


def test_room_on_the_disk(host: Host) -> None:
    """statfs(2) tells the room of the storage below, and how long names may be."""
    ours, theirs = os.statvfs(host.path), os.statvfs(host.directory)
    assert ours.f_namemax == 255
    assert ours.f_frsize * ours.f_blocks == theirs.f_frsize * theirs.f_blocks
    assert 0 < ours.f_bavail <= ours.f_bfree <= ours.f_blocks


def test_sparse_files_take_little_room(host: Host) -> None:
    """st_blocks, which du(1) shows, counts what is written and not how far away it is."""
    with (host.path / "sparse").open("wb") as file:
        file.seek(1 << 36)
        file.write(b"x" * _CHUNK)
        file.truncate(1 << 37)
    (host.path / "full").write_bytes(os.urandom(10 * _CHUNK))
    host.remount()
    sparse, full = (host.path / "sparse").stat(), (host.path / "full").stat()
    assert sparse.st_size == 1 << 37
    assert _CHUNK <= 512 * sparse.st_blocks <= 4 * _CHUNK
    assert 10 * _CHUNK <= 512 * full.st_blocks <= 12 * _CHUNK
    with (host.path / "sparse").open("rb") as file:
        assert os.pread(file.fileno(), 10, (1 << 36) - 5) == b"\0\0\0\0\0xxxxx"
        assert os.pread(file.fileno(), 10, (1 << 37) - 5) == bytes(5)
    assert sum(path.stat().st_blocks * 512 for path in host.directory.rglob("*")) < 4 << 20


def test_holes_are_cut_and_give_room_back(host: Host) -> None:
    """fallocate(2) makes a hole that reads as zeros, and what was there is not stored any more."""
    with (host.path / "file").open("w+b") as file:
        file.write(b"x" * (16 * _CHUNK))
        file.flush()
        host.commit()
        punch(file.fileno(), _CHUNK // 2, 14 * _CHUNK)
        assert os.pread(file.fileno(), 16 * _CHUNK, 0) == (
            b"x" * (_CHUNK // 2) + bytes(14 * _CHUNK) + b"x" * (3 * _CHUNK // 2)
        )
    host.remount()
    assert (host.path / "file").read_bytes()[_CHUNK // 2 :].startswith(bytes(14 * _CHUNK))
    assert (host.path / "file").read_bytes()[-3 * _CHUNK // 2 :] == b"x" * (3 * _CHUNK // 2)


def test_nothing_that_was_written_is_taken_for_a_hole(host: Host) -> None:
    """SEEK_DATA and SEEK_HOLE, by which cp and tar skip holes, lead past no data, durable or not yet."""
    with (host.path / "file").open("w+b") as file:
        for offset in (0, 10 * _CHUNK + 5, 20 * _CHUNK):
            os.pwrite(file.fileno(), b"data", offset)
            assert _found_by_seeking(file.fileno()).count(b"data") == offset // (10 * _CHUNK) + 1
        host.commit()
        assert _found_by_seeking(file.fileno()).count(b"data") == 3
    subprocess.run(["/bin/cp", "--sparse=auto", host.path / "file", host.path / "copy"], check=True)
    assert (host.path / "copy").read_bytes() == (host.path / "file").read_bytes()


def _found_by_seeking(descriptor: int) -> bytes:
    found, offset, size = b"", 0, os.fstat(descriptor).st_size
    while offset < size:
        try:
            start = os.lseek(descriptor, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break
        offset = os.lseek(descriptor, start, os.SEEK_HOLE)
        found += os.pread(descriptor, offset - start, start)
    return found


def test_maps_shared_and_private(host: Host) -> None:
    """A shared map is seen by other processes at once, a private one by nobody, and both show the file."""
    path = host.path / "file"
    path.write_bytes(b"a" * 200_000)
    look = "import sys; print(open(sys.argv[1], 'rb').read()[150_000:150_005])"
    with path.open("r+b") as file:
        with mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE) as area:
            area[150_000:150_005] = b"local"
            assert _output(look, path) == repr(b"aaaaa")
        with mmap.mmap(file.fileno(), 0) as area:
            area[150_000:150_005] = b"there"
            assert _output(look, path) == repr(b"there")
            os.pwrite(file.fileno(), b"again", 150_000)
            assert area[150_000:150_005] == b"again"
    host.remount()
    assert path.read_bytes()[149_999:150_006] == b"aagaina"


def _output(program: str, *arguments: object) -> str:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_programs_and_libraries_run_from_a_volume(host: Host) -> None:
    """A binary and a script are executed, and a library is loaded, from a volume that was just mounted."""
    import _ctypes  # noqa: PLC0415 # any library outside of the interpreter

    shutil.copy("/bin/true", host.path / "binary")
    shutil.copy(_ctypes.__file__, host.path)
    (host.path / "script").write_text("#!/bin/sh\necho here\n")
    (host.path / "script").chmod(0o755)
    host.remount()
    subprocess.run([host.path / "binary"], check=True)
    assert subprocess.run([host.path / "script"], check=True, capture_output=True).stdout == b"here\n"
    assert _output(
        "import sys; sys.path.insert(0, sys.argv[1]); import _ctypes; print(_ctypes.__file__)", host.path
    ) == (str(host.path / Path(_ctypes.__file__).name))


def test_sizes_that_cannot_be(host: Host) -> None:
    """What is beyond the largest file is refused as elsewhere, and the file stays."""
    (host.path / "file").write_bytes(b"text")
    assert refusal(lambda: os.truncate(host.path / "file", -1)) == "EINVAL"
    with (host.path / "file").open("r+b") as file:
        assert refusal(lambda: os.pwrite(file.fileno(), b"x", (1 << 63) - 1)) in {"EFBIG", "EINVAL"}
    assert (host.path / "file").read_bytes() == b"text"
