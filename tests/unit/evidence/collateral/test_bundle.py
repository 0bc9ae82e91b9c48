"""Bundles: signed by a CAS, and nothing else opens as one; and what people bring in other forms."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bannock.errors import BannockError, EvidenceError, InputError
from bannock.evidence.collateral.brought import read_brought
from bannock.evidence.collateral.bundle import Bundle, open_bundle, sign_bundle
from bannock.evidence.compact_jws import sign_compact
from bannock.evidence.endorsements import Endorsements
from bannock.evidence.key_set import jwk_of
from bannock.net.tls import Identity
from tests.unit.evidence.collateral.conftest import EVIDENCE

if TYPE_CHECKING:
    from pathlib import Path

_CAS: Final = Identity.generate("CAS")
_AT: Final = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
_INSIDE: Final = Endorsements(dcap=("{}",), certificates=(b"c",), crls=(b"l",), roots=(b"never travels",))
_TEXT: Final = sign_bundle(_CAS, _INSIDE, _AT, missing=["the CRL of Genoa"])


def test_what_goes_in_comes_out() -> None:
    """All but the roots, with who signed it, when, and what is missing."""
    assert open_bundle(_TEXT, cas=_CAS.key_hash) == Bundle(
        cas=_CAS.key_hash,
        at=_AT,
        endorsements=Endorsements(dcap=("{}",), certificates=(b"c",), crls=(b"l",)),
        missing=("the CRL of Genoa",),
    )


@settings(deadline=None)
@given(position=st.integers(0, len(_TEXT) - 1), bit=st.integers(0, 6))
def test_a_bit_that_differs(position: int, bit: int) -> None:
    """Whatever is changed, it is no bundle any more."""
    changed = _TEXT[:position] + chr(ord(_TEXT[position]) ^ 1 << bit) + _TEXT[position + 1 :]
    if changed.strip() != _TEXT:
        with pytest.raises(EvidenceError):
            open_bundle(changed)


@settings(deadline=None)
@given(text=st.text(max_size=300))
def test_arbitrary_text(text: str) -> None:
    """It is refused as evidence."""
    with pytest.raises(EvidenceError):
        open_bundle(text)


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"cas": "x", "at": 0, "endorsements": "", "missing": []},
        {"cas": str(_CAS.key_hash), "at": "0", "endorsements": "", "missing": []},
        {"cas": str(_CAS.key_hash), "at": 2**52, "endorsements": "", "missing": []},
        {"cas": str(_CAS.key_hash), "at": 0, "endorsements": {}, "missing": []},
        {"cas": str(_CAS.key_hash), "at": 0, "endorsements": "", "missing": [1]},
        {"cas": str(_CAS.key_hash), "at": 0, "endorsements": "{}", "missing": []},
    ],
)
def test_a_signature_does_not_suffice(payload: dict[str, object]) -> None:
    """What a CAS signs in this type is a bundle or refused."""
    key = _CAS.private_key
    header = {"typ": "bannock-collateral", "jwk": {**jwk_of(key.public_key())}}  # type: ignore[arg-type]
    with pytest.raises(EvidenceError):
        open_bundle(sign_compact(header, payload, key))  # type: ignore[arg-type]


@settings(deadline=None)
@given(data=st.binary(max_size=400), suffix=st.sampled_from([".json", ".pem", ".der", ".jws", ""]))
def test_arbitrary_files(tmp_path_factory: pytest.TempPathFactory, data: bytes, suffix: str) -> None:
    """Whatever a person brings, it is collateral or refused."""
    path = tmp_path_factory.getbasetemp() / f"brought{suffix}"
    path.write_bytes(data)
    with pytest.raises(BannockError):
        read_brought(path)


def test_what_people_bring(tmp_path: Path) -> None:
    """Endorsements in their own form, certificates and Intel's collateral, one file each."""
    (tmp_path / "all.json").write_bytes(Endorsements(crls=(b"x",)).to_json() + b"\n")
    assert read_brought(tmp_path / "all.json") == (Endorsements(crls=(b"x",)), None)
    text = (EVIDENCE / "dcap" / "tdx-v4-uptodate.collateral.json").read_text()
    assert read_brought(EVIDENCE / "dcap" / "tdx-v4-uptodate.collateral.json")[0].dcap == (text,)
    assert len(read_brought(EVIDENCE / "snp" / "ark-milan.pem")[0].certificates) == 1
    with pytest.raises(InputError, match="cannot read"):
        read_brought(tmp_path / "none")
