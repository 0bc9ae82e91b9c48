"""The server of the kernel's FUSE protocol: what it is asked, what it answers to nonsense, and how it ends."""

from __future__ import annotations

import errno
import json
import os
import random
import socket
import struct
import subprocess
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING, cast

import pytest

from bannock.shield.fuse import FuseServer
from bannock.shield.fuse.protocol import Opcode
from bannock.shield.volume import Volume
from tests.integration.shield.hosting import KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bannock.values import FspfTag
    from tests.integration.shield.hosting import Host

HEADER = struct.Struct("=IIQQIIIHH")
OUT = struct.Struct("=IiQ")
PATIENCE = 20.0
SILENT = {Opcode.FORGET, Opcode.BATCH_FORGET}


class Talk:
    """The kernel's side of a server that has no mount: requests as bytes, and their answers."""

    def __init__(self, volumes: list[tuple[str, Volume]], base: Path) -> None:
        self.kernel, server = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.kernel.settimeout(PATIENCE)
        self.kernel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self._server_end = server
        self.server = FuseServer(base, volumes)
        self.server._descriptor = server.fileno()
        self.server._commits.start()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        from bannock.shield.fuse.branch import Request  # noqa: PLC0415 # the test's own loop in place of the server's

        request = Request()
        while data := self._server_end.recv(1 << 21):
            self.server._handle(request, memoryview(data))

    def send(self, opcode: int, node: int, body: bytes = b"", *, length: int | None = None, unique: int = 1) -> None:
        """Ask something."""
        total = HEADER.size + len(body) if length is None else length
        self.kernel.send(HEADER.pack(total, opcode, unique, node, 0, 0, 1, 0, 0) + body)

    def ask(self, opcode: int, node: int, body: bytes = b"", *, length: int | None = None) -> tuple[int, bytes]:
        """Ask something and return the errno and the answer."""
        self.send(opcode, node, body, length=length)
        answer = self.kernel.recv(1 << 21)
        size, number, unique = OUT.unpack_from(answer)
        assert (size, unique) == (len(answer), 1)
        return -number, answer[OUT.size :]

    def node(self, parent: int, name: bytes) -> int:
        """Return the node of a name."""
        number, answer = self.ask(Opcode.LOOKUP, parent, name + b"\0")
        assert number == 0
        found: int = struct.unpack_from("=Q", answer)[0]
        return found

    def close(self) -> None:
        """End."""
        self.kernel.close()
        self._thread.join()
        self.server._commits.stop()
        self._server_end.close()


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Volume]:
    """Give a volume with a file, a directory and a link."""
    with Volume.create(tmp_path / "volume", KEY) as volume:
        names, root = volume.names, volume.root
        volume.inodes.write(names.make(root, b"file", 0o100644), 0, b"x" * 100_000)
        names.make(names.make(root, b"directory", 0o40755), b"below", 0o100600)
        names.symlink(root, b"link", b"file")
        volume.commit()
        yield volume


@pytest.fixture
def talk(volume: Volume, tmp_path: Path) -> Iterator[Talk]:
    """Give a server to talk to."""
    talk = Talk([("/data", volume)], tmp_path)
    yield talk
    talk.close()


def read_in(offset: int, size: int) -> bytes:
    """Return the body of a READ or a READDIR."""
    return struct.pack("=QQIIQII", 0, offset, size, 0, 0, 0, 0)


def test_what_is_not_served_is_said_once_and_for_all(talk: Talk) -> None:
    """ENOSYS keeps the kernel from asking again: for opening, closing, extended attributes, locks, and the unknown."""
    root = talk.node(1, b"0")
    served = {int(opcode) for opcode in Opcode}
    for opcode in [*range(60), 4096, 0xFFFFFFFF]:
        if opcode not in served:
            assert talk.ask(opcode, root, bytes(64)) == (errno.ENOSYS, b"")
    assert talk.ask(Opcode.IOCTL, root, bytes(32)) == (errno.ENOTTY, b"")


