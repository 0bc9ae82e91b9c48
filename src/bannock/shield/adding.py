"""Plans to protect a directory: everything that can be refused is refused before anything is written.

What a plan says is looked at once more when it is applied, by those who read and write; it is no lock.
"""

from __future__ import annotations

import difflib
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.errors import EnvironmentFault, InputError
from bannock.shield.fspf import headers
from bannock.shield.leftovers import OF_THE_FILE_SYSTEM
from bannock.shield.pack import add_files, create_volume
from bannock.shield.regions import Protection
from bannock.shield.scan import scan
from bannock.shield.volume import PROTECTION_FILE
from bannock.values import FSPF_KEY_BYTES, FspfKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bannock.shield.fspf import Fspf
    from bannock.shield.scan import Scan
    from bannock.values import FspfTag

__all__ = ["AddingPlan", "VolumePlan", "plan_adding", "plan_volume"]

_REPORTED: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class AddingPlan:
    """Files to be added to a region of a protection file.

    Attributes:
        file: the protection file.
        region: path of the region.
        source: the files.
        output: where ciphertext goes; None where nothing is written.
        content: what the source holds.
    """

    file: Path
    region: str
    source: Path
    output: Path | None
    content: Scan

    def apply(self, fspf: Fspf, observer: Callable[[int], None]) -> FspfTag:
        """Add the files and commit; return the new tag.

        Raises:
            BannockError: as :func:`bannock.shield.pack.add_files`.
        """
        if self.output is not None:
            _make_directory(self.output)
        volume = fspf.open_region(self.region, self.output)
        add_files(volume, self.source, exclude=[self.file], observer=observer)
        return fspf.commit()


def plan_adding(fspf: Fspf, file: Path, region: str, source: Path, output: Path | None) -> AddingPlan:
    """Plan to add a directory to a region; ``output`` is not used where files stay as they are.

    Raises:
        InputError: the region takes no files, the source cannot be kept as a whole, the output is missing, would be
            part of the source, or holds other files of the same names.
    """
    found, _ = fspf.protection.find(region)
    if found.ephemeral:
        raise InputError(
            f"region {region} is ephemeral: it is empty when an application starts, so it has no files to add",
            hint="add it anew with --kernel, or leave addf out",
        )
    if not found.protected:
        raise InputError(
            f"region {region} is not protected: its files are used as they are, so there is nothing to record",
            hint="make it --authenticated or --encrypted, or leave addf out",
        )
    _require_directory(source)
    content = scan(source)
    if found.protection is Protection.AUTHENTICATED:
        return AddingPlan(file=file, region=region, source=source, output=None, content=content)
    if output is None:
        if content.bytes:
            raise InputError(
                f"region {region} is encrypted, so OUTPUT_DIR is needed: the directory that the ciphertext goes to",
                hint=f"what is put there has to be at {found.kernel or '.'} where the application runs",
            )
        # There is no ciphertext, so nothing is written to it.
        return AddingPlan(file=file, region=region, source=source, output=file.absolute().parent, content=content)
    _require_apart(source, output)
    known = {os.fsdecode(path) for path in _ciphertext(fspf, region, output)}
    _require_room(source, output, known)
    return AddingPlan(file=file, region=region, source=source, output=output, content=content)


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumePlan:
    """A volume to be made.

    Attributes:
        source: its first content; None if it is empty.
        directory: where it is made.
        protection: encrypted or authenticated.
        chunk_bytes, key_bytes: of its files.
        remove: what stands in the way and goes first.
        size: how much there is to protect.
    """

    source: Path | None
    directory: Path
    protection: Protection
    chunk_bytes: int
    key_bytes: int
    remove: tuple[Path, ...]
    size: int

    @property
    def protection_file(self) -> Path:
        """Where its protection file is."""
        return self.directory / PROTECTION_FILE

    def apply(
        self, observer: Callable[[int], None], random: Callable[[int], bytes] = os.urandom
    ) -> tuple[FspfTag, FspfKey]:
        """Make the volume; return the tag of its state and its key.

        Raises:
            BannockError: as :func:`bannock.shield.pack.create_volume`.
        """
        key = FspfKey(random(FSPF_KEY_BYTES))
        for path in self.remove:
            _remove(path)
        tag = create_volume(
            self.source,
            self.directory,
            key,
            protection=self.protection,
            chunk_bytes=self.chunk_bytes,
            key_bytes=self.key_bytes,
            observer=observer,
        )
        return tag, key


