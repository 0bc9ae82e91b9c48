"""Volumes that go through the connection to the host itself, as tars that its container engine unpacks and packs.

They are put into a container that was made and has not started, and taken out of one that has ended. No service is in
between and the container has no part in it, so its output can be fetched as long as it exists. What comes from the
engine is the host's word: its tar is read strictly, and made into the archive that all others send.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self, cast

from bannock.errors import BannockError, Bug, EnvironmentFault, IntegrityError, PeerError
from bannock.execution.container_job import PLACE
from bannock.execution.transfer.archive import END, ArchiveWriter, Entry
from bannock.images.tar import next_entry
from bannock.shield.volume import PROTECTION_FILE

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from bannock.execution.transfer.interface import Grant, Incoming, Parcel, Place, Readable, Sender
    from bannock.images.tar import Entry as TarEntry

__all__ = ["PlacedBackend"]

_BLOCK: Final = 1 << 20
#: Less than this is collected first.
_DIRECT_BYTES: Final = 256 << 10
_WAITING_BLOCKS: Final = 4
_SECONDS: Final = 0.5
_SIZE_MAX: Final = 1 << 60
_TAR_BLOCK: Final = 512


class PlacedBackend:
    """The files of a container (:class:`bannock.execution.transfer.interface.Backend`).

    Args:
        place: these files.
        directory: where volumes are in it.
    """

    places: Final = True

    def __init__(self, place: Place, directory: str = str(PLACE)) -> None:
        self._place = place
        self._directory = directory
        self.name = "ssh"

    def sender(self, run: str, what: str) -> Sender:
        """Begin a stream into the container."""
        del run
        return _PlacedSender(self._place, f"{self._directory}/{what}")

    def grant(self, run: str, what: str) -> Grant:
        """Nothing is needed: it is taken out of the container."""
        del run
        return {"kind": "placed", "path": f"{self._directory}/{what}"}

    def open(self, run: str, parcel: Parcel) -> Incoming:
        """Open a volume in the container."""
        del run
        path = parcel.get("path")
        if parcel.get("kind") != "placed" or not isinstance(path, str) or not path.startswith(f"{self._directory}/"):
            raise PeerError("the host does not say where in its container the volume is")
        return _PlacedStream(self._place, path)

    def forget(self, run: str, parcel: Parcel) -> None:
        """Nothing: it goes with the container."""

    def sweep(self, run: str) -> None:
        """Nothing: it goes with the container."""


class _PlacedSender:
    """A tar that is unpacked by an engine while it is made, on a thread of its own."""

    def __init__(self, place: Place, path: str) -> None:
        self._place = place
        self._path = path
        self._blocks: queue.Queue[bytes | None] = queue.Queue(_WAITING_BLOCKS)
        self._buffer = bytearray()
        self._failure: BaseException | None = None
        self._broken_off = False
        self._thread = threading.Thread(target=self._run, name="bannock-place", daemon=True)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes (:class:`bannock.execution.transfer.interface.Sender`)."""
        if len(data) < _DIRECT_BYTES or self._buffer:
            self._buffer += data
            data = self._buffer if len(self._buffer) >= _BLOCK else b""
        if data:
            self._put(bytes(data))
            self._buffer.clear()

    def finish(self) -> dict[str, Any]:
        """Wait until all is there (:class:`bannock.execution.transfer.interface.Sender`)."""
        self._put(bytes(self._buffer))
        self._put(None)
        self._thread.join()
        self._raise()
        return {"kind": "placed", "path": self._path}

    def __enter__(self) -> Self:
        self._place.put("/", _directory(self._path))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._broken_off = True
        while self._thread.is_alive():
            try:
                self._blocks.put(None, timeout=_SECONDS)
            except queue.Full:
                continue
            self._thread.join(_SECONDS)

    def _put(self, block: bytes | None) -> None:
        while True:
            self._raise()
            if not self._thread.is_alive():
                raise EnvironmentFault("the host ended the transfer before its end")
            try:
                self._blocks.put(block, timeout=_SECONDS)
            except queue.Full:
                continue
            return

    def _run(self) -> None:
        try:
            self._place.put(self._path, self._tar())
        except BaseException as error:  # noqa: BLE001 # told to the thread that sends
            self._failure = error

    def _tar(self) -> Iterator[bytes]:
        while (block := self._blocks.get()) is not None:
            if self._broken_off:
                break
            yield block
        if self._broken_off:
            raise EnvironmentFault("the transfer to the host was broken off")

    def _raise(self) -> None:
        if isinstance(self._failure, BannockError):
            raise self._failure
        if self._failure is not None:
            raise Bug("the transfer to the host failed") from self._failure


