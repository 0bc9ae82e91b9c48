"""Checking a protection file and all that it protects: what is damaged, what is missing, what is left over.

Every page and every chunk is read, and reading goes on behind damage. Nothing is written, but for what a caller asks:
removing what no state refers to, and taking out what can be read. Not responsible for telling it to anybody.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.errors import Bug, ConflictError, InputError, IntegrityError
from bannock.shield.contents import Contents
from bannock.shield.findings import CheckReport, Damage, LostPage, StateOnDisk
from bannock.shield.format.backing import Backing
from bannock.shield.format.pages import Pager, read_headers, read_superblocks
from bannock.shield.leftovers import find_leftovers, remove_leftovers
from bannock.shield.listing import protection_file
from bannock.shield.original import is_original
from bannock.shield.protection import Opening, present, storage_faults
from bannock.shield.recovery import Discarded, Recovery
from bannock.shield.survey import Survey
from bannock.shield.volume import PROTECTION_FILE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from bannock.errors import BannockError
    from bannock.shield.contents import Verified
    from bannock.shield.format.backing import BackingFile
    from bannock.shield.format.pages import Header, Superblock
    from bannock.shield.format.seal import Sealer
    from bannock.shield.leftovers import Leftover
    from bannock.values import FspfKey, FspfTag

__all__ = ["check"]

_HIDDEN_SHOWN: Final = 100


def check(
    path: Path,
    key: FspfKey | None,
    tag: FspfTag | None = None,
    *,
    directories: Mapping[str, Path] | None = None,
    remove_unreferenced: bool = False,
    extract: Path | None = None,
    observer: Callable[[int], None] = lambda _: None,
) -> CheckReport:
    """Read all of a protection file, or of a volume, and say what is damaged.

    Args:
        path: the protection file, or the directory of a volume.
        key: its key; None for one that is not encrypted yet.
        tag: the state that is expected. If it is not there, the newest authentic one is checked, and the report says
            that this is a rollback.
        directories: path of a region → where its files are. Without it they are where the region says.
        remove_unreferenced: remove what no state refers to, if all states can be read.
        extract: an empty or new directory to take out to what can be read.
        observer: learns how many bytes were read since it was called last.

    Raises:
        InputError: it is no protection file, a key is missing or too many, or a directory is.
        IntegrityError: no state is authentic under the key, so there is nothing that could be checked.
        ConflictError: it is being written to.
        EnvironmentFault: it cannot be read, or what is taken out not be written.
    """
    file = protection_file(path)
    how = Opening(key=key, writable=False, random=os.urandom, clock=time.time_ns)
    with ExitStack() as stack, storage_faults(f"cannot read {file}"):
        backing = _opened(stack, file.absolute().parent, writable=remove_unreferenced)
        name = os.fsencode(file.name)
        if remove_unreferenced:
            backing.lock(name)
        run = _Check(file, backing.open(name), how.sealer(), tag, public=key is None)
        survey = run.survey(run.chosen)
        places = _places(survey, file, directories or {})
        backings = {
            region: _opened(stack, directory, writable=remove_unreferenced) for region, directory in places.items()
        }
        _require_outside(extract, places.values())
        sink = Discarded() if extract is None else Recovery(extract, survey)
        run.read(Contents(run.pager(run.chosen), survey, backings, sink, observer), survey)
        others = [run.survey(state) for state in run.states if state is not run.chosen]
        leftovers = tuple(find_leftovers(file, survey, others, places))
        run.require_unchanged()
        spare = _why_to_spare(run, [survey, *others]) if remove_unreferenced else None
        removed = remove_unreferenced and spare is None
        if removed:
            remove_leftovers(backings, leftovers)
        if isinstance(sink, Recovery):
            sink.finish()
        report = run.report(survey, places, leftovers, sink)
        return replace(report, removed=removed, kept_because=spare)


class _Check:
    """One run over a protection file."""

    def __init__(self, file: Path, pages: BackingFile, sealer: Sealer, tag: FspfTag | None, *, public: bool) -> None:
        self._file = file
        self._pages = pages
        self._sealer = sealer
        self._public = public
        self._tag = tag
        self._headers = read_headers(_Superblocks(pages))
        self.states = read_superblocks(_Superblocks(pages), sealer, public=public)
        if not self.states:
            raise _nothing_authentic(file, self._headers, public=public)
        self.chosen = next((state for state in self.states if state.tag == tag), self.states[0])
        self._damaged: list[Damage] = []
        self._defects: list[str] = []
        self._files = self._size = 0

    def pager(self, state: Superblock) -> Pager:
        return Pager(self._pages, self._sealer, state)

    def survey(self, state: Superblock) -> Survey:
        return Survey(self.pager(state), state, is_volume=self._file.name == PROTECTION_FILE)

    def read(self, contents: Contents, survey: Survey) -> None:
        """Read all contents, and take down what is not whole."""
        self._defects += survey.contradictions()
        for verified in contents.verify():
            self._files += 1
            if verified.inode.is_file:
                self._size += verified.inode.size
            self._defects += [f"{_named(survey, verified)}: {defect}" for defect in verified.defects]
            if verified.ranges:
                self._damaged += _damages(survey, verified, verified.ranges, verified.reasons)
            elif survey.is_nameless(verified.ino):
                self._damaged += _damages(survey, verified, (), ("its name was on a page that is lost",))

    def require_unchanged(self) -> None:
        """Raise if somebody wrote while this went on: what looks damaged may be new."""
        if [each.tag for each in read_headers(_Superblocks(self._pages))] != [each.tag for each in self._headers]:
            raise ConflictError(
                f"{self._file} was written to while it was checked",
                hint="stop the application that uses it, or check a copy",
            )

    @property
    def rollback(self) -> bool:
        """Whether a state is expected that is not there."""
        return self._tag is not None and self._tag not in {state.tag for state in self.states}

    def report(
        self, survey: Survey, places: Mapping[str, Path], leftovers: tuple[Leftover, ...], sink: Discarded | Recovery
    ) -> CheckReport:
        authentic = {state.tag for state in self.states}
        lost = tuple(_lost_pages(survey))
        whole = [
            Damage(path=path, inode=ino, ciphertext=None, ranges=(), reasons=(_on(each.page),))
            for each, ino in survey.hidden()
            for path in _paths(survey, ino)
        ]
        return CheckReport(
            file=self._file,
            states=tuple(
                StateOnDisk(
                    tag=header.tag,
                    generation=header.generation,
                    authentic=header.tag in authentic,
                    checked=header.tag == self.chosen.tag,
                    expected=header.tag == self._tag,
                )
                for header in self._headers
            ),
            rollback=self.rollback,
            expected=self._tag,
            tag=present(self.chosen.tag),
            encrypted=not self._public,
            regions=tuple((path, places.get(path)) for path in sorted(survey.regions)),
            files=self._files,
            size=self._size,
            damaged=tuple(sorted([*self._damaged, *whole], key=lambda each: (each.path or "", each.inode))),
            lost=lost,
            defects=tuple(self._defects),
            leftovers=leftovers,
            removed=False,
            kept_because=None,
            recovered=sink.files if isinstance(sink, Recovery) else None,
            partial=tuple(sink.partial) if isinstance(sink, Recovery) else (),
        )


class _Superblocks:
    """The protection file, where a superblock that cannot be read is none."""

    def __init__(self, pages: BackingFile) -> None:
        self._pages = pages

    def pread(self, size: int, offset: int) -> bytes:
        try:
            return self._pages.pread(size, offset)
        except OSError:
            return b""

    def pwrite(self, data: bytes, offset: int) -> None:
        raise Bug(f"{len(data)} bytes were to be written at {offset} by a check")


@contextmanager
def _closing(backing: Backing) -> Iterator[Backing]:
    try:
        yield backing
    finally:
        backing.close()


def _opened(stack: ExitStack, directory: Path, *, writable: bool) -> Backing:
    return stack.enter_context(_closing(Backing(directory, writable=writable)))


def _nothing_authentic(file: Path, headers: list[Header], *, public: bool) -> BannockError:
    if is_original(file):
        return InputError(f"{file} is of SCONE's own format", hint="scone fspf import verifies it, and converts it")
    if public and any(not header.public for header in headers):
        return InputError(f"{file} is encrypted, so its key is needed", hint="set SCONE_FSPF_KEY, or give the key")
    if headers and all(header.public for header in headers) and not public:
        return InputError(f"{file} is not encrypted, and a key was given", hint="leave it out")
    return IntegrityError(
        f"no state of {file} is authentic under this key, so nothing in it can be told from what somebody made up",
        reasons=[f"it claims state {each.tag}, commit {each.generation}" for each in headers]
        or ["there is no superblock of a version that is known here"],
        hint="the key is another file's, or both superblocks were changed",
    )


def _places(survey: Survey, file: Path, given: Mapping[str, Path]) -> dict[str, Path]:
    """Return where the files of each region are that keeps any."""
    if unknown := set(given) - set(survey.regions):
        raise InputError(f"there is no region {min(unknown)}", hint=f"there are {', '.join(sorted(survey.regions))}")
    found = {}
    for path, (region, _) in sorted(survey.regions.items()):
        if region.kept:
            found[path] = given.get(path, Path(region.kernel or file.absolute().parent))
            if not found[path].is_dir():
                raise InputError(
                    f"the files of region {path} are not here: there is no directory {found[path]}",
                    hint=f"say where they are: --region {path}=DIR",
                )
    return found


def _require_outside(extract: Path | None, places: Iterable[Path]) -> None:
    for place in places:
        if extract is not None and extract.resolve().is_relative_to(place.resolve()):
            raise InputError(f"{extract} lies in {place}, which is only read", hint="name a directory elsewhere")


def _why_to_spare(run: _Check, surveys: Iterable[Survey]) -> str | None:
    """Say why nothing may be removed, or None.

    An older state that cannot be read does not count: its pages are free, and may be written over.
    """
    if run.rollback:
        return "the expected state is not there, and what looks left over may belong to it"
    if any(survey.lost for survey in surveys if survey.state.generation >= run.chosen.generation):
        return "pages are lost, so it is not known which files are referred to"
    return None


def _lost_pages(survey: Survey) -> Iterator[LostPage]:
    hides: dict[int, list[str]] = {lost.page: [] for lost in survey.lost}
    for lost, ino in survey.hidden():
        hides[lost.page] += survey.paths_of(ino) or [f"inode {ino}"]
    for lost, ino in survey.without_names():
        hides[lost.page].append(f"names in {survey.path_of(ino) or f'the directory with inode {ino}'}")
    for lost in survey.lost:
        named = hides[lost.page]
        more = [f"and {len(named) - _HIDDEN_SHOWN} more"] if len(named) > _HIDDEN_SHOWN else []
        yield LostPage(page=lost.page, reason=lost.reason, hides=(*named[:_HIDDEN_SHOWN], *more))
    for page, reason in survey.use.lost_lists.items():
        yield LostPage(page=page, reason=reason, hides=("numbers of free pages",))


def _damages(
    survey: Survey, verified: Verified, ranges: tuple[tuple[int, int], ...], reasons: tuple[str, ...]
) -> list[Damage]:
    """Return what is to be told of a file: once for each of its names."""
    inode = verified.inode
    ciphertext = os.fsdecode(inode.backing) if inode.is_file and inode.slots else None
    return [
        Damage(path=path, inode=verified.ino, ciphertext=ciphertext, ranges=ranges, reasons=reasons)
        for path in _paths(survey, verified.ino)
    ]


def _paths(survey: Survey, ino: int) -> list[str] | list[None]:
    return survey.paths_of(ino) or [None]


def _named(survey: Survey, verified: Verified) -> str:
    return survey.path_of(verified.ino) or f"inode {verified.ino}"


def _on(page: int) -> str:
    return f"its record was on page {page}"
