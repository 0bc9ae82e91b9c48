"""The table of certificates that a hypervisor hands along."""

from __future__ import annotations

import contextlib
import struct
import uuid
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import EvidenceError
from bannock.evidence.snp.table import certificates_of_table

if TYPE_CHECKING:
    from collections.abc import Sequence

_VCEK: Final = "63da758d-e664-4564-adc5-f4b93be8accd"
_ASK: Final = "4ab7b379-bbac-4fe4-a02f-05aef327c782"
_ARK: Final = "c0b406a4-a803-4952-9743-3fb6014cd0ae"
_OTHER: Final = "ecae0c0f-9502-43b1-afa2-0ae2e0d565b6"


def _table(entries: Sequence[tuple[str, bytes]]) -> bytes:
    place, head, body = 24 * (len(entries) + 1), b"", b""
    for name, content in entries:
        head += uuid.UUID(name).bytes + struct.pack("<II", place + len(body), len(content))
        body += content
    return head + bytes(24) + body


_TABLE: Final = _table([(_VCEK, b"vcek"), (_OTHER, b"other"), (_ARK, b"ark"), (_ASK, b"")])


def test_entries_of_known_kinds() -> None:
    """They come out, in either spelling of their identifier; empty ones and others are left out."""
    assert certificates_of_table(_TABLE) == {"VCEK": b"vcek", "ARK": b"ark"}
    assert certificates_of_table(_TABLE + bytes(4096)) == {"VCEK": b"vcek", "ARK": b"ark"}
    swapped = uuid.UUID(_ASK).bytes_le + struct.pack("<II", 48, 3) + bytes(24) + b"ask"
    assert certificates_of_table(swapped) == {"ASK": b"ask"}
    assert certificates_of_table(b"") == certificates_of_table(bytes(4096)) == {}


@pytest.mark.parametrize(
    ("table", "why"),
    [
        (uuid.UUID(_VCEK).bytes + bytes(8), "ends after 24 bytes, before its last entry"),
        (uuid.UUID(_VCEK).bytes + bytes(14), "ends after 30 bytes, before its last entry"),
        (_TABLE[:24], "entry 0 .* ends at byte 124, and the table has 24"),
        (_TABLE[:-4], "entry 1 .* ends at byte 129"),
        (_table([(_VCEK, b"")] * 64), "more than 64"),
        (uuid.UUID(_ASK).bytes + b"\xff" * 8 + bytes(24), "ends at byte 8589934590"),
    ],
)
def test_what_points_outside_is_refused(table: bytes, why: str) -> None:
    """Lengths and places are looked at before anything is taken."""
    with pytest.raises(EvidenceError, match=why):
        certificates_of_table(table)


@given(
    st.binary()
    | st.binary(max_size=40).map(lambda part: part + _TABLE)
    | st.binary(max_size=40).map(_TABLE[:90].__add__)
)
def test_any_table(table: bytes) -> None:
    """Any bytes are a table, or refused."""
    with contextlib.suppress(EvidenceError):
        certificates_of_table(table)
