"""A host that is its own vendor: it signs whatever it likes, so nothing is safe to read for being signed."""

from __future__ import annotations

import contextlib
import os
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import EvidenceError
from bannock.evidence.der import Der
from bannock.evidence.rehearsal.amd import AmdVendor
from bannock.evidence.rehearsal.amd_chain import MadeChain
from bannock.evidence.snp.certificates import VendorCertificate
from bannock.evidence.snp.revocation import RevocationList
from tests.unit.evidence.snp.samples import appraise

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from bannock.evidence.endorsements import Endorsements

_AT: Final = datetime(2026, 3, 1, tzinfo=UTC)
_PSS: Final = padding.PSS(padding.MGF1(SHA384()), 48)


@pytest.fixture(autouse=True, scope="module")
def _made_once() -> None:
    """Have keys made before anything is timed."""
    appraise(_report(), *_known().certificates, at=_AT)


@cache
def _made() -> MadeChain:
    return MadeChain.make(os.urandom, _AT, "Genoa")


@cache
def _report() -> bytes:
    return AmdVendor(os.urandom, _AT, chain=_made()).snp_report(bytes(64))


@cache
def _known() -> Endorsements:
    return AmdVendor(os.urandom, _AT, chain=_made()).endorsements()


def _signed(body: bytes, like: bytes, key: RSAPrivateKey) -> bytes:
    """Sign other content in the form of a certificate or a list."""
    outer = Der(like, "it").inside(Der.SEQUENCE)
    outer.element()
    algorithm = outer.element()[2]
    content = body + algorithm + _element(0x03, b"\0" + key.sign(body, _PSS, SHA384()))
    return _element(0x30, content)