def _directory(path: str) -> list[bytes]:
    """Return a tar of one directory; those above it are made if they are missing, and stay as they are if not."""
    blocks: list[bytes] = []
    archive = ArchiveWriter(lambda data: blocks.append(bytes(data)))
    archive.begin(Entry(name=path.strip("/"), size=0, is_directory=True))
    archive.end()
    return blocks


class _PlacedStream:
    """A volume in a container as an archive, its protection file first."""

    def __init__(self, place: Place, path: str) -> None:
        self._place = place
        self._path = path
        self._pieces = self._archive()
        self._data = memoryview(b"")

    @property
    def size(self) -> int | None:
        """It is not known."""
        return None

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, none at the end."""
        while not self._data:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._data = memoryview(piece)
        data, self._data = bytes(self._data[:size]), self._data[size:]
        return data

    def seek(self, position: int, /) -> None:
        """Begin anew, which is all that an engine can do."""
        if position:
            raise EnvironmentFault("a container engine gives its files from the first one alone")
        self._pieces.close()
        self._pieces, self._data = self._archive(), memoryview(b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pieces.close()

    def _archive(self) -> Generator[bytes, None, None]:
        with self._place.get(f"{self._path}/{PROTECTION_FILE}") as tar:
            yield from _files(tar, lambda name: name == PROTECTION_FILE, strip=0)
        with self._place.get(self._path) as tar:
            yield from _files(tar, lambda name: name != PROTECTION_FILE, strip=1)
        yield END


def _files(tar: Readable, wanted: Callable[[str], bool], *, strip: int) -> Iterator[bytes]:
    """Yield the regular files of an engine's tar in the form of ours; of their paths go so many parts."""
    stream = _Counted(tar)
    while (found := _next(stream)) is not None:
        name = "/".join(found.path.split("/")[strip:])
        _require_plain(found)
        if found.kind == "file" and wanted(name):
            entry = Entry(name=name, size=found.size, is_directory=False)
            yield entry.header()
            yield from stream.content(found.size)
            yield bytes(entry.padding)
        else:
            for _ in stream.content(found.size):
                pass
        stream.skip(-found.size % _TAR_BLOCK)


def _next(stream: _Counted) -> TarEntry | None:
    try:
        return next_entry(cast("BinaryIO", stream), stream.position, _SIZE_MAX)
    except IntegrityError as error:
        raise IntegrityError("the host gives something else than the files of its container") from error


def _broken_off() -> EnvironmentFault:
    return EnvironmentFault("the host ended the transfer before its end")


def _require_plain(entry: TarEntry) -> None:
    if entry.kind not in {"file", "directory"} or entry.sparse:
        raise IntegrityError(f"the host has {entry.path[:200]!r} in a volume, which is neither file nor directory")


class _Counted:
    """A stream that gives all that is asked for, and counts."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self.position = 0

    def read(self, size: int, /) -> bytes:
        data = b""
        while len(data) < size:
            if not (more := self._stream.read(size - len(data))):
                raise _broken_off()
            data += more
        self.position += size
        return data

    def content(self, size: int) -> Iterator[bytes]:
        while size:
            data = self._stream.read(min(size, _BLOCK))
            if not data:
                raise _broken_off()
            size -= len(data)
            self.position += len(data)
            yield data

    def skip(self, size: int) -> None:
        for _ in self.content(size):
            pass
