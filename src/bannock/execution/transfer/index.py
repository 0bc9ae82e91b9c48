"""The index of a stream that is kept in parts: which they are, where each is, and by which hash it is known.

The hash of the index goes with the parcel. What comes from the other side is read strictly, and bounded.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bannock.errors import IntegrityError, PeerError
from bannock.execution.transfer.storage import MIB, Stored, retrying

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bannock.execution.transfer.interface import Parcel
    from bannock.execution.transfer.storage import Patience, Store

__all__ = ["Part", "encode_index", "fetch_known", "fetch_part", "index_of", "keep_known", "read_index"]

_PART_BYTES_MAX: Final = 64 * MIB
_PARTS_MAX: Final = 1 << 18
_REFERENCE_CHARACTERS_MAX: Final = 8192
_VERSION: Final = 1
#: A part that comes changed may have been damaged by chance; nobody changes it only thrice by chance.
_FETCHES: Final = 3
_HASH_CHARACTERS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A file of which it is known what it is.

    Attributes:
        stored: where it is.
        size: in bytes.
        sha256: of its content, in hexadecimal.
    """

    stored: Stored
    size: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """Return what :meth:`from_json` reads."""
        kept: dict[str, Any] = {"at": self.stored.reference, "size": self.size, "sha256": self.sha256}
        return kept | ({"deletion": self.stored.deletion} if self.stored.deletion is not None else {})

    @classmethod
    def from_json(cls, value: Any) -> Part:
        """Parse what the other side says.

        Raises:
            PeerError: it is not that.
        """
        if not isinstance(value, dict):
            raise _not_an_index()
        size, sha256 = value.get("size"), value.get("sha256")
        if type(size) is not int or not 0 < size <= _PART_BYTES_MAX:
            raise _not_an_index()
        if not isinstance(sha256, str) or len(sha256) != _HASH_CHARACTERS or not sha256.isascii():
            raise _not_an_index()
        return cls(stored=_stored(value), size=size, sha256=sha256)


def encode_index(parts: Sequence[Part]) -> bytes:
    """Return the index of a stream."""
    size = sum(part.size for part in parts)
    index = {"version": _VERSION, "size": size, "parts": [part.to_json() for part in parts]}
    return json.dumps(index, separators=(",", ":")).encode()


def index_of(parcel: Parcel) -> Part:
    """Return where the index of a stream is.

    Raises:
        PeerError: the parcel does not say that.
    """
    return Part.from_json(parcel.get("index"))


def keep_known(store: Store, name: str, data: bytes, patience: Patience) -> dict[str, Any]:
    """Put a file into a store, and return what is to be known of it to fetch it, as JSON.

    Raises:
        BannockError: as :meth:`Store.put`.
    """
    stored = retrying(lambda: store.put(name, data), patience)
    return Part(stored=stored, size=len(data), sha256=hashlib.sha256(data).hexdigest()).to_json()


def fetch_known(store: Store, known: Any, what: str, patience: Patience) -> bytearray:
    """Fetch what :func:`keep_known` put there.

    Raises:
        IntegrityError: it is something else.
        BannockError: as :meth:`Store.get`.
    """
    return fetch_part(store, Part.from_json(known), what, patience)


def read_index(store: Store, parcel: Parcel, patience: Patience) -> list[Part]:
    """Fetch the list of a stream's parts.

    Raises:
        NotFoundError, EnvironmentFault: as :meth:`Store.get`.
        IntegrityError: it is not the one that was sent.
        PeerError: it is none.
    """
    data = fetch_part(store, index_of(parcel), "the index", patience)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise _not_an_index() from None
    if not isinstance(document, dict) or document.get("version") != _VERSION:
        raise _not_an_index()
    found = document.get("parts")
    if not isinstance(found, list) or len(found) > _PARTS_MAX:
        raise _not_an_index()
    return [Part.from_json(value) for value in found]


def fetch_part(store: Store, part: Part, what: str, patience: Patience) -> bytearray:
    """Fetch a file that is known by its size and its hash; ``what`` is what people call it.

    Raises:
        NotFoundError, PeerError, EnvironmentFault: as :meth:`Store.get`.
        IntegrityError: what comes is something else.
    """
    for _ in range(_FETCHES):
        data = retrying(lambda: store.get(part.stored.reference, part.size), patience)
        if len(data) == part.size and hmac.compare_digest(hashlib.sha256(data).hexdigest(), part.sha256):
            return data
    cut = f", {len(data)} bytes in place of {part.size}" if len(data) < part.size else ""
    cut = f", more than the {part.size} bytes that were sent" if len(data) > part.size else cut
    raise IntegrityError(
        f"{what} of the volume is not what was sent: the transfer service at {store.name} changed it, or gave "
        f"something else for it{cut}",
        hint="start the run again, with another transfer service",
    )


def _stored(value: Mapping[str, Any]) -> Stored:
    reference, deletion = value.get("at"), value.get("deletion")
    for text in (reference, deletion):
        if text is not None and (not isinstance(text, str) or len(text) > _REFERENCE_CHARACTERS_MAX):
            raise _not_an_index()
    if not reference:
        raise _not_an_index()
    return Stored(reference=reference, deletion=deletion)


def _not_an_index() -> PeerError:
    return PeerError("what should say where the parts of a volume are does not")
