"""Services for tests of transfers, each started for real, and a container's files without a container."""

from __future__ import annotations

import io
import tarfile
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from bannock.errors import NotFoundError
from bannock.execution.transfer.parts import Patience
from bannock.execution.transfer.service import TransferService
from bannock.execution.transfer.store import StoreLimits, TransferStore
from bannock.net.address import Address
from bannock.net.server import Endpoint, ThreadedServer, bind_tcp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from bannock.execution.transfer.interface import Readable

__all__ = ["HASTY", "FakePlace", "serving"]

#: Tries as often as it does otherwise, and does not wait.
HASTY: Final = Patience(sleep=lambda _: None)


@contextmanager
def serving(directory: Path, limits: StoreLimits | None = None) -> Iterator[str]:
    """Serve a directory as ``bannock transfer serve`` does, and give its URL."""
    store = TransferStore(directory, limits or StoreLimits(), now=0)
    app = TransferService(store, clock=lambda: 1.0)
    with ThreadedServer(Endpoint(app=app, sock=bind_tcp(Address("127.0.0.1", 0)))) as server:
        yield f"http://127.0.0.1:{server.port}"


class FakePlace:
    """The files of a container: a directory, with tars as an engine takes and makes them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cut_after: int | None = None
        self.asked: list[str] = []

    def put(self, path: str, tar: Iterable[bytes]) -> None:
        """Unpack while it comes."""
        reader = _Reader(iter(tar))
        with tarfile.open(fileobj=reader, mode="r|") as archive:
            archive.extractall(self.root / path.strip("/"), filter="data")
        while reader.read(1 << 20):
            pass

    @contextmanager
    def get(self, path: str) -> Iterator[Readable]:
        """Pack the file or directory, below its own last name."""
        self.asked.append(path)
        place = self.root / path.strip("/")
        if not place.exists():
            raise NotFoundError(f"there is no {path} in the container")
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
            archive.add(place, place.name)
        yield io.BytesIO(made.getvalue()[: self.cut_after])


class _Reader(io.RawIOBase):
    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._data = b""
        self.thread = threading.current_thread()

    def read(self, size: int = -1) -> bytes:
        while len(self._data) < size and (block := next(self._blocks, None)) is not None:
            self._data += block
        data, self._data = self._data[:size], self._data[size:]
        return data
