"""Receipts: authentic or refused, and what two of them say of the CAS that gave them."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey

from bannock.errors import EvidenceError, RollbackError
from bannock.evidence.receipt import Receipt, sign_receipt, verify_receipt
from bannock.net.tls import Identity

_CAS = Identity.generate("CAS")
_HASH = "ab" * 32
_TEXT = sign_receipt(_CAS, session="space/demo", generation=3, digest=_HASH)
_RECEIPT = Receipt(cas=_CAS.key_hash, session="space/demo", generation=3, digest=_HASH)


def test_a_receipt_says_what_was_signed() -> None:
    """Another implementation of JWS verifies it too."""
    assert verify_receipt(_TEXT, _CAS.key_hash) == _RECEIPT
    header = json.loads(base64.urlsafe_b64decode(_TEXT.split(".")[0] + "=="))
    found = jws.deserialize_compact(_TEXT, ECKey.import_key(header["jwk"]), algorithms=["ES256"])
    assert json.loads(found.payload)["generation"] == 3


def test_a_receipt_of_another_cas_is_refused() -> None:
    """The key in the header proves nothing by itself."""
    other = Identity.generate("CAS")
    with pytest.raises(EvidenceError, match="is of the CAS"):
        verify_receipt(_TEXT, other.key_hash)
    forged = sign_receipt(other, session="space/demo", generation=3, digest=_HASH).split(".")
    with pytest.raises(EvidenceError, match="does not verify"):
        verify_receipt(f"{_TEXT.split('.')[0]}.{forged[1]}.{forged[2]}", _CAS.key_hash)


@given(st.integers(0, len(_TEXT) - 1), st.characters(codec="ascii"))
def test_every_character_counts(place: int, character: str) -> None:
    """What is changed anywhere is refused."""
    changed = _TEXT[:place] + character + _TEXT[place + 1 :]
    if changed != _TEXT:
        with pytest.raises(EvidenceError):
            verify_receipt(changed, _CAS.key_hash)


@given(st.text() | st.tuples(st.text(), st.text(), st.text()).map(".".join))
def test_arbitrary_text_is_refused(text: str) -> None:
    """In our words."""
    with pytest.raises(EvidenceError):
        verify_receipt(text, _CAS.key_hash)


def test_a_cas_that_was_rolled_back_is_found_out() -> None:
    """By an older generation, and by another hash of the same one."""
    newer = Receipt(cas=_CAS.key_hash, session="space/demo", generation=4, digest="cd" * 32)
    newer.require_after(_RECEIPT)
    _RECEIPT.require_after(_RECEIPT)
    with pytest.raises(RollbackError, match=r"version 3 .* and has answered with version 4 before"):
        _RECEIPT.require_after(newer)
    with pytest.raises(RollbackError, match=r"is abab.* now, and was cdcd"):
        _RECEIPT.require_after(Receipt(cas=_CAS.key_hash, session="space/demo", generation=3, digest="cd" * 32))
    _RECEIPT.require_after(Receipt(cas=_CAS.key_hash, session="another", generation=9, digest="cd" * 32))