def test_requests_that_make_no_sense(talk: Talk) -> None:
    """Every kind of request, cut anywhere or with noise behind its header, is answered or passed over, and no more."""
    generator = random.Random(5)  # noqa: S311 # a repeatable order
    nodes = [0, 1, 2, 255, talk.node(1, b"0"), talk.node(talk.node(1, b"0"), b"file"), 1 << 20, (1 << 64) - 1]
    for opcode in sorted(set(Opcode) - SILENT):
        for length in (0, 1, 7, 8, 39, 40, 64, 90):
            for node in nodes:
                raw = generator.randbytes(length)
                number, _ = talk.ask(opcode, node, raw, length=generator.choice([None, None, 0, 40, 1 << 31]))
                assert 0 <= number < 134
    for opcode in sorted(SILENT):
        for node in nodes:
            talk.send(opcode, node, generator.randbytes(generator.randrange(40)))
    talk.kernel.send(b"short")
    assert talk.node(1, b"0") == nodes[4]


def test_who_forgets_more_than_was_told_does_no_harm(talk: Talk) -> None:
    """Counts of lookups that do not fit are cut at nothing."""
    root = talk.node(1, b"0")
    file = talk.node(root, b"file")
    talk.send(Opcode.FORGET, file, struct.pack("=Q", 1 << 63))
    talk.send(Opcode.FORGET, file, struct.pack("=Q", 1))
    talk.send(Opcode.BATCH_FORGET, 0, struct.pack("=IIQQ", 1, 0, 99 << 8, 1))
    assert talk.node(root, b"file") == file


def listing(talk: Talk, node: int, size: int, *, plus: bool) -> list[str]:
    """Return the names of a directory, read in parts of a size."""
    names, position = list[str](), 0
    head = 128 if plus else 0
    while True:
        number, answer = talk.ask(Opcode.READDIRPLUS if plus else Opcode.READDIR, node, read_in(position, size))
        assert number == 0
        if not answer:
            return names
        at = 0
        while at < len(answer):
            _, position, length, _ = struct.unpack_from("=QQII", answer, at + head)
            names.append(answer[at + head + 24 : at + head + 24 + length].decode())
            at += (head + 24 + length + 7) & ~7


@pytest.mark.parametrize("plus", [False, True])
@pytest.mark.parametrize("size", [512, 4096, 1 << 20])
def test_a_listing_in_parts(talk: Talk, volume: Volume, size: int, *, plus: bool) -> None:
    """However much is asked for at once, every name comes once, in order, behind the two dots."""
    directory = volume.names.make(volume.root, b"many", 0o40755)
    expected = [f"{number:04}" + "n" * (number % 100) for number in range(300)]
    for name in expected:
        volume.names.make(directory, name.encode(), 0o100644)
    assert listing(talk, talk.node(talk.node(1, b"0"), b"many"), size, plus=plus) == [".", "..", *expected]


def test_a_damaged_inode_does_not_hide_its_neighbours(
    talk: Talk, volume: Volume, caplog: pytest.LogCaptureFixture
) -> None:
    """It is listed by name alone, and who asks for it gets the error; the log names it."""
    ino = volume.names.lookup(volume.root, b"file")
    volume.inodes._cache.pop(ino, None)
    volume._protection.tree.delete(struct.pack(">QB", ino, 1))
    root = talk.node(1, b"0")
    assert listing(talk, root, 4096, plus=True) == [".", "..", "directory", "file", "link"]
    assert talk.ask(Opcode.LOOKUP, root, b"file\0")[0] == errno.EIO
    assert f"/data/file: input/output error: inode {ino} is missing" in caplog.messages


