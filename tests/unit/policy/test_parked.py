"""Values that are kept elsewhere: sealed for one place, and found out if they are not what was put there."""

from __future__ import annotations

import base64
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import IntegrityError
from bannock.policy.parked import ParkedValue
from bannock.policy.secret_values import SecretValues
from bannock.values import Secret

_DIGEST = "ab" * 32


@given(st.binary(max_size=200))
def test_what_is_sealed_opens(value: bytes) -> None:
    """And is not in clear; its name is of session and tag."""
    parked, text = ParkedValue.seal("secret s", _DIGEST, value, os.urandom)
    assert parked.open(text.encode()) == value
    assert parked.name == f"cas-{_DIGEST}-{parked.tag.hex()}"
    if len(value) > 8:
        assert value not in base64.b64decode(text)


@given(st.data())
def test_every_flipped_bit_is_found(data: st.DataObject) -> None:
    """Of the ciphertext, and of what names the value."""
    parked, text = ParkedValue.seal("secret s", _DIGEST, b"the value", os.urandom)
    sealed = bytearray(base64.b64decode(text))
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(IntegrityError, match="it was changed"):
        parked.open(base64.b64encode(sealed))


@given(st.binary(max_size=60))
def test_whatever_the_vault_has_raises_only_our_error(text: bytes) -> None:
    """A vault may answer with anything."""
    parked, _ = ParkedValue.seal("secret s", _DIGEST, b"the value", os.urandom)
    with pytest.raises(IntegrityError):
        parked.open(text)


def test_a_value_of_another_entry_is_refused() -> None:
    """Even under the same key, a value stands for one secret."""
    parked, text = ParkedValue.seal("secret s", _DIGEST, b"the value", os.urandom)
    other = ParkedValue(entry="secret t", name=parked.name, key=parked.key, tag=parked.tag)
    with pytest.raises(IntegrityError):
        other.open(text.encode())


def test_what_is_kept_here_reads_back() -> None:
    """In the stored values of a session; anything else is not taken."""
    parked, _ = ParkedValue.seal("secret s", _DIGEST, b"the value", os.urandom)
    values = SecretValues(parked={"secret s": parked}, authority=Secret(b"pem"))
    stored = values.to_json()
    assert SecretValues.from_json(stored) == values
    assert parked.key.reveal().hex() not in repr(values)
    document = json.loads(stored)
    for key, wrong in (("parked", []), ("parked", {"s": "x"}), ("parked", {"s": {"name": 1}}), ("authority", "xy")):
        with pytest.raises(IntegrityError):
            SecretValues.from_json(json.dumps(document | {key: wrong}).encode())
