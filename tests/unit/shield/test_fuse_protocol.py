"""The kernel's FUSE protocol against bytes that were put together by hand from the structures of fuse.h."""

from __future__ import annotations

import errno
import os
import struct
from dataclasses import dataclass

import pytest

from bannock.shield.fuse import protocol, replies, requests

SECOND = 1_000_000_000


@dataclass
class Inode:
    """What the kernel is told of."""

    mode: int = 0o100640
    links: int = 2
    uid: int = 1000
    gid: int = 1001
    size: int = 70_000
    accessed: int = 5 * SECOND + 6
    modified: int = -SECOND // 2
    changed: int = 7 * SECOND
    chunk_bytes: int = 65536


#: struct fuse_attr of the inode above, as number 77 with 137 blocks.
ATTR = struct.pack(
    "=QQQqqqIIIIIIIIII", 77, 70_000, 137, 5, -1, 7, 6, SECOND // 2, 0, 0o100640, 2, 1000, 1001, 0, 65536, 0
)


def body(raw: bytes) -> memoryview:
    """Return the bytes of a request behind its header."""
    return memoryview(raw)


def test_a_header() -> None:
    """Length, opcode, unique number, node, user and group are where fuse_in_header has them."""
    raw = struct.pack("=IIQQIIIHH", 50, 26, 1 << 60, 1 << 40, 1000, 1001, 4711, 0, 0)
    assert len(raw) == protocol.HEADER_BYTES
    assert protocol.header(memoryview(raw)) == (50, 26, 1 << 60, 1 << 40, 1000, 1001)


def init(major: int, minor: int, flags: int) -> memoryview:
    """Return an INIT."""
    return body(struct.pack("=IIIII44x", major, minor, 1 << 17, flags, 0))


def test_the_agreement() -> None:
    """Of what the kernel offers, that is taken which both know; sizes are a megabyte."""
    offer = protocol.init(init(7, 45, 0xFFFFFFFF))
    reply = protocol.init_reply(offer, writable=True)
    assert len(reply) == 64
    major, minor, read_ahead, flags, background, congested, most, grain, pages = struct.unpack_from(
        "=IIIIHHIIH", reply
    )
    assert (major, minor, read_ahead, most, grain) == (7, 38, 1 << 17, 1 << 20, 1)
    assert pages * os.sysconf("SC_PAGE_SIZE") == most
    assert congested < background
    # Locks, the umask and opening stay with the kernel: POSIX_LOCKS, ATOMIC_O_TRUNC, DONT_MASK, FLOCK_LOCKS.
    assert not flags & (1 << 1 | 1 << 3 | 1 << 6 | 1 << 10)
    assert protocol.init_reply(offer._replace(flags=0), writable=True)[12:16] == bytes(4)
    (reading,) = struct.unpack_from("=I", protocol.init_reply(offer, writable=False), 12)
    assert flags & ~reading == 1 << 16


@pytest.mark.parametrize(("major", "minor", "flags"), [(6, 99, -1), (8, 0, -1), (7, 30, -1), (7, 40, ~(1 << 17))])
def test_a_kernel_that_does_not_fit(major: int, minor: int, flags: int) -> None:
    """Too old, too new, or without what the server relies on: the mount is refused, and says which version it was."""
    with pytest.raises(OSError, match=rf"version {major}\.{minor}") as caught:
        protocol.init(init(major, minor, flags & 0xFFFFFFFF))
    assert caught.value.errno == errno.EPROTO


def test_names() -> None:
    """A name ends with a zero byte, and two names with two."""
    assert requests.name(body(b"file\0")) == b"file"
    assert requests.two_names(body(b"one\0other\0")) == (b"one", b"other")
    assert requests.mknod(body(struct.pack("=IIII", 0o100644, 0, 0o22, 0) + b"f\0")) == (0o100644, b"f")
    assert requests.mkdir(body(struct.pack("=II", 0o755, 0o22) + b"d\0")) == (0o755, b"d")
    assert requests.link(body(struct.pack("=Q", 513) + b"l\0")) == (513, b"l")
    assert requests.rename(body(struct.pack("=Q", 513) + b"a\0b\0")) == (513, 0, b"a", b"b")
    assert requests.rename2(body(struct.pack("=QII", 513, 2, 0) + b"a\0b\0")) == (513, 2, b"a", b"b")


