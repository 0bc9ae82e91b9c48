"""The pages of a protection file: sealed, copied on write, and rooted in a superblock whose tag is the state.

Every page is written to a place that the last confirmed state does not use, and is referred to by its parent
with number, nonce and tag; so a page cannot be changed, exchanged or put back. Two superblocks alternate, so the
state before a commit stays whole until the next commit begins.

Not responsible for what is in the pages. Not thread-safe.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from bannock.errors import IntegrityError
from bannock.shield.format.seal import NONCE_BYTES, TAG_BYTES, RandomBytes, Sealer
from bannock.values import FspfTag

__all__ = [
    "NO_PAGE",
    "PAGE_BYTES",
    "REF_BYTES",
    "Header",
    "PageFile",
    "PageRef",
    "Pager",
    "Superblock",
    "decode_free_list",
    "decode_ref",
    "encode_ref",
    "holds_first_state_at_most",
    "read_headers",
    "read_superblocks",
]

PAGE_BYTES: Final = 4096
VERSION: Final = 1
_MAGIC: Final = b"BNKFSPF1"
_SUPERBLOCKS: Final = 2
_MAX_PAGES: Final = 1 << 40
#: Flag of a superblock: the page key is one that everybody knows.
_PUBLIC: Final = 1

_HEADER: Final = struct.Struct(f"<8sHHIQ16s{NONCE_BYTES}s{TAG_BYTES}s")
_AUTHENTICATED: Final = struct.Struct("<8sHHIQ16s")
_REF: Final = struct.Struct(f"<Q{NONCE_BYTES}s{TAG_BYTES}s")
_PAYLOAD: Final = struct.Struct(f"<{_REF.size}s{_REF.size}sQQ")
_FREE_HEADER: Final = struct.Struct(f"<H{_REF.size}s")
_FREE_NUMBERS: Final = (PAGE_BYTES - _FREE_HEADER.size) // 8
REF_BYTES: Final = _REF.size


class PageFile(Protocol):
    """Where the pages are kept: untrusted storage."""

    def pread(self, size: int, offset: int) -> bytes:
        """Read; less than asked for at the end of the file."""

    def pwrite(self, data: bytes, offset: int) -> None:
        """Write all of it."""


class PageRef(NamedTuple):
    """How a parent knows a page: its number, and the nonce and tag under which it is authentic."""

    page: int
    nonce: bytes
    tag: bytes


NO_PAGE: Final = PageRef(0, bytes(NONCE_BYTES), bytes(TAG_BYTES))


def encode_ref(ref: PageRef) -> bytes:
    """Return the reference in its ``REF_BYTES`` bytes."""
    return _REF.pack(*ref)


def decode_ref(data: bytes) -> PageRef:
    """Parse a reference.

    Raises:
        IntegrityError: it is not of the right size.
    """
    if len(data) != _REF.size:
        raise IntegrityError(f"a page reference has {_REF.size} bytes, found {len(data)}")
    return PageRef(*_REF.unpack(data))


@dataclass(frozen=True, slots=True, kw_only=True)
class Superblock:
    """One state of a protected file system.

    Attributes:
        generation: how many commits led here, from 1.
        identity: 16 random bytes made with the volume; no two volumes share them.
        root, free: the tree, and the stack of free pages.
        pages: how many pages the file has, superblocks included.
        next_inode: the number that the next file gets; numbers are never used again.
        public: the page key is one that everybody knows: the file is not encrypted yet.
        tag: the tag under which this superblock is authentic, which is the state's name (``fspf_tag``).
    """

    generation: int
    identity: bytes
    root: PageRef
    free: PageRef
    pages: int
    next_inode: int
    public: bool = False
    tag: FspfTag | None = None


class Header(NamedTuple):
    """What a superblock says to everybody, authentic or not."""

    generation: int
    public: bool
    tag: FspfTag


class Pager:
    """Reads and writes sealed pages; allocates and frees them.

    A page that is freed is used again only after the commit that freed it is confirmed, however many are tried before.
    """

    def __init__(self, file: PageFile, sealer: Sealer, superblock: Superblock) -> None:
        self._file = file
        self._sealer = sealer
        self.identity = superblock.identity
        self._pages = superblock.pages
        self._pool: list[int] = []
        self._pending: list[int] = []
        #: Written down as free by a commit that is not confirmed.
        self._guarded: set[int] = set()
        self._stack = superblock.free

    @staticmethod
    def new_superblock(random: RandomBytes, *, public: bool = False) -> Superblock:
        """Return the state of a protection file that nothing was written to yet."""
        return Superblock(
            generation=0, identity=random(16), root=NO_PAGE, free=NO_PAGE, pages=_SUPERBLOCKS, next_inode=1,
            public=public,
        )  # fmt: skip

    def read(self, ref: PageRef) -> bytes:
        """Return the content of a page.

        Raises:
            IntegrityError: it is not the page that the reference means.
        """
        if not _SUPERBLOCKS <= ref.page < _MAX_PAGES:
            raise IntegrityError(f"page number {ref.page} is out of range")
        sealed = self._file.pread(PAGE_BYTES, ref.page * PAGE_BYTES)
        try:
            return self._sealer.unseal(ref.nonce, ref.tag, sealed, self._context(ref.page))
        except IntegrityError as error:
            raise IntegrityError(
                f"page {ref.page} of the protection file was changed, or is of another state"
            ) from error

    def write(self, content: bytes) -> PageRef:
        """Seal a page of at most ``PAGE_BYTES`` into a free place; where that fails, the place stays free."""
        page = self._allocate()
        try:
            return self._write_at(page, content)
        except OSError:
            self._pool.append(page)
            raise

    def free(self, page: int) -> None:
        """Give up a page of the current state."""
        self._pending.append(page)

    def flush_free(self) -> PageRef:
        """Write down which pages are free; call it last before :meth:`seal_superblock`."""
        if self._pending and not self._pool and self._stack.page:
            # Else each commit that only frees would take a new page for the list, and the file would grow for ever.
            # Not within the loop, where the list on top may be one that names pages of the confirmed state.
            self._pop_stack()
        while self._pool or self._pending:
            if not self._pool:
                self._pool.append(self._extend())
            freed = self._pending[:_FREE_NUMBERS]
            # The last page of the pool is where the list goes.
            unused = self._pool[:-1][-(_FREE_NUMBERS - len(freed)) :] if len(freed) < _FREE_NUMBERS else []
            numbers = freed + unused
            body = struct.pack(f"<{len(numbers)}Q", *numbers)
            header = _FREE_HEADER.pack(len(numbers), encode_ref(self._stack))
            self._stack = self._write_at(self._pool[-1], header + body)
            del self._pending[: len(freed)], self._pool[-1 - len(unused) :]
            self._guarded.update(freed)
        return self._stack

    def confirmed(self) -> None:
        """Learn that the state which was sealed last is in force: what it has as free may be used."""
        self._guarded.clear()

    def seal_superblock(self, state: Superblock) -> tuple[FspfTag, bytes, int]:
        """Return a state's tag, its superblock, and where that goes: not to the place of the state before it."""
        flags = _PUBLIC if state.public else 0
        fixed = (_MAGIC, VERSION, flags, PAGE_BYTES, state.generation, state.identity)
        payload = _PAYLOAD.pack(
            encode_ref(state.root),
            encode_ref(state.free),
            self._pages,
            state.next_inode,
        )
        nonce, tag, sealed = self._sealer.seal(payload, _AUTHENTICATED.pack(*fixed))
        block = (_HEADER.pack(*fixed, nonce, tag) + sealed).ljust(PAGE_BYTES, b"\0")
        return FspfTag(tag), block, state.generation % _SUPERBLOCKS * PAGE_BYTES

    @property
    def pages(self) -> int:
        """How many pages the file has."""
        return self._pages

    def _context(self, page: int) -> bytes:
        return self.identity + page.to_bytes(8, "little")

    def _write_at(self, page: int, content: bytes) -> PageRef:
        nonce, tag, sealed = self._sealer.seal(content.ljust(PAGE_BYTES, b"\0"), self._context(page))
        self._file.pwrite(sealed, page * PAGE_BYTES)
        return PageRef(page, nonce, tag)

    def _extend(self) -> int:
        self._pages += 1
        return self._pages - 1

    def _allocate(self) -> int:
        if not self._pool and self._stack.page:
            self._pop_stack()
        return self._pool.pop() if self._pool else self._extend()

    def _pop_stack(self) -> None:
        numbers, below = decode_free_list(self.read(self._stack), self._pages)
        self._pool = sorted(set(numbers) - self._guarded, reverse=True)
        self._pending += sorted(self._guarded.intersection(numbers))
        self._pending.append(self._stack.page)
        self._stack = below