def _element(tag: int, content: bytes) -> bytes:
    length = len(content)
    encoded = length.to_bytes((length.bit_length() + 7) // 8, "big")
    head = bytes((length,)) if length < 0x80 else bytes((0x80 | len(encoded),)) + encoded
    return bytes((tag,)) + head + content


def _changes(body: bytes) -> st.SearchStrategy[bytes]:
    """Change some bytes, and none of the lengths around them."""

    def change(places: dict[int, int]) -> bytes:
        changed = bytearray(body)
        for place, value in places.items():
            changed[place] = value
        return bytes(changed)

    return st.dictionaries(st.integers(4, len(body) - 1), st.integers(0, 255), min_size=1, max_size=4).map(change)


@given(st.data())
def test_any_list_under_a_good_signature(data: st.DataObject) -> None:
    """A list that its root signed is read, or refused as evidence."""
    like = _made().crl(_AT, expired=False, revoked=data.draw(st.booleans()))
    crl = _signed(data.draw(_changes(_body(like))), like, _made().root_key)
    with contextlib.suppress(EvidenceError):
        appraise(_report(), *_known().certificates, at=_AT, crls=(crl,))


@given(st.data())
@pytest.mark.parametrize(("index", "signer"), [(0, "intermediate_key"), (1, "root_key"), (2, "root_key")])
def test_any_certificate_under_a_good_signature(index: int, signer: str, data: st.DataObject) -> None:
    """A certificate that its issuer signed is read, or refused as evidence; it is genuine in no case."""
    like = _known().certificates[index]
    body = data.draw(_changes(_body(like)))
    certificates = list(_known().certificates)
    certificates[index] = _signed(body, like, getattr(_made(), signer))
    with contextlib.suppress(EvidenceError):
        assert not appraise(_report(), *certificates, at=_AT, crls=_known().crls).genuine


def _body(encoded: bytes) -> bytes:
    return Der(encoded, "it").inside(Der.SEQUENCE).element()[2]


def test_signing_anew_is_what_it_has_to_be() -> None:
    """What is signed anew without a change is accepted: the two tests above get past the signature."""
    for index, signer in enumerate((_made().intermediate_key, _made().root_key, _made().root_key)):
        certificates = list(_known().certificates)
        certificates[index] = _signed(_body(certificates[index]), certificates[index], signer)
        crl = _signed(_body(_known().crls[0]), _known().crls[0], _made().root_key)
        assert not appraise(_report(), *certificates, at=_AT, crls=(crl,)).weaknesses


def _part(encoded: bytes, find: bytes, put: bytes) -> bytes:
    assert encoded.count(find) == 1
    assert len(find) == len(put)
    return encoded.replace(find, put)


@pytest.mark.parametrize(
    ("find", "put", "match"),
    [
        (b"\x16\x08Genoa-B0", b"\x16\x08Rome--B0", "for product 'Rome--B0'; known are Milan, Genoa, Turin"),
        (b"\x16\x08Genoa-B0", b"\x0c\x08Genoa-B0", "an element 0x0c where 0x16"),
        (
            b"\x06\x0a\x2b\x06\x01\x04\x01\x9c\x78\x01\x03\x02",
            b"\x06\x0a\x2b\x06\x01\x04\x01\x9c\x78\x01\x03\x07",
            "03.2",
        ),
        (b"\x06\x09\x2b\x06\x01\x04\x01\x9c\x78\x01\x02", b"\x06\x09\x2b\x06\x01\x04\x01\x9c\x78\x01\x06", "product"),
        (
            b"\x06\x09\x2b\x06\x01\x04\x01\x9c\x78\x01\x04",
            b"\x06\x09\x2b\x06\x01\x04\x01\x9c\x78\x01\x06",
            "is for no chip",
        ),
    ],
)
def test_chips_that_are_none(find: bytes, put: bytes, match: str) -> None:
    """A certificate names product, TCB version and chip in the one form that AMD's have."""
    like = _known().certificates[0]
    changed = _signed(_part(_body(like), find, put), like, _made().intermediate_key)
    with pytest.raises(EvidenceError) as refused:
        appraise(_report(), changed, *_known().certificates[1:], at=_AT, crls=_known().crls)
    assert match.replace("03.2", "3704.1.3.2") in "\n".join(refused.value.reasons)


def test_extension_that_stands_twice() -> None:
    """One reader would take the first of them, another the last: it is no certificate."""
    like = _known().certificates[0]
    body = _part(_body(like), bytes.fromhex("060a2b060104019c78010302"), bytes.fromhex("060a2b060104019c78010303"))
    with pytest.raises(EvidenceError, match=r"extension 1\.3\.6\.1\.4\.1\.3704\.1\.3\.3 twice"):
        VendorCertificate.from_der(_signed(body, like, _made().intermediate_key))


@pytest.mark.parametrize("revoked", [False, True])
def test_lists_as_another_reader_reads_them(*, revoked: bool) -> None:
    """Dates, entries, issuer and what is signed are those that the library finds."""
    encoded = _made().crl(_AT, expired=False, revoked=revoked)
    ours, theirs = RevocationList.from_der(encoded), x509.load_der_x509_crl(encoded)
    assert (ours.issued, ours.due) == (theirs.last_update_utc, theirs.next_update_utc)
    assert ours.issuer == theirs.issuer.public_bytes()
    assert (ours.signed, ours.signature) == (theirs.tbs_certlist_bytes, theirs.signature)
    assert ours.revoked == {each.serial_number: each.revocation_date_utc for each in theirs}
    assert len(ours.revoked) == revoked


@pytest.mark.parametrize("critical", [True, False])
def test_list_of_a_part(*, critical: bool) -> None:
    """A list that says that it is not a whole one is none; what it says beside that is of no weight."""
    builder = x509.CertificateRevocationListBuilder().issuer_name(_made().root.subject)
    builder = builder.last_update(_AT - timedelta(days=1)).next_update(_AT + timedelta(days=9))
    builder = builder.add_extension(x509.CRLNumber(7), critical=False)
    builder = builder.add_extension(x509.DeltaCRLIndicator(3), critical=critical)
    crl = builder.sign(_made().root_key, SHA384(), rsa_padding=_PSS).public_bytes(Encoding.DER)
    found = appraise(_report(), *_known().certificates, at=_AT, crls=(crl,))
    assert bool(found.weaknesses) is critical


def test_entry_that_stands_twice_counts_from_the_first() -> None:
    """An entry with its own reasons is an entry; of two for one certificate the earlier one counts."""
    builder = x509.CertificateRevocationListBuilder().issuer_name(_made().root.subject)
    builder = builder.last_update(_AT - timedelta(days=1)).next_update(_AT + timedelta(days=9))
    for day in (-30, 30):
        entry = x509.RevokedCertificateBuilder().serial_number(_made().intermediate.serial_number)
        entry = entry.add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), critical=False)
        builder = builder.add_revoked_certificate(entry.revocation_date(_AT + timedelta(days=day)).build())
    crl = builder.sign(_made().root_key, SHA384(), rsa_padding=_PSS).public_bytes(Encoding.DER)
    with pytest.raises(EvidenceError, match="revoked by ARK-Genoa on 2026-01-30"):
        appraise(_report(), *_known().certificates, at=_AT, crls=(crl,))


def test_list_without_an_end() -> None:
    """A list that does not say when the next one is due cannot be known to be current."""
    crl = x509.load_der_x509_crl(_known().crls[0])
    body = _body(_known().crls[0])
    due = crl.next_update_utc
    assert due is not None
    encoded = b"\x17\x0d" + due.strftime("%y%m%d%H%M%SZ").encode()
    inner = Der(body, "it").read(Der.SEQUENCE)
    changed = _element(0x30, _without(inner, encoded))
    with pytest.raises(EvidenceError, match="does not say when the next is due"):
        appraise(
            _report(), *_known().certificates, at=_AT, crls=(_signed(changed, _known().crls[0], _made().root_key),)
        )


def _without(data: bytes, part: bytes) -> bytes:
    assert data.count(part) == 1
    return data.replace(part, b"")
