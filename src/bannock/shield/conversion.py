"""Protection files of the original format into ours: verified by the old records, sealed or recorded anew.

Everything is verified before anything is written, and once more while it is read for writing: the storage is as little
trusted here as anywhere.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError, IntegrityError
from bannock.shield.fspf import Fspf, encrypt_fspf
from bannock.shield.original import open_original
from bannock.shield.regions import Protection, Region
from bannock.shield.transcription import Part, convert, problems_of
from bannock.shield.volume import PROTECTION_FILE, Volume
from bannock.values import FSPF_KEY_BYTES, FspfKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bannock.shield.original import Original, OriginalRegion
    from bannock.values import FspfTag

__all__ = ["Import", "ImportPlan", "plan_import"]

_REPORTED: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """What was made: a protection file, its tag, and its key; None if it is not encrypted, as the old one was not."""

    file: Path
    tag: FspfTag
    key: FspfKey | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportPlan:
    """A protection file that can be converted: all that its records vouch for was seen, and is what they say."""

    original: Original
    file: Path
    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        """How many bytes are to be converted."""
        return sum(part.size for part in self.parts)

    def apply(self, observer: Callable[[int], None], random: Callable[[int], bytes] = os.urandom) -> Import:
        """Write the new protection file and the ciphertext of its regions; nothing stays of it if that fails.

        Raises:
            IntegrityError: a file was changed since it was verified.
            InputError: something stands where the new file goes.
            EnvironmentFault: the disk does not take it.
        """
        with _all_or_nothing([part.output for part in self.parts if part.output is not None]):
            if self.original.is_volume:
                return self._make_volume(observer, FspfKey(random(FSPF_KEY_BYTES)))
            Fspf.create(self.file)
            try:
                return self._make_main(observer)
            except BaseException:
                self.file.unlink(missing_ok=True)
                raise

    def _make_volume(self, observer: Callable[[int], None], key: FspfKey) -> Import:
        [part] = self.parts
        with Volume.create(
            self.file, key, protection=part.new.protection, chunk_bytes=part.new.chunk_bytes,
            key_bytes=part.new.key_bytes,
        ) as volume:  # fmt: skip
            convert(part, volume, observer)
            return Import(file=self.file / PROTECTION_FILE, tag=volume.commit(), key=key)

    def _make_main(self, observer: Callable[[int], None]) -> Import:
        with Fspf.open(self.file) as fspf:
            for part in self.parts:
                fspf.add_region(part.new)
            tag = fspf.commit()
        for part in self.parts:
            if part.old.files:
                with Fspf.open(self.file) as fspf:
                    adopting = part.new.protection is Protection.AUTHENTICATED
                    place = None if adopting else part.output or self.file.absolute().parent
                    convert(part, fspf.open_region(part.new.path, place), observer)
                    tag = fspf.commit()
        if not self.original.sealed:
            return Import(file=self.file, tag=tag, key=None)
        tag, key = encrypt_fspf(self.file)
        return Import(file=self.file, tag=tag, key=key)


def plan_import(
    old: Path,
    new: Path,
    key: FspfKey | None,
    tag: FspfTag | None,
    *,
    sources: Mapping[str, Path],
    outputs: Mapping[str, Path],
    observer: Callable[[int], None] = lambda _: None,
) -> ImportPlan:
    """Read a protection file of the original format, and verify every file that it vouches for.

    Args:
        old: the protection file.
        new: the one to be made; for a volume, its directory.
        key: of the old one.
        tag: of the state that it has to be in; None takes any.
        sources: path of a region → where its files are; else where the region says, or for a volume beside it.
        outputs: path of an encrypted region → an empty or new directory for its ciphertext.
        observer: learns how many bytes were verified since it was called last.

    Raises:
        InputError: it cannot be read, a key or directory is missing, or something is not known well enough.
        RollbackError: it is in another state than ``tag``.
        IntegrityError: the protection file or a file that it vouches for is not what it was; all of these are named.
    """
    original = open_original(old, key, tag)
    if original.regions is None:
        raise InputError(f"{old} is encrypted, so its key is needed", hint="set SCONE_FSPF_KEY, or give the key")
    if original.unknown:
        raise InputError(
            f"{old} has fields that are not known here, whose meaning would be lost: {', '.join(original.unknown)}"
        )
    _require_free(new, is_volume=original.is_volume)
    _require_regions({*sources, *outputs}, original.regions)
    parts = tuple(
        _volume_part(region, sources.get("/", old.absolute().parent), new)
        if original.is_volume
        else _part(region, sources, outputs)
        for region in original.regions
    )
    problems = [problem for part in parts for problem in problems_of(part, observer)]
    if problems:
        more = [f"and {len(problems) - _REPORTED} more"] if len(problems) > _REPORTED else []
        raise IntegrityError(
            f"nothing was imported: {len(problems)} files are not what {old} says",
            reasons=[*problems[:_REPORTED], *more],
            hint="put the files back that belong to this state, or say where they are with --region",
        )
    return ImportPlan(original=original, file=new, parts=parts)


# -- what goes where


def _require_free(new: Path, *, is_volume: bool) -> None:
    if new.is_symlink() or (new.exists() and not is_volume):
        raise InputError(f"{new} exists already", hint="remove it, or name another file")
    if is_volume and new.exists():
        _require_empty(new)


def _require_empty(directory: Path) -> None:
    if not directory.is_dir() or any(directory.iterdir()):
        raise InputError(f"{directory} is not an empty directory", hint="name a new one")


def _require_regions(named: set[str], regions: tuple[OriginalRegion, ...]) -> None:
    known = {_path(region) for region in regions}
    if unknown := named - known:
        raise InputError(f"there is no region {min(unknown)}", hint=f"there are {', '.join(sorted(known))}")


def _path(region: OriginalRegion) -> str:
    return "/" if region.path == "." else region.path


def _volume_part(region: OriginalRegion, source: Path, directory: Path) -> Part:
    if region.protection is Protection.NOT_PROTECTED:
        raise InputError("the volume is not protected, so there is nothing to import")
    return Part(old=region, new=_region(region, kernel=""), source=source, output=directory)


def _part(region: OriginalRegion, sources: Mapping[str, Path], outputs: Mapping[str, Path]) -> Part:
    new, output = _region(region, kernel=region.kernel), outputs.get(region.path)
    if not region.files:
        return Part(old=region, new=new, source=None, output=None)
    if not new.kept:
        raise InputError(f"region {region.path} has files, though regions of its kind have none")
    source = sources.get(region.path, Path(region.kernel or "."))
    if not source.is_dir():
        raise InputError(
            f"the files of region {region.path} are not here: there is no directory {source}",
            hint=f"say where they are: --region {region.path}=DIR",
        )
    if new.protection is Protection.AUTHENTICATED:
        if output is not None:
            raise InputError(f"region {region.path} is authenticated: its files stay where they are, and are recorded")
        return Part(old=region, new=new, source=source, output=None)
    if output is None:
        raise InputError(
            f"region {region.path} is encrypted, so its files are encrypted anew, and need a directory",
            hint=f"--output {region.path}=DIR",
        )
    if output.exists():
        _require_empty(output)
    return Part(old=region, new=new, source=source, output=output)


def _region(region: OriginalRegion, *, kernel: str | None) -> Region:
    """Return the region as we keep it. Chunks get our size: that of the old format would make every read slower."""
    return Region(path=_path(region), protection=region.protection, kernel=kernel, key_bytes=region.key_bytes)


@contextmanager
def _all_or_nothing(outputs: list[Path]) -> Iterator[None]:
    """Empty the directories for ciphertext if something fails; they were empty, or not there."""
    there = {output for output in outputs if output.is_dir()}
    for output in outputs:
        output.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for output in outputs:
            for path in output.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            if output not in there:
                with suppress(OSError):
                    output.rmdir()
        raise