def decode_free_list(content: bytes, pages: int) -> tuple[tuple[int, ...], PageRef]:
    """Return the numbers in a list of free pages, in a file of that many pages, and the reference to the list below.

    Raises:
        IntegrityError: it is longer than its page, or names pages that cannot be free.
    """
    count, below = _FREE_HEADER.unpack_from(content)
    if count > _FREE_NUMBERS:
        raise IntegrityError(f"a list of free pages claims {count} numbers, {_FREE_NUMBERS} fit")
    numbers: tuple[int, ...] = struct.unpack_from(f"<{count}Q", content, _FREE_HEADER.size)
    if numbers and not _SUPERBLOCKS <= min(numbers) <= max(numbers) < pages:
        raise IntegrityError(f"a list of free pages names one that is not free in a file of {pages}")
    return numbers, decode_ref(below)


def read_superblocks(file: PageFile, sealer: Sealer, *, public: bool = False) -> list[Superblock]:
    """Return the authentic states in a protection file, the newest first; there may be none."""
    found = []
    for slot in range(_SUPERBLOCKS):
        block = file.pread(PAGE_BYTES, slot * PAGE_BYTES)
        state = _decode_superblock(block, sealer)
        if state is not None and state.generation % _SUPERBLOCKS == slot and state.public == public:
            found.append(state)
    return sorted(found, key=lambda state: -state.generation)