def test_a_defect_is_an_error_of_one_request(
    talk: Talk, volume: Volume, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What nobody foresaw becomes EIO and one line in the log, and the server goes on."""
    root = talk.node(1, b"0")
    file = talk.node(root, b"file")

    def broken(ino: int) -> object:
        raise ZeroDivisionError(f"inode {ino}")

    with monkeypatch.context() as patch:
        patch.setattr(volume.inodes, "get", broken)
        assert talk.ask(Opcode.GETATTR, file, bytes(16)) == (errno.EIO, b"")
        assert talk.ask(Opcode.GETATTR, file, bytes(16)) == (errno.EIO, b"")
    assert talk.ask(Opcode.GETATTR, file, bytes(16))[0] == 0
    lines = [line for line in caplog.messages if "ZeroDivisionError" in line]
    assert lines == [f"/data/file: request 3 failed: ZeroDivisionError: inode {file >> 8}"]


def test_a_volume_that_may_not_be_changed(volume: Volume, tmp_path: Path) -> None:
    """Every change is EROFS, and reading goes on."""
    tag = volume.tag
    with Volume.open(tmp_path / "volume", KEY, tag, writable=False) as copy:
        talk = Talk([("/data", copy)], tmp_path)
        root = talk.node(1, b"0")
        file = talk.node(root, b"file")
        for opcode, node, body in [
            (Opcode.MKNOD, root, struct.pack("=IIII", 0o100644, 0, 0, 0) + b"new\0"),
            (Opcode.MKDIR, root, struct.pack("=II", 0o755, 0) + b"new\0"),
            (Opcode.SYMLINK, root, b"new\0target\0"),
            (Opcode.LINK, root, struct.pack("=Q", file) + b"new\0"),
            (Opcode.UNLINK, root, b"file\0"),
            (Opcode.RMDIR, root, b"directory\0"),
            (Opcode.RENAME, root, struct.pack("=Q", root) + b"file\0new\0"),
            (Opcode.RENAME2, root, struct.pack("=QII", root, 1, 0) + b"file\0new\0"),
            (Opcode.SETATTR, file, struct.pack("=I84x", 8)),
            (Opcode.WRITE, file, struct.pack("=QQIIQII", 0, 0, 1, 0, 0, 0, 0) + b"x"),
            (Opcode.FALLOCATE, file, struct.pack("=QQQII", 0, 0, 1 << 20, 0, 0)),
        ]:
            assert talk.ask(opcode, node, body) == (errno.EROFS, b""), opcode.name
        assert talk.ask(Opcode.READ, file, read_in(99_999, 10)) == (0, b"x")
        assert talk.ask(Opcode.FSYNC, file, bytes(16)) == (0, b"")
        talk.close()


def test_the_mount_itself_is_no_volume(volume: Volume, tmp_path: Path) -> None:
    """Its root has a directory for each volume; nothing is made in it, and nothing moves between volumes."""
    with Volume.create(tmp_path / "other", KEY) as second:
        second.commit()
        talk = Talk([("/one", volume), ("/other", second)], tmp_path)
        one, other = talk.node(1, b"0"), talk.node(1, b"1")
        for name in (b"2", b"x", b"-1", "٣".encode()):
            assert talk.node(1, name) == 0
        assert talk.ask(Opcode.MKDIR, 1, struct.pack("=II", 0o755, 0) + b"new\0")[0] == errno.EPERM
        assert talk.ask(Opcode.SETATTR, 1, bytes(88))[0] == errno.EPERM
        assert talk.ask(Opcode.READDIRPLUS, 1, read_in(0, 4096)) == (0, b"")
        assert talk.ask(Opcode.FSYNCDIR, 1, bytes(16)) == (0, b"")
        links: int = struct.unpack_from("=I", talk.ask(Opcode.GETATTR, 1, bytes(16))[1], 16 + 64)[0]
        assert links == 4
        assert talk.ask(Opcode.RENAME, one, struct.pack("=Q", other) + b"file\0file\0")[0] == errno.EXDEV
        file = talk.node(one, b"file")
        assert talk.ask(Opcode.LINK, other, struct.pack("=Q", file) + b"file\0")[0] == errno.EXDEV
        talk.close()


class SlowKeeper:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.go = threading.Semaphore(0)

    def advance(self, expected: FspfTag | None, new: FspfTag) -> None:
        """Move, some time."""
        del expected, new
        self.asked.release()
        assert self.go.acquire(timeout=PATIENCE)


def test_while_a_commit_is_under_way_files_are_read_and_changes_wait(tmp_path: Path) -> None:
    """A slow keeper delays who waits for it and who changes something, and nobody else; nothing is lost."""
    keeper = SlowKeeper()
    keeper.go.release()
    with Volume.create(tmp_path / "volume", KEY, keeper=keeper) as volume:
        volume.inodes.write(volume.names.make(volume.root, b"file", 0o100644), 0, b"before")
        volume.commit()
        keeper.asked.acquire()
        talk = Talk([("/data", volume)], tmp_path)
        root = talk.node(1, b"0")
        file = talk.node(root, b"file")
        write = struct.pack("=QQIIQII", 0, 0, 6, 0, 0, 0, 0)
        assert talk.ask(Opcode.WRITE, file, write + b"during")[0] == 0
        committing = threading.Thread(target=_fsync, args=(talk.server, file, 7))
        committing.start()
        assert keeper.asked.acquire(timeout=PATIENCE)
        # One that is answered later, and one that is answered now.
        talk.send(Opcode.WRITE, file, write + b"after!", unique=8)
        assert talk.ask(Opcode.READ, file, read_in(0, 10)) == (0, b"during")
        assert talk.node(root, b"file") == file
        keeper.go.release()
        committing.join()
        answers = [OUT.unpack_from(talk.kernel.recv(100)) for _ in range(2)]
        assert sorted((unique, number) for _, number, unique in answers) == [(7, 0), (8, 0)]
        assert talk.ask(Opcode.READ, file, read_in(0, 10)) == (0, b"after!")
        keeper.go.release()
        talk.close()


def _fsync(server: FuseServer, node: int, unique: int) -> None:
    from bannock.shield.fuse.branch import Request  # noqa: PLC0415 # as another thread of the server would

    server._handle(Request(), memoryview(HEADER.pack(56, Opcode.FSYNC, unique, node, 0, 0, 1, 0, 0) + bytes(16)))


# -- in a real mount


class Counted:
    """A volume that is mounted, and the requests that were made of it."""

    def __init__(self, base: Path) -> None:
        self.volume = Volume.create(base / "volume", KEY)
        self.volume.commit()
        point = base / "mount"
        point.mkdir()
        self.server = FuseServer(point, [("/data", self.volume)])
        self.requests: Counter[str] = Counter()
        handle = self.server._handle

        def counting(request: object, data: memoryview) -> None:
            opcode = int.from_bytes(data[4:8], sys.byteorder)
            if opcode not in SILENT:
                self.requests[Opcode(opcode).name if opcode in set(Opcode) else str(opcode)] += 1
            handle(request, data)  # type: ignore[arg-type] # passed on

        self.server._handle = counting  # type: ignore[method-assign] # a tap
        self.server.start()
        self.path = point / "0"

    def run(self, script: str) -> str:
        """Have a program do something in the volume; it is there before anything is counted."""
        program = f"import os, sys\nos.chdir(sys.argv[1])\nos.stat('.')\ninput()\n{script}"
        command = [sys.executable, "-c", program, str(self.path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            self.requests.clear()
            output, _ = process.communicate("\n")
        assert process.returncode == 0
        return output


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[Counted]:
    """Give an empty volume, mounted."""
    mount = Counted(tmp_path)
    yield mount
    mount.server.stop()
    mount.volume.close()


@pytest.mark.fuse
@pytest.mark.root
def test_the_kernel_asks_no_more_than_it_has_to(counted: Counted) -> None:
    """What was told is not asked again: names, names that are not there, attributes, listings, links, open files."""
    make = "os.mkdir('d')\nfor n in range(200): open(f'd/{n}', 'w').write('text')\nos.symlink('d/1', 'link')"
    counted.run(make)
    with open("/proc/sys/vm/drop_caches", "w") as drop:  # noqa: PTH123
        drop.write("3")
    walk = "[os.stat(e.path) for e in os.scandir('d')]; print(len(os.listdir('d')))"
    assert counted.run(walk) == "200\n"
    # A LOOKUP of the directory, its entries with all that stat(2) needs, and the end.
    assert counted.requests.total() <= 6, counted.requests
    again = """
for _ in range(100):
    assert not os.path.exists('missing')
    os.readlink('link')
    os.stat('d/7')
    file = os.open('d/8', os.O_RDONLY)
    assert os.read(file, 10) == b'text'
    os.close(file)
print(len(os.listdir('d')))
"""
    assert counted.run(again) == "200\n"
    assert counted.requests.total() <= 6, counted.requests


@pytest.mark.fuse
@pytest.mark.root
def test_large_pieces(counted: Counted) -> None:
    """A file that is written and read in one go moves in pieces of a megabyte."""
    counted.run("open('big', 'wb').write(bytes(16 << 20))")
    assert counted.requests["WRITE"] <= 20, counted.requests
    with open("/proc/sys/vm/drop_caches", "w") as drop:  # noqa: PTH123
        drop.write("3")
    counted.run("assert len(open('big', 'rb').read()) == 16 << 20")
    assert counted.requests["READ"] <= 40, counted.requests


@pytest.mark.fuse
@pytest.mark.root
def test_a_server_that_is_killed_is_an_error_and_not_a_hang(host: Host) -> None:
    """Whoever uses its mount gets ENOTCONN, at once."""
    (host.path / "file").write_text("text")
    with (host.path / "file").open() as file:
        os.kill(host.pid, 9)
        os.waitid(os.P_PID, host.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(OSError, match=r"not connected|aborted"):
            os.fsync(file.fileno())
        with pytest.raises(OSError, match="not connected") as caught:
            (host.path / "new").touch()
        assert caught.value.errno == errno.ENOTCONN


@pytest.mark.fuse
def test_it_can_be_started_and_stopped_in_a_row(public_path: Path) -> None:
    """Also with a mount in use by others, every stop ends, and what was made until then is there."""
    _in_a_user_namespace(
        """
for turn in range(20):
    server = FuseServer(point, [("/data", volume)])
    server.start()
    script = f"cd {point}/0; while echo {turn} >> log{turn}; do :; done 2>/dev/null"
    child = subprocess.Popen(["/bin/sh", "-c", script])
    while not os.path.exists(f"{point}/0/log{turn}"): pass
    server.stop()
    child.kill(); child.wait()
    volume.commit()
print(json.dumps(len(list(volume.names.entries(volume.root)))))
""",
        public_path,
        lambda result: result == 20,
    )


@pytest.mark.fuse
def test_a_user_mounts_in_a_namespace_of_its_own(public_path: Path) -> None:
    """No right on the machine and no program of the system is needed, only a user namespace and /dev/fuse."""
    _in_a_user_namespace(
        """
server = FuseServer(point, [("/data", volume)])
server.start()
script = f"cd {point}/0; echo text > file; ln file hard; mkdir d; mv hard d; cat d/hard; stat -c %u file"
print(json.dumps(subprocess.run(["/bin/sh", "-c", script], check=True, capture_output=True, text=True).stdout))
server.stop()
""",
        public_path,
        lambda result: result == "text\n0\n",
    )


def _in_a_user_namespace(script: str, base: Path, good: Callable[[object], bool]) -> None:
    """Run a script without rights outside of namespaces of its own, where it has a volume and a place to mount."""
    (base / "mount").mkdir()
    program = f"""
import json, os, subprocess, sys
from pathlib import Path
from bannock import linux
from bannock.shield.fuse import FuseServer
from bannock.shield.volume import Volume
from bannock.values import FspfKey
user, group = os.geteuid(), os.getegid()
try:
    linux.unshare(linux.CLONE_NEWUSER | linux.CLONE_NEWNS)
except OSError as error:
    print(json.dumps(["no namespaces", str(error)]))
    sys.exit()
Path("/proc/self/setgroups").write_text("deny")
Path("/proc/self/uid_map").write_text(f"0 {{user}} 1")
Path("/proc/self/gid_map").write_text(f"0 {{group}} 1")
volume, point = Volume.create(Path({str(base / "volume")!r}), FspfKey(bytes(32))), Path({str(base / "mount")!r})
{script}
volume.close()
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = cast("object", json.loads(done.stdout.splitlines()[-1]))
    if isinstance(result, list):
        pytest.skip(result[1])
    assert good(result), result