@pytest.mark.parametrize("raw", [b"", b"file", b"\0file"])
def test_names_without_an_end(raw: bytes) -> None:
    """What does not end with a zero byte is no name."""
    with pytest.raises(OSError, match="without an end"):
        requests.name(body(raw))
    with pytest.raises(OSError, match="without an end"):
        requests.two_names(body(b"one\0" + raw))
    with pytest.raises(OSError, match="without an end"):
        requests.two_names(body(b"one"))


def test_reading_and_writing() -> None:
    """Offset and size, and the data, which is not copied; nobody asks for more than was agreed on."""
    assert requests.read(body(struct.pack("=QQIIQII", 9, 1 << 40, 4096, 0, 0, 0, 0))) == (1 << 40, 4096)
    with pytest.raises(OSError, match="1048577 bytes are asked for"):
        requests.read(body(struct.pack("=QQIIQII", 9, 0, (1 << 20) + 1, 0, 0, 0, 0)))
    raw = body(struct.pack("=QQIIQII", 9, 1 << 40, 4, 1 | 4, 0, 0, 0) + b"data")
    offset, data, kill = requests.write(raw)
    assert (offset, bytes(data), kill) == (1 << 40, b"data", True)
    assert data.obj is raw.obj
    with pytest.raises(OSError, match="4 bytes are announced, 3 came"):
        requests.write(raw[:-1])


def test_room_in_a_file() -> None:
    """FALLOCATE has offset, length and mode."""
    assert requests.fallocate(body(struct.pack("=QQQII", 9, 4096, 1 << 33, 3, 0))) == (4096, 1 << 33, 3)