def read_headers(file: PageFile) -> list[Header]:
    """Return what the superblocks say without a key, the newest first; whoever can write the file can make this up."""
    found = []
    for slot in range(_SUPERBLOCKS):
        block = file.pread(PAGE_BYTES, slot * PAGE_BYTES)
        if (fields := _decode_header(block)) is not None and fields.generation % _SUPERBLOCKS == slot:
            found.append(fields)
    return sorted(found, key=lambda header: -header.generation)


def holds_first_state_at_most(file: PageFile, sealer: Sealer) -> bool:
    """Whether a protection file holds no state, or the first one of a volume under this key and none after it."""
    for slot in range(_SUPERBLOCKS):
        block = file.pread(PAGE_BYTES, slot * PAGE_BYTES)
        if any(block) and ((state := _decode_superblock(block, sealer)) is None or state.generation != 1):
            return False
    return True


def _decode_header(block: bytes) -> Header | None:
    if len(block) != PAGE_BYTES:
        return None
    magic, version, flags, page_bytes, generation, _, _, tag = _HEADER.unpack_from(block)
    if (magic, version, page_bytes) != (_MAGIC, VERSION, PAGE_BYTES) or flags not in (0, _PUBLIC):
        return None
    return Header(generation, flags == _PUBLIC, FspfTag(tag))


def _decode_superblock(block: bytes, sealer: Sealer) -> Superblock | None:
    if (header := _decode_header(block)) is None:
        return None
    identity, nonce = _HEADER.unpack_from(block)[5:7]
    sealed = block[_HEADER.size : _HEADER.size + _PAYLOAD.size]
    try:
        payload = sealer.unseal(nonce, header.tag.value, sealed, block[: _AUTHENTICATED.size])
    except IntegrityError:
        return None
    root, free, pages, next_inode = _PAYLOAD.unpack(payload)
    return Superblock(
        generation=header.generation, identity=identity, root=decode_ref(root), free=decode_ref(free), pages=pages,
        next_inode=next_inode, public=header.public, tag=header.tag,
    )  # fmt: skip
