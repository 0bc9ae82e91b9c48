"""A store in the manner of transfer.sh: PUT keeps a file and answers its URL; whoever has that fetches the file.

Interface: the README of transfer.sh (``PUT /NAME``, ``Max-Days``, ``X-Url-Delete``). Standard library alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bannock.errors import InputError, NotFoundError, PeerError
from bannock.execution.transfer.storage import MIB, Stored
from bannock.execution.transfer.web import origin, parse_url, read_at_most, request

if TYPE_CHECKING:
    from urllib.parse import SplitResult

__all__ = ["TransferShStore"]

#: Of an answer that is a URL.
_ANSWER_BYTES_MAX: Final = 16 << 10


class TransferShStore:
    """The files of one stream on a service.

    Args:
        base_url: ``http://HOST[:PORT][/PATH]`` or ``https://…``.
        prefix: what names of files begin with.
        days: how long the service is asked to keep them.

    Attributes:
        name: of the service, for people.

    Raises:
        InputError: the URL is anything else.
    """

    def __init__(self, base_url: str, prefix: str = "", *, days: int = 1) -> None:
        self._base = parse_url(base_url)
        self._url = base_url.rstrip("/")
        self._prefix = prefix
        self._days = days
        self.name: Final = origin(self._base)

    def part_bytes(self, number: int) -> int:
        """Return how large a part is to be (:class:`bannock.execution.transfer.storage.Store`)."""
        del number
        return 16 * MIB

    def put(self, name: str, data: bytes | memoryview) -> Stored:
        """Keep a file (:class:`bannock.execution.transfer.storage.Store`)."""
        headers = {"Content-Length": str(len(data)), "Max-Days": str(self._days)}
        with request("PUT", f"{self._url}/{self._prefix}{name}", headers=headers, body=data) as answer:
            url = bytes(read_at_most(answer, _ANSWER_BYTES_MAX)).decode("utf-8", "replace").strip()
            deletion = answer.getheader("x-url-delete")
        self._require_own(url)
        if deletion is not None:
            self._require_own(deletion)
        return Stored(reference=url, deletion=deletion)

    def get(self, reference: str, limit: int) -> bytearray:
        """Fetch a file (:class:`bannock.execution.transfer.storage.Store`)."""
        self._require_own(reference)
        with request("GET", reference) as answer:
            return read_at_most(answer, limit)

    def delete(self, stored: Stored) -> None:
        """Delete a file, where the service can (:class:`bannock.execution.transfer.storage.Store`)."""
        if stored.deletion is None:
            return
        self._require_own(stored.deletion)
        try:
            with request("DELETE", stored.deletion):
                pass
        except NotFoundError:
            pass

    def _require_own(self, url: str) -> SplitResult:
        """Refuse to be sent elsewhere by a service or a host."""
        try:
            parts = parse_url(url)
        except InputError as error:
            raise PeerError(f"the transfer service at {self.name} answered without a URL") from error
        if (parts.scheme, parts.netloc) != (self._base.scheme, self._base.netloc):
            raise PeerError(f"the transfer service at {self.name} points to another one: {parts.netloc[:80]!r}")
        return parts
