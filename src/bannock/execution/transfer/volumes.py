"""Volumes on their way: sealed while they are sent, and opened while they come. The client's side.

There is no second copy of a volume, neither here nor, in clear, anywhere else. What was sent in part and is sent again
is sealed anew, under new keys.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final

from bannock.errors import BannockError, EnvironmentFault, IntegrityError
from bannock.execution.transfer.archive import ArchiveReader, ArchiveWriter, Entry
from bannock.files import read_bounded, write_atomically
from bannock.shield.arriving import ArrivingVolume
from bannock.shield.outgoing import pass_on
from bannock.shield.protection import storage_faults
from bannock.shield.volume import PROTECTION_FILE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bannock.execution.transfer.interface import Backend, Incoming, Parcel, Sender
    from bannock.shield.unpack import Extracted
    from bannock.values import FspfKey, FspfTag

__all__ = ["discard_incoming", "receive_volume", "send_volume"]

_BLOCK: Final = 1 << 20
#: Records of 36 bytes for each 64 KiB, in pages; more than 16 TiB do not come.
_METADATA_BYTES_MAX: Final = 64 << 30
#: What a stream may bring beside what is needed: files that a volume no longer needs, and were not removed yet.
_NEEDLESS_BYTES_MAX: Final = 1 << 40
#: How much comes between two notes of how far it is.
_BYTES_PER_NOTE: Final = 64 << 20
_NOTE: Final = "progress.json"
_NOTE_BYTES_MAX: Final = 64 << 10


def _ignore(_: int) -> None:
    pass


def send_volume(
    source: Path | None,
    key: FspfKey,
    sender: Sender,
    *,
    scratch: Path,
    observer: Callable[[int], None] = _ignore,
) -> tuple[FspfTag, Parcel]:
    """Seal a directory into a stream, and return the tag of the volume and where the stream is.

    Args:
        source: what goes into the volume; None: nothing does.
        key: of the volume; a new one, also when it is sent once more.
        sender: of the stream, within its context.
        scratch: a directory in which the volume's protection file is made, and removed again.
        observer: learns how many bytes were sealed since it was called last.

    Raises:
        InputError: something in the source cannot be kept, or was changed meanwhile.
        BannockError: the way does not take it.
    """
    archive = ArchiveWriter(sender.write)
    with storage_faults(f"cannot make a volume in {scratch}"):
        scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    tag = pass_on(source, key, _Archived(archive), scratch=scratch, observer=observer)
    archive.end()
    return tag, sender.finish()


class _Archived:
    """A volume as entries of an archive."""

    def __init__(self, archive: ArchiveWriter) -> None:
        self._archive = archive
        self.content = archive.content

    def directory(self, path: str) -> None:
        self._archive.begin(Entry(name=path, size=0, is_directory=True))

    def file(self, path: str, size: int) -> None:
        self._archive.begin(Entry(name=path, size=size, is_directory=False))


def receive_volume(
    backend: Backend,
    run: str,
    parcel: Parcel,
    key: FspfKey,
    tag: FspfTag,
    target: Path,
    *,
    observer: Callable[[int], None] = _ignore,
    sized: Callable[[int], None] = _ignore,
) -> Extracted:
    """Open a volume, in one state, while it comes, and put it into a directory when all of it is there and holds.

    If it is broken off, what has come stays below the target in a directory of its own (mode 0700): the next call goes
    on from there, and :func:`discard_incoming` removes it. What does not hold leaves nothing.

    Args:
        backend: where it comes from.
        run: the name of the run.
        parcel: what the host says of it.
        key: of the volume.
        tag: of the state that is expected.
        target: a directory, made if it is not there. Files that stand in the way are replaced, others stay.
        observer: learns how many bytes came since it was called last.
        sized: learns, once, how many are to be expected, if that is known.

    Raises:
        RollbackError, IntegrityError: it is not the volume, not in that state, or something is changed or missing.
        NotFoundError: it is withheld.
        EnvironmentFault: the way is not to be had, or the disk does not take it.
    """
    staging = _staging(target, tag)
    try:
        with storage_faults(f"cannot write in {target}"):
            target.mkdir(parents=True, exist_ok=True)
            staging.mkdir(mode=0o700, exist_ok=True)
        with backend.open(run, parcel) as stream:
            if stream.size is not None:
                sized(stream.size)
            extracted = _Receiving(stream, staging, observer, _known_as(parcel)).run(key, tag, target)
    except IntegrityError:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    shutil.rmtree(staging, ignore_errors=True)
    return extracted


def discard_incoming(target: Path, tag: FspfTag) -> None:
    """Remove what came of a volume that is not wanted any more."""
    shutil.rmtree(_staging(target, tag), ignore_errors=True)


def _staging(target: Path, tag: FspfTag) -> Path:
    return target / f".bannock-incoming-{tag}"


def _known_as(parcel: Parcel) -> str:
    return hashlib.sha256(json.dumps(dict(parcel), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Note:
    """How far a stream (``of``) was read: ``slots`` of the file that begins at ``begin``, or just up to there."""

    of: str = ""
    begin: int = 0
    name: str = ""
    size: int = 0
    slots: int = 0
    step: int = 0

    @property
    def position(self) -> int:
        return self.begin + min(self.slots * self.step, self.size)

    def reader(self, stream: Incoming) -> ArchiveReader:
        if not self.name:
            return ArchiveReader(stream, position=self.begin)
        entry = Entry(name=self.name, size=self.size, is_directory=False)
        left = self.size - (self.position - self.begin)
        return ArchiveReader(stream, position=self.position, entry=entry, left=left)


class _Receiving:
    """One stream being opened."""

    def __init__(self, stream: Incoming, staging: Path, observer: Callable[[int], None], of: str) -> None:
        self._stream = stream
        self._of = of
        self._staging = staging
        self._observer = observer
        self._noted = 0
        self._needless = 0
        self._notes = ThreadPoolExecutor(1, thread_name_prefix="bannock-note")
        self._noting: Future[None] | None = None

    def run(self, key: FspfKey, tag: FspfTag, target: Path) -> Extracted:
        try:
            return self._run(key, tag, target)
        finally:
            self._notes.shutdown(wait=True)

    def _run(self, key: FspfKey, tag: FspfTag, target: Path) -> Extracted:
        continued = (self._staging / PROTECTION_FILE).exists()
        if not continued:
            reader = ArchiveReader(self._stream)
            self._take_metadata(reader)
            self._write_note(_Note(of=self._of, begin=reader.position))
            note = _Note(of=self._of, begin=reader.position)
        else:
            note, reader = self._continued()
        with ArrivingVolume(self._staging, key, tag) as volume:
            self._take_all(volume, reader, note)
            if continued and volume.missing():
                # After a power cut what was noted is not all there.
                self._stream.seek(0)
                self._take_all(volume, ArchiveReader(self._stream), _Note(of=self._of))
            return volume.place(target)

    def _take_all(self, volume: ArrivingVolume, reader: ArchiveReader, note: _Note) -> None:
        """Take what is needed of a stream, from where the note says."""
        if note.name:
            self._take_file(volume, reader, note)
        while (entry := reader.next()) is not None:
            if not entry.is_directory:
                begun = _Note(of=self._of, begin=reader.position, name=entry.name, size=entry.size)
                self._take_file(volume, reader, begun)
            if reader.position - self._noted >= _BYTES_PER_NOTE:
                self._write_note(_Note(of=self._of, begin=reader.position))

    def _continued(self) -> tuple[_Note, ArchiveReader]:
        """Go on where the note says, or from the begin where that cannot be."""
        try:
            note = _Note(**json.loads(read_bounded(self._staging / _NOTE, _NOTE_BYTES_MAX)))
            note = note if note.of == self._of else _Note()
        except (BannockError, ValueError, TypeError):
            note = _Note()
        try:
            self._stream.seek(note.position)
        except EnvironmentFault:
            # What is here already is not asked for, though it comes again.
            note = _Note()
            self._stream.seek(0)
        self._noted = note.position
        self._observer(note.position)
        return note, note.reader(self._stream)

    def _take_metadata(self, reader: ArchiveReader) -> None:
        entry = reader.next()
        if entry is None or entry.name != PROTECTION_FILE or entry.is_directory:
            raise IntegrityError("what comes from the host does not begin with the protection file of a volume")
        if entry.size > _METADATA_BYTES_MAX:
            raise IntegrityError(f"the protection file that comes has {entry.size} bytes, more than there can be")
        part = self._staging / f"{PROTECTION_FILE}.part"
        with storage_faults(f"cannot write {part}"), part.open("wb") as file:
            while data := reader.read(_BLOCK):
                file.write(data)
                self._observer(len(data))
        with storage_faults(f"cannot write {part}"):
            part.rename(self._staging / PROTECTION_FILE)

    def _take_file(self, volume: ArrivingVolume, reader: ArchiveReader, note: _Note) -> None:
        file = volume.begin(note.name, note.size, slots=note.slots)
        if file is None:
            self._skip(reader)
            return
        try:
            while data := reader.read(_BLOCK):
                file.write(data)
                self._observer(len(data))
                if reader.position - self._noted >= _BYTES_PER_NOTE:
                    self._write_note_later(replace(note, slots=file.slots, step=file.step), file.duplicate())
            file.finish()
        finally:
            file.close()

    def _skip(self, reader: ArchiveReader) -> None:
        while data := reader.read(_BLOCK):
            self._needless += len(data)
            self._observer(len(data))
            if self._needless > _NEEDLESS_BYTES_MAX:
                raise IntegrityError("what comes from the host does not end")

    def _write_note_later(self, note: _Note, descriptor: int) -> None:
        """Have what came reach the disk while more comes, and note it then."""
        self._noted = note.position

        def write() -> None:
            try:
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
            write_atomically(self._staging / _NOTE, json.dumps(asdict(note)).encode())

        if self._noting is not None:
            with storage_faults("cannot write what comes"):
                self._noting.result()
        self._noting = self._notes.submit(write)

    def _write_note(self, note: _Note) -> None:
        write_atomically(self._staging / _NOTE, json.dumps(asdict(note)).encode())
        self._noted = note.position
