"""A store whose files are reached by URLs that the owner of the storage has signed before: S3, from a host's side.

Who has the URLs needs no credentials, and can reach just these files until the URLs expire. Standard library alone.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Self

from bannock.errors import EnvironmentFault, PeerError
from bannock.execution.transfer.index import fetch_known
from bannock.execution.transfer.storage import MIB, Stored
from bannock.execution.transfer.web import read_at_most, request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.execution.transfer.storage import Patience

__all__ = ["PresignedStore", "part_bytes"]

#: After this many parts they are larger, so that a stream of hundreds of gigabytes has not too many.
_SMALL_PARTS: Final = 64


def part_bytes(number: int) -> int:
    """Return how large a part is."""
    return 16 * MIB if number < _SMALL_PARTS else 64 * MIB


class PresignedStore:
    """Files behind signed URLs.

    Args:
        name: of the service, for people.
        prefix: what the references of the files begin with.
        urls: name of a file → URL to put it to; none: nothing can be put.
    """

    def __init__(self, name: str, prefix: str, urls: Mapping[str, str]) -> None:
        self.name: Final = name
        self._prefix = prefix
        self._urls = urls

    @classmethod
    def of(cls, where: Mapping[str, Any], patience: Patience) -> Self:
        """Make it of a parcel, or of a grant, whose list of URLs is fetched.

        Raises:
            PeerError: it says something else.
            BannockError: the list is not to be had, or not what was sent.
        """
        name, prefix = str(where.get("name", "")), str(where.get("prefix", ""))
        granted = cls(name, prefix, {})
        if "grants" not in where:
            return granted
        try:
            urls = json.loads(fetch_known(granted, where["grants"], "the list of places", patience))
        except (ValueError, RecursionError):
            urls = None
        if not isinstance(urls, dict) or not all(isinstance(url, str) for url in urls.values()):
            raise PeerError("the list of places for the parts of a volume is not one")
        return cls(name, prefix, urls)

    def part_bytes(self, number: int) -> int:
        """Return how large a part is to be (:class:`bannock.execution.transfer.storage.Store`)."""
        return part_bytes(number)

    def put(self, name: str, data: bytes | memoryview) -> Stored:
        """Keep a file (:class:`bannock.execution.transfer.storage.Store`)."""
        if (url := self._urls.get(name)) is None:
            raise _too_large()
        with request("PUT", url, headers={"Content-Length": str(len(data))}, body=data) as answer:
            answer.read()
        return Stored(reference=f"{self._prefix}{name}")

    def get(self, reference: str, limit: int) -> bytearray:
        """Fetch a file by its URL (:class:`bannock.execution.transfer.storage.Store`)."""
        with request("GET", reference) as answer:
            return read_at_most(answer, limit)

    def delete(self, stored: Stored) -> None:
        """Nothing can be deleted; who signed the URLs does that."""


def _too_large() -> EnvironmentFault:
    return EnvironmentFault(
        "the output is larger than what can be kept at the places that were signed for it",
        hint="use another way for it (--transfer)",
    )
