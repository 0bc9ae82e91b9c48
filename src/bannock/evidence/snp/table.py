"""The table of certificates that a hypervisor hands to a guest along with its report. Pure.

AMD 56421, 4.1.8.1 (MSG_REPORT_REQ): entries of a GUID, an offset and a length, up to one that is all zeros; then what
they point at. A guest trusts none of it: each certificate is signed by AMD, or of no use.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final

from bannock.errors import EvidenceError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CERTIFICATE_KINDS", "certificates_of_table"]

#: Identifier → what the entry is.
CERTIFICATE_KINDS: Final[Mapping[uuid.UUID, str]] = {
    uuid.UUID("63da758d-e664-4564-adc5-f4b93be8accd"): "VCEK",
    uuid.UUID("a8074bc2-a25a-483e-aae6-39c045a0b8a1"): "VLEK",
    uuid.UUID("4ab7b379-bbac-4fe4-a02f-05aef327c782"): "ASK",
    uuid.UUID("c0b406a4-a803-4952-9743-3fb6014cd0ae"): "ARK",
}
_ENTRY_BYTES: Final = 24
_GUID_BYTES: Final = 16
_ENTRIES_MAX: Final = 64


def certificates_of_table(table: bytes) -> dict[str, bytes]:
    """Give the certificates of a table, by their kind; entries of kinds that are not known are left out.

    An empty table gives nothing: hosts need not have one.

    Raises:
        EvidenceError: it is malformed.
    """
    found: dict[str, bytes] = {}
    if not any(table):
        return found
    for index in range(_ENTRIES_MAX):
        start = index * _ENTRY_BYTES
        entry = table[start : start + _ENTRY_BYTES]
        if len(entry) != _ENTRY_BYTES:
            raise EvidenceError(f"the table of certificates ends after {len(table)} bytes, before its last entry")
        if not any(entry):
            return found
        offset = int.from_bytes(entry[_GUID_BYTES : _GUID_BYTES + 4], "little")
        length = int.from_bytes(entry[_GUID_BYTES + 4 :], "little")
        if offset + length > len(table):
            raise EvidenceError(
                f"entry {index} of the table of certificates ends at byte {offset + length}, "
                f"and the table has {len(table)} bytes"
            )
        kind = _kind(entry[:_GUID_BYTES])
        if kind is not None and length:
            found[kind] = table[offset : offset + length]
    raise EvidenceError(f"the table of certificates has more than {_ENTRIES_MAX} entries")


def _kind(identifier: bytes) -> str | None:
    """Name an entry. Identifiers stand in the order of their text (RFC 4122); hosts may swap the first three parts."""
    orders = uuid.UUID(bytes=identifier), uuid.UUID(bytes_le=identifier)
    return next((CERTIFICATE_KINDS[each] for each in orders if each in CERTIFICATE_KINDS), None)