def setattr_in(valid: int) -> memoryview:
    """Return a SETATTR with a value in every field."""
    raw = struct.pack("=IIQQQqqqIIIIIIII", valid, 0, 9, 8, 0, 5, -1, 7, 6, SECOND // 2, 3, 0o100600, 0, 1000, 1001, 0)
    return body(raw)


def test_attributes_to_be_set() -> None:
    """Only what is marked as valid is set."""
    assert requests.set_attributes(setattr_in(0)) == (None,) * 7 + (False,)
    everything = requests.set_attributes(setattr_in(0b111111 | 1 << 10 | 1 << 11))
    assert everything == (0o100600, 1000, 1001, 8, 5 * SECOND + 6, -SECOND // 2, 7 * SECOND + 3, True)
    for bit, field in enumerate(("mode", "uid", "gid", "size", "accessed", "modified")):
        one = requests.set_attributes(setattr_in(1 << bit))
        assert [name for name, value in one._asdict().items() if value not in {None, False}] == [field]
        assert one.only_times == (field in {"accessed", "modified"})
    assert not requests.set_attributes(setattr_in(1 << 11)).only_times


def test_times_out_of_bounds() -> None:
    """What a record cannot keep becomes the nearest time that it can."""
    raw = bytearray(setattr_in(1 << 4 | 1 << 5))
    struct.pack_into("=qq", raw, 32, 1 << 62, -(1 << 62))
    wanted = requests.set_attributes(memoryview(raw))
    assert (wanted.accessed, wanted.modified) == ((1 << 63) - 1, -(1 << 63) + 1)


def test_forgetting() -> None:
    """One node, or many; fewer than announced are refused."""
    assert requests.forget(body(struct.pack("=Q", 3))) == 3
    many = struct.pack("=IIQQQQ", 2, 0, 513, 1, 769, 2)
    assert list(requests.batch_forget(body(many))) == [(513, 1), (769, 2)]
    with pytest.raises(OSError, match="fewer came"):
        requests.batch_forget(body(many[:-1]))
    with pytest.raises(OSError, match="fewer came"):
        requests.batch_forget(body(struct.pack("=II", 0xFFFFFFFF, 0)))


@pytest.mark.parametrize(
    "parse",
    [
        protocol.init,
        requests.mknod,
        requests.mkdir,
        requests.link,
        requests.rename,
        requests.rename2,
        requests.read,
        requests.write,
        requests.fallocate,
        requests.set_attributes,
        requests.forget,
        requests.batch_forget,
    ],
)
def test_requests_that_are_too_short(parse: object) -> None:
    """What is shorter than its structure is told as such, whatever the length."""
    assert callable(parse)
    for length in range(8):
        if length < 4 or parse is not requests.batch_forget:
            with pytest.raises((struct.error, OSError)):
                parse(body(bytes(length)))


def test_answers() -> None:
    """A header says how long the answer is, whether it failed, and whose it is."""
    assert protocol.reply_header(7, 5) == struct.pack("=IiQ", 21, 0, 7)
    assert protocol.error_reply(7, errno.EIO) == struct.pack("=IiQ", 16, -5, 7)
    assert replies.written(4096) == struct.pack("=II", 4096, 0)


def test_an_inode_is_told() -> None:
    """Attributes are where fuse_attr has them, behind how long they are valid; times before 1970 are negative."""
    reply = replies.attributes(77, Inode(), 137)
    seconds, nanoseconds, _ = struct.unpack_from("=QII", reply)
    assert (len(reply), reply[16:]) == (104, ATTR)
    assert (seconds > 86400, nanoseconds) == (True, 0)
    entry = replies.entry(77, Inode(), 137)
    assert (len(entry), struct.unpack_from("=QQ", entry), entry[40:]) == (128, (77, 0), ATTR)
    assert replies.entry_node(entry) == 77


def test_a_name_that_is_not_there_may_be_remembered() -> None:
    """Node 0 with a time that it is valid for: the kernel does not ask again."""
    node, _, valid = struct.unpack_from("=QQQ", replies.NO_ENTRY)
    assert (len(replies.NO_ENTRY), node, valid > 86400) == (128, 0, True)


def test_a_listing_of_names() -> None:
    """Each entry has a number, where the next one is, and its type, and starts at a multiple of eight."""
    out = bytearray(128)
    end = replies.put_entry(out, 0, b"nine byte", 77, 0o100000, 1)
    end = replies.put_entry(out, end, b"d", 78, 0o040000, 2)
    assert end == replies.entry_bytes(b"nine byte") + replies.entry_bytes(b"d")
    assert bytes(out[:end]) == (
        struct.pack("=QQII", 77, 1, 9, 8)
        + b"nine byte".ljust(16, b"\0")
        + struct.pack("=QQII", 78, 2, 1, 4)
        + b"d".ljust(8, b"\0")
    )


def test_a_listing_with_attributes() -> None:
    """Each entry is a fuse_entry_out and a fuse_dirent; one that may not be looked at has node 0."""
    out = bytearray(1024)
    end = replies.put_entry_plus(out, 0, b"nine byte", 77, Inode(), 137, 1)
    second = end
    end = replies.put_name_plus(out, end, b"d", 78, 0o040000, 2)
    end = replies.put_entry_plus(out, end, b"e", 79, Inode(), 137, 3)
    assert bytes(out[:128]) == replies.entry(77, Inode(), 137)
    assert bytes(out[128:second]) == struct.pack("=QQII", 77, 1, 9, 8) + b"nine byte".ljust(16, b"\0")
    assert bytes(out[second : second + 128]) == bytes(128)
    assert bytes(out[second + 128 : second + 160]) == struct.pack("=QQII", 78, 2, 1, 4) + b"d".ljust(8, b"\0")
    assert list(replies.listed_nodes(out[:end])) == [77, 79]


def test_room_on_the_disk() -> None:
    """What statvfs(3) says, and how long names may be."""
    space = os.statvfs("/")
    blocks, free, available, files, free_files, size, longest, fragment = struct.unpack_from(
        "=QQQQQIII", replies.statfs(space, 255)
    )
    assert (blocks, free, available) == (space.f_blocks, space.f_bfree, space.f_bavail)
    assert (files, free_files, size, longest, fragment) == (
        space.f_files, space.f_ffree, space.f_bsize, 255, space.f_frsize,
    )  # fmt: skip
    assert len(replies.statfs(space, 255)) == 80
