"""The main protection file of a service or an image: the regions of its root, made on a trusted machine.

It is made unencrypted, gets its regions and files, and is encrypted last; only then do its key and tag exist. Not
thread-safe.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self

from bannock.errors import InputError
from bannock.files import sync_directory
from bannock.shield.format.backing import Backing, BackingFile
from bannock.shield.format.pages import Header, Pager, read_headers
from bannock.shield.format.seal import page_sealer
from bannock.shield.format.tree import Tree
from bannock.shield.original import is_original
from bannock.shield.protection import Opening, ProtectionFile, present, storage_faults
from bannock.shield.regions import Protection
from bannock.shield.volume import Volume, add_region
from bannock.values import FSPF_KEY_BYTES, FspfKey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bannock.shield.format.seal import RandomBytes
    from bannock.shield.protection import TagKeeper
    from bannock.shield.regions import Region
    from bannock.values import FspfTag

__all__ = ["Fspf", "encrypt_fspf", "headers", "newest_tag"]

#: Behind every key of the tree.
_END: Final = b"\xff" * 9


class Fspf:
    """An open main protection file; a context manager."""

    def __init__(self, protection: ProtectionFile, backing: Backing) -> None:
        self.protection = protection
        self._backing = backing
        self._volumes: list[Volume] = []

    @classmethod
    def create(cls, path: Path, *, random: RandomBytes = os.urandom) -> FspfTag:
        """Make one without regions, which is not encrypted yet, and return its tag.

        Raises:
            InputError: something stands at the path.
            EnvironmentFault: it cannot be written.
        """
        if path.is_symlink() or path.exists():
            raise InputError(f"{path} exists already", hint="remove it, or name another file")
        with _opened(path, writable=True) as backing:
            how = Opening(key=None, random=random, clock=time.time_ns)
            return ProtectionFile.create(backing, _name(path), how, where=str(path)).commit()

    @classmethod
    def open(
        cls,
        path: Path,
        key: FspfKey | None = None,
        tag: FspfTag | tuple[FspfTag, ...] | None = None,
        *,
        writable: bool = True,
        keeper: TagKeeper | None = None,
        ordered: bool = False,
        random: RandomBytes = os.urandom,
    ) -> Self:
        """Open one.

        Args:
            path: of the file.
            key: its key; None for one that is not encrypted yet.
            tag: of the state that is expected, or of several of which one is; None: the newest authentic one.
            writable: whether it may be changed.
            keeper: learns of new states.
            ordered: whether the newest state on the disk has to be whole at every moment, since it will be opened
                without being named.
            random: where keys and nonces come from.

        Raises:
            InputError: there is no such file, or no protection file; a key is missing, or given for one that is not
                encrypted.
            RollbackError, IntegrityError, ConflictError, EnvironmentFault: as :meth:`Volume.open`.
        """
        _require_kind(path, encrypted=key is not None)
        tags = () if tag is None else tag if isinstance(tag, tuple) else (tag,)
        how = Opening(key=key, writable=writable, keeper=keeper, ordered=ordered, random=random, clock=time.time_ns)
        backing = _directory_of(path, writable=writable)
        try:
            with storage_faults(f"cannot read {path}"):
                return cls(ProtectionFile.open(backing, _name(path), how, tags, where=str(path)), backing)
        except BaseException:
            backing.close()
            raise

    @property
    def regions(self) -> tuple[Region, ...]:
        """The regions, in the order of their paths."""
        return self.protection.regions

    @property
    def encrypted(self) -> bool:
        """Whether the file itself is encrypted; if it is not, its tag proves nothing."""
        return not self.protection.state.public

    @property
    def tag(self) -> FspfTag:
        """The tag of the state that was committed last."""
        return present(self.protection.tag)

    @property
    def generation(self) -> int:
        """How many commits there were."""
        return self.protection.state.generation

    def add_region(self, region: Region) -> None:
        """Add an empty region.

        Raises:
            InputError: there is one at that path.
        """
        if any(region.path == other.path for other in self.regions):
            raise InputError(f"there is a region {region.path} already")
        if region.kept:
            made = add_region(self.protection, region, self._backing, adopting=True)
            # The region is opened anew for its files, so this handle must have nothing left to write.
            made.inodes.flush()
            made.inodes.confirmed()
        else:
            self.protection.add_region(region, 0)

    def open_region(
        self, path: str, directory: Path | None, *, writable: bool = True, scratch: Path | None = None
    ) -> Volume:
        """Open a region whose files are in the tree.

        Args:
            path: of the region.
            directory: where its files are; None, if they are only to be recorded where they stay (an authenticated
                region).
            writable: whether it may be changed.
            scratch: a directory for changes that are forgotten at the end.

        Raises:
            InputError: there is no such region, or it has no files in the tree.
            EnvironmentFault: the directory cannot be read.
        """
        region, root = self.protection.find(path)
        if not root:
            kind = "ephemeral" if region.ephemeral else "not protected"
            raise InputError(f"region {path} is {kind}, so the protection file has no files of it")
        if directory is None and region.protection is not Protection.AUTHENTICATED:
            raise InputError(f"region {path} is {region.protection}, so its files need a directory to be written to")
        # Who only looks at a state must not remove what that state has no use for: another one may be in force.
        writable = writable and (self.protection.how.writable or scratch is not None)
        kept = writable and scratch is None
        backing = self._backing if directory is None else Backing(directory, writable=kept)
        volume = Volume(
            self.protection, region, root, backing, writable=writable, scratch=scratch, adopting=directory is None
        )  # fmt: skip
        self._volumes.append(volume)
        return volume

    def commit(self) -> FspfTag:
        """Commit the changes of all regions (:meth:`ProtectionFile.commit`)."""
        return self.protection.commit()

    def close(self) -> None:
        """Close the file and its regions; what was not committed is lost."""
        for volume in self._volumes:
            if volume.backing is not self._backing:
                volume.close()
        self._backing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def encrypt_fspf(path: Path, *, random: RandomBytes = os.urandom) -> tuple[FspfTag, FspfKey]:
    """Seal a protection file anew under a random key, and return its tag and the key.

    The new file takes the place of the old one at once, or not at all.

    Raises:
        InputError: there is no such file, or it is encrypted already.
        EnvironmentFault: it cannot be written.
    """
    if not _newest(path).public:
        raise InputError(f"{path} is encrypted already", hint="scone fspf show --tag tells the tag of its state")
    key = FspfKey(random(FSPF_KEY_BYTES))
    with Fspf.open(path, random=random) as source, _opened(path, writable=True) as backing:
        aside = backing.create(_name(path) + b".new")
        try:
            with storage_faults(f"cannot write {path}"):
                tag = _copy_tree(source.protection, backing.open(aside), key, random)
                backing.open(aside).sync()
                os.rename(path.parent / os.fsdecode(aside), path)  # noqa: PTH104 # beside pathlib's own rename
                sync_directory(path.parent)
        except BaseException:
            backing.unlink(aside)
            raise
    return tag, key


def headers(path: Path) -> list[Header]:
    """Return what a protection file says of its states without a key, the newest first; none if it is no such file.

    Raises:
        EnvironmentFault: it cannot be read.
    """
    with _opened(path, writable=False) as backing:
        return read_headers(backing.open(_name(path)))


def newest_tag(path: Path) -> FspfTag:
    """Return the tag of the newest state, as the file claims it: whether it is authentic, only the key can tell.

    Raises:
        InputError: there is no such file, or it is no protection file.
        EnvironmentFault: it cannot be read.
    """
    return _newest(path).tag


def _newest(path: Path) -> Header:
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    found = headers(path)
    if not found:
        raise InputError(
            f"{path} is no file-system protection file of a version that is known here",
            hint="it is of SCONE's own format, and can be converted: scone fspf import" if is_original(path) else None,
        )
    return found[0]


def _require_kind(path: Path, *, encrypted: bool) -> None:
    public = _newest(path).public
    if public and encrypted:
        raise InputError(
            f"{path} is not encrypted, and a key was given", hint="run scone fspf encrypt, or omit the key"
        )
    if not public and not encrypted:
        raise InputError(f"{path} is encrypted, so its key is needed", hint="set SCONE_FSPF_KEY, or give the key")


def _copy_tree(source: ProtectionFile, file: BackingFile, key: FspfKey, random: RandomBytes) -> FspfTag:
    """Write the state of a protection file into an empty file, under a key and as its own first state."""
    state = Pager.new_superblock(random)
    pager = Pager(file, page_sealer(key, random), state)
    tree = Tree(pager, state.root)
    for entry, value in source.tree.walk(b"", _END):
        tree.put(entry, value)
    root = tree.flush()
    made = replace(
        state, generation=1, root=root, free=pager.flush_free(), pages=pager.pages,
        next_inode=source.numbers.following,
    )  # fmt: skip
    tag, block, offset = pager.seal_superblock(made)
    file.pwrite(block, offset)
    return tag


@contextmanager
def _opened(path: Path, *, writable: bool) -> Iterator[Backing]:
    backing = _directory_of(path, writable=writable)
    try:
        with storage_faults(f"cannot open {path}"):
            yield backing
    finally:
        backing.close()


def _directory_of(path: Path, *, writable: bool) -> Backing:
    if not path.name:
        raise InputError(f"{path} is not the name of a file")
    return Backing(path.parent, writable=writable)


def _name(path: Path) -> bytes:
    return os.fsencode(path.name)