def plan_volume(
    volume: Path, output: Path | None, *, protection: Protection, chunk_bytes: int, key_bytes: int, force: bool
) -> VolumePlan:
    """Plan to make a volume of the files in ``volume``, at ``output``; without that, where they are.

    Args:
        volume: the content; a directory that does not exist becomes an empty volume.
        output: where the volume is made.
        protection: encrypted or authenticated.
        chunk_bytes: how much is sealed at once.
        key_bytes: length of the files' keys.
        force: whether a former volume at that place is removed.

    Raises:
        InputError: the content cannot be kept as a whole, encryption needs an output, or something is in the way.
    """
    directory = volume if output is None else output
    content = None
    if volume.exists() or output is not None:
        _require_directory(volume)
        content = scan(volume)
    in_place = content is not None and output is None
    former = (directory / PROTECTION_FILE).is_file()
    if in_place and protection is Protection.ENCRYPTED and (content.files if content else 0) > int(former):
        raise InputError(
            f"{volume} has files, and an encrypted volume of them needs OUTPUT_PATH, where the ciphertext goes",
            hint="files are not encrypted in place: each would have to go before it is known that all went well",
        )
    if output is not None:
        _require_apart(volume, output)
    remove = _in_the_way(directory, in_place=in_place, source=volume) if former and force else ()
    if former and not force:
        raise InputError(f"{directory} holds a volume already", hint="name another directory, or --force to remove it")
    if output is not None and not former:
        _require_room(volume, output, set())
    empty = content is None or (in_place and protection is Protection.ENCRYPTED)
    return VolumePlan(
        source=None if empty else volume,
        directory=directory,
        protection=protection,
        chunk_bytes=chunk_bytes,
        key_bytes=key_bytes,
        remove=remove,
        size=content.bytes if content else 0,
    )


def _in_the_way(directory: Path, *, in_place: bool, source: Path) -> tuple[Path, ...]:
    """Return what of a former volume goes: all of its directory, or where its files are the content, only its records.

    Raises:
        InputError: that would not be safe.
    """
    file = directory / PROTECTION_FILE
    states = headers(file)
    if not states:
        raise InputError(f"{file} is no protection file that is known here, so it is not removed")
    if in_place:
        if states[0].generation > 1:
            raise InputError(
                f"the volume in {directory} was written to (commit {states[0].generation}), so its files are not what"
                " they look like: parts of them are in other places",
                hint="take them out with scone fspf check --extract, and make a volume of what you get",
            )
        return (file,)
    here = directory.resolve()
    if source.resolve().is_relative_to(here) or Path.cwd().is_relative_to(here) or directory.is_symlink():
        raise InputError(
            f"{directory} is not emptied: it is above the content or above where you are, or it is a link"
        )
    return tuple(sorted(path for path in directory.iterdir() if path.name != OF_THE_FILE_SYSTEM))


def _remove(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError as error:
        raise EnvironmentFault(f"cannot remove {path}: {error.strerror}") from error


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(f"cannot make the directory {path}: {error.strerror}") from error


def _require_directory(source: Path) -> None:
    if source.is_dir():
        return
    above = source.parent
    names = [path.name for path in above.iterdir() if path.is_dir()] if above.is_dir() else []
    near = difflib.get_close_matches(source.name, names, n=1)
    raise InputError(
        f"{source} is not a directory" if source.exists() else f"there is no directory {source}",
        hint=f"did you mean {above / near[0]}?" if near else None,
    )


def _require_apart(source: Path, output: Path) -> None:
    if output.resolve().is_relative_to(source.resolve()):
        raise InputError(
            f"{output} is {source}, or lies in it: plaintext would stay beside the ciphertext",
            hint="name another directory for the ciphertext",
        )


def _require_room(source: Path, output: Path, known: set[str]) -> None:
    """See that no file of the source has its name taken in the output.

    What is there is kept, and ciphertext gets another name beside it. So plaintext that somebody copied there before
    would be shipped along with the ciphertext.
    """
    taken = [path for path in _files(source) if path not in known and os.path.lexists(output / path)]
    if taken:
        more = [f"and {len(taken) - _REPORTED} more"] if len(taken) > _REPORTED else []
        raise InputError(
            f"{output} has files of the same names as {source}, which are no ciphertext of this protection file",
            reasons=[*(str(output / path) for path in taken[:_REPORTED]), *more],
            hint="remove them (they may be plaintext), or name an empty directory",
        )


def _files(source: Path) -> Iterator[str]:
    for directory, _, names in os.walk(source):
        for name in names:
            path = Path(directory, name)
            if stat.S_ISREG(path.lstat().st_mode):
                yield str(path.relative_to(source))


def _ciphertext(fspf: Fspf, region: str, output: Path) -> Iterator[bytes]:
    """Yield the paths of the ciphertext files that a region has."""
    if not output.is_dir():
        return
    volume = fspf.open_region(region, output, writable=False)
    waiting = [volume.root]
    while waiting:
        for entry in volume.names.entries(waiting.pop()):
            inode = volume.inodes.get(entry.ino)
            if inode.is_directory:
                waiting.append(entry.ino)
            elif inode.slots:
                yield inode.backing
