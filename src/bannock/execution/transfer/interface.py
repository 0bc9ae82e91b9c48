"""What carries encrypted volumes between a client and a host, seen from either side. Interfaces and values only.

A volume travels as one stream (:mod:`bannock.execution.transfer.archive`). Nothing that carries it is trusted: who
opens a volume finds out what was changed, and who only passes it on finds out what is not what was sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

__all__ = ["Backend", "Grant", "Incoming", "Parcel", "Place", "Readable", "Sender"]

#: Where a stream is, as JSON: small, without keys; but the URLs in it are all that one needs to fetch ciphertext.
Parcel: TypeAlias = Mapping[str, Any]
#: What lets a host bring a stream of its own, as JSON.
Grant: TypeAlias = Mapping[str, Any]


class Readable(Protocol):
    """A stream that is read."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, none at the end."""
        ...


class Incoming(Readable, Protocol):
    """A stream that comes from elsewhere; a context manager that ends it."""

    @property
    def size(self) -> int | None:
        """How many bytes there are in all, if that is known."""
        ...

    def seek(self, position: int, /) -> None:
        """Go on at a byte of the stream, counted from its begin.

        Raises:
            EnvironmentFault: this stream comes from its begin alone.
        """
        ...

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(self, *_: object) -> None:
        """End, at whatever byte."""
        ...


class Sender(Protocol):
    """A stream on its way out; a context manager that leaves nothing there unless :meth:`finish` was called."""

    def write(self, data: bytes | bytearray | memoryview, /) -> None:
        """Take the next bytes; they may be on their way still when this returns.

        Raises:
            BannockError: these, or earlier ones, are not taken.
        """
        ...

    def finish(self) -> Parcel:
        """Wait until all is there, and say where.

        Raises:
            BannockError: as :meth:`write`.
        """
        ...

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(self, *_: object) -> None:
        """End; what is not finished is taken away as far as that is possible."""
        ...


class Backend(Protocol):
    """A way for ciphertext, as the client sees it."""

    @property
    def name(self) -> str:
        """What people call it; without credentials."""
        ...

    @property
    def places(self) -> bool:
        """Whether streams are put into a container before it starts, and taken out when it has ended.

        The container itself then has no part in it.
        """
        ...

    def sender(self, run: str, what: str) -> Sender:
        """Begin a stream to the host.

        Args:
            run: the name of the run, usable as a file name.
            what: the name of the stream within it, usable as a file name.
        """
        ...

    def grant(self, run: str, what: str) -> Grant:
        """Let the host bring a stream."""
        ...

    def open(self, run: str, parcel: Parcel) -> Incoming:
        """Open a stream of a run, from the host; whatever the host says, nothing of another run is opened.

        Raises:
            NotFoundError: it is not there (any more).
            PeerError, IntegrityError: what is there is not a stream of this kind.
            EnvironmentFault: it cannot be reached.
        """
        ...

    def forget(self, run: str, parcel: Parcel) -> None:
        """Delete a stream of a run, from whichever side; nothing happens where it is gone.

        Raises:
            BannockError: it cannot be deleted.
        """
        ...

    def sweep(self, run: str) -> None:
        """Delete all streams of a run, unfinished ones too, where the service can be asked for that.

        Raises:
            BannockError: they cannot be deleted.
        """
        ...


class Place(Protocol):
    """The files of a container, running or not."""

    def put(self, path: str, tar: Iterable[bytes]) -> None:
        """Unpack a tar in a directory.

        Raises:
            EnvironmentFault: the connection failed, or the disk is full.
        """
        ...

    def get(self, path: str) -> AbstractContextManager[Readable]:
        """Read a file or directory as a tar.

        Raises:
            NotFoundError: there is none.
        """
        ...
