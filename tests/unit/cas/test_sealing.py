"""Sealed values: for one key, one row, and unchanged."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bannock.cas.sealing import KEY_BYTES, Sealer, row_index
from bannock.errors import IntegrityError
from bannock.values import Secret

_KEY = Secret(b"k" * KEY_BYTES)


@given(st.binary(max_size=300))
def test_what_is_sealed_opens(value: bytes) -> None:
    """A value comes back from the row that it was sealed for."""
    sealer = Sealer(_KEY, os.urandom)
    assert sealer.open("table", b"row", sealer.seal("table", b"row", value)) == value


def test_every_changed_bit_is_refused() -> None:
    """No sealed value has a second form."""
    sealer = Sealer(_KEY, os.urandom)
    sealed = sealer.seal("table", b"row", b"value")
    for bit in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(IntegrityError):
            sealer.open("table", b"row", bytes(changed))


@given(st.binary(max_size=100))
def test_other_bytes_are_refused(data: bytes) -> None:
    """Whatever stands in a row, only our error comes of it."""
    with pytest.raises(IntegrityError):
        Sealer(_KEY, os.urandom).open("table", b"row", data)


@pytest.mark.parametrize(("table", "row"), [("other", b"row"), ("table", b"other"), ("tabl", b"e\0row")])
def test_a_moved_value_is_refused(table: str, row: bytes) -> None:
    """A value is good for its own row alone."""
    sealer = Sealer(_KEY, os.urandom)
    with pytest.raises(IntegrityError, match=f"a row of table {table} is not what was written"):
        sealer.open(table, row, sealer.seal("table", b"row", b"value"))


def test_another_key_does_not_open() -> None:
    """A value is good under its own key alone."""
    sealed = Sealer(_KEY, os.urandom).seal("table", b"row", b"value")
    with pytest.raises(IntegrityError):
        Sealer(Secret(b"o" * KEY_BYTES), os.urandom).open("table", b"row", sealed)


def test_equal_values_do_not_look_alike() -> None:
    """Nobody sees that two rows, or two states of one, are the same."""
    sealer = Sealer(_KEY, os.urandom)
    assert sealer.seal("table", b"row", b"value") != sealer.seal("table", b"row", b"value")


def test_rows_are_found_by_all_of_their_names() -> None:
    """Kind, names and their borders decide a row."""
    places = [("a", "bc"), ("ab", "c"), ("abc",), ("a", "b", "c"), ("a", "bc", "")]
    assert len({row_index(_KEY, *place) for place in places}) == len(places)
    assert row_index(_KEY, "a") != row_index(Secret(b"o" * KEY_BYTES), "a")
