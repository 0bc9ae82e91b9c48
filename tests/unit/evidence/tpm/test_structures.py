"""Structures of TPMs: genuine ones are read as others read them, and changed ones are refused."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import EvidenceError
from bannock.evidence.rehearsal.tpm import quoted_by
from bannock.evidence.tpm.event_log import EventLog
from bannock.evidence.tpm.public import Attributes, Public
from bannock.evidence.tpm.quoted import Quoted, Signature, pcrs_from_json, pcrs_to_json
from tests.unit.evidence.tpm.samples import DATA, attestation_key, cloud_quotes

if TYPE_CHECKING:
    from collections.abc import Callable

_QUOTE = (DATA / "tpm" / "rsa-quote-quote.out").read_bytes()
_SIGNATURE = (DATA / "tpm" / "rsa-quote-quotesig.out").read_bytes()
_KEY = ec.derive_private_key(7, ec.SECP256R1())
_ATTEST, _ECDSA, _PUBLIC = quoted_by(_KEY, b"q" * 32, {0: b"a" * 32, 7: b"b" * 32})


def test_the_name_and_the_key_are_those_that_tools_give() -> None:
    """Of the attestation key of a genuine quote (tpm2-tools have written both)."""
    public = attestation_key()
    assert public.name == (DATA / "tpm" / "rsa-quote-ak.name").read_bytes()
    pem = public.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert pem.split() == (DATA / "tpm" / "rsa-quote-akpub.pem").read_bytes().split()
    public.require_attestation_key()


def test_an_endorsement_key_is_read_and_is_no_attestation_key() -> None:
    """It decrypts, and signs nothing."""
    endorsement = Public.parse((DATA / "tpm" / "rsa-quote-ek.pub").read_bytes()[2:])
    pem = endorsement.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert pem.split() == (DATA / "tpm" / "rsa-quote-ekpub.pem").read_bytes().split()
    with pytest.raises(EvidenceError, match="is no attestation key") as refused:
        endorsement.require_attestation_key()
    assert refused.value.reasons == ("sign is not set", "decrypt is set")


@pytest.mark.parametrize("flag", ["FIXED_TPM", "FIXED_PARENT", "SENSITIVE_DATA_ORIGIN", "RESTRICTED", "SIGN"])
def test_a_key_that_lacks_one_property_is_no_attestation_key(flag: str) -> None:
    """Each of them is what a TPM's word rests on."""
    attributes = attestation_key().attributes & ~Attributes[flag]
    _, _, public = quoted_by(_KEY, b"", {}, attributes)
    with pytest.raises(EvidenceError, match="is no attestation key"):
        Public.parse(public).require_attestation_key()


def test_a_genuine_quote() -> None:
    """Its fields are those that tpm2_print gives, and its signature holds."""
    quoted, signature = Quoted.parse(_QUOTE), Signature.parse(_SIGNATURE)
    assert quoted.qualifying.hex() == "db1db298db6d60e6385b7231743e9c3056a18003"
    assert quoted.selection == ((0x000B, (15, 16, 22)),)
    assert (quoted.clock, quoted.resets, quoted.restarts, quoted.safe) == (5994, 0, 0, True)
    assert quoted.firmware == 0x2016051100162800
    signature.require(attestation_key(), _QUOTE)


def test_genuine_quotes_of_a_cloud_over_three_banks() -> None:
    """Signature and registers hold, also for the bank that nothing is believed of."""
    key, quotes, _ = cloud_quotes()
    public = Public.parse(key)
    public.require_attestation_key()
    assert [list(quote.pcrs) for quote in quotes] == [["sha1"], ["sha256"], ["sha384"]]
    for quote in quotes:
        quoted, signature = Quoted.parse(quote.attest), Signature.parse(quote.signature)
        signature.require(public, quote.attest)
        assert quoted.qualifying.hex() == "9009"
        quoted.require_values(quote.pcrs, signature.algorithm)
        assert pcrs_from_json(pcrs_to_json(quote.pcrs)) == quote.pcrs


def test_every_changed_bit_of_a_genuine_quote_is_refused() -> None:
    """Of what was signed, and of the signature."""
    public = attestation_key()
    for bit in range(8 * len(_QUOTE)):
        with pytest.raises(EvidenceError):
            Signature.parse(_SIGNATURE).require(public, Quoted.parse(_flipped(_QUOTE, bit)).encoded)
    for bit in range(8 * len(_SIGNATURE)):
        with pytest.raises(EvidenceError):
            Signature.parse(_flipped(_SIGNATURE, bit)).require(public, _QUOTE)


def test_every_changed_bit_of_a_key_changes_its_name_or_is_refused() -> None:
    """Whoever vouches for a key vouches for all of its public area."""
    for bit in range(8 * len(_PUBLIC)):
        try:
            changed = Public.parse(_flipped(_PUBLIC, bit))
            assert changed.name != Public.parse(_PUBLIC).name
            Signature.parse(_ECDSA).require(changed, _ATTEST)
            changed.require_attestation_key()
        except EvidenceError:
            continue
        # What is left is what a signature does not depend on: rights to use it, which no quote tells of.
        left = Attributes.USER_WITH_AUTH | Attributes.ADMIN_WITH_POLICY | Attributes.NO_DA
        unnamed = 0xFFFFFFFF & ~sum(Attributes)
        assert (changed.attributes ^ Public.parse(_PUBLIC).attributes) & (left | unnamed) or bit // 8 in (2, 3), bit


@pytest.mark.parametrize("data", [_QUOTE, _ATTEST], ids=["genuine", "made"])
@pytest.mark.parametrize("how", ["cut", "longer"])
def test_what_is_cut_or_longer_is_refused(data: bytes, how: str) -> None:
    """At every length."""
    for size in range(len(data)):
        with pytest.raises(EvidenceError):
            Quoted.parse(data[:size] if how == "cut" else data + bytes(size + 1))


def test_values_of_other_registers_are_refused() -> None:
    """More, fewer, others, or the right ones with another value; all of them are named."""
    quoted, values = Quoted.parse(_ATTEST), {0: b"a" * 32, 7: b"b" * 32}
    quoted.require_values({"sha256": values}, hashes.SHA256())
    with pytest.raises(EvidenceError, match="are not those") as refused:
        quoted.require_values({"sha256": {0: b"a" * 32, 8: b"b" * 32}}, hashes.SHA256())
    assert refused.value.reasons == ("sha256:7 is quoted and not given", "sha256:8 is given and not quoted")
    with pytest.raises(EvidenceError, match="do not give the digest"):
        quoted.require_values({"sha256": values | {7: b"c" * 32}}, hashes.SHA256())
    with pytest.raises(EvidenceError, match="do not give the digest"):
        quoted.require_values({"sha256": {0: b"b" * 32, 7: b"a" * 32}}, hashes.SHA256())


def test_a_signature_of_another_scheme_is_refused() -> None:
    """Both ways: a key that is bound to a scheme signs with no other, and each kind of key has its own."""
    with pytest.raises(EvidenceError, match="of another scheme"):
        Signature.parse(_ECDSA).require(attestation_key(), _QUOTE)
    free = dataclasses.replace(attestation_key(), scheme_hash=None)
    with pytest.raises(EvidenceError, match="does not verify"):
        Signature.parse(_ECDSA).require(free, _QUOTE)
    with pytest.raises(EvidenceError, match="is SHA-256, SHA-384 or SHA-512, found algorithm 0x0004"):
        Signature.parse(bytes.fromhex("00140004") + _SIGNATURE[4:])
    with pytest.raises(EvidenceError, match="has the scheme 0x001a"):
        Signature.parse(bytes.fromhex("001a000b") + _SIGNATURE[4:])


def test_a_signature_with_a_salt_is_verified() -> None:
    """RSAPSS, as some TPMs have it by themselves."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.MAX_LENGTH)
    value = key.sign(_QUOTE, pss, hashes.SHA256())
    encoded = bytes.fromhex("0016000b") + len(value).to_bytes(2, "big") + value
    public = dataclasses.replace(attestation_key(), key=key.public_key(), scheme_hash=None)
    Signature.parse(encoded).require(public, _QUOTE)
    with pytest.raises(EvidenceError, match="does not verify"):
        Signature.parse(encoded).require(public, _QUOTE + b"x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"sha256":{"0":"' + b"AA" * 32 + b'"}}', "canonical"),
        (b'{"sha256":{"00":"' + b"aa" * 32 + b'"}}', "canonical"),
        (b'{"sha256": {}}', "canonical"),
        (b'{"sha256":{"24":"' + b"aa" * 32 + b'"}}', "malformed"),
        (b'{"sha256":{"0":"aa"}}', "malformed"),
        (b'{"md5":{}}', "canonical"),
        (b'{"sha256":{}}', "canonical"),
        (b"[]", "malformed"),
        (b"[" * 40_000, "at most"),
    ],
)
def test_values_have_one_form(text: bytes, message: str) -> None:
    """Whatever else they could be written as is refused."""
    with pytest.raises(EvidenceError, match=message):
        pcrs_from_json(text)


_PARSERS: dict[str, tuple[bytes, Callable[[bytes], Any]]] = {
    "TPMS_ATTEST": (_QUOTE, Quoted.parse),
    "TPMT_SIGNATURE": (_ECDSA, Signature.parse),
    "TPMT_PUBLIC": (_PUBLIC, Public.parse),
    "registers": (b'{"sha256":{"0":"' + b"aa" * 32 + b'"}}', pcrs_from_json),
    "event log": ((DATA / "eventlog" / "tpm-debian-10.bin").read_bytes(), EventLog.parse),
    "crypto-agile event log": ((DATA / "eventlog" / "ccel-ovmf.bin").read_bytes()[:2000], EventLog.parse),
}


@pytest.mark.parametrize("what", _PARSERS)
@given(data=st.data())
def test_any_bytes_are_read_or_refused(what: str, data: st.DataObject) -> None:
    """A parser raises EvidenceError and nothing else, of noise and of damaged samples."""
    sample, parse = _PARSERS[what]
    noise = data.draw(st.binary(max_size=200))
    at = data.draw(st.integers(0, len(sample)))
    upto = data.draw(st.integers(at, min(len(sample), at + 40)))
    for damaged in (noise, sample[:at] + noise, sample[:at] + noise + sample[upto:]):
        with suppress(EvidenceError):
            parse(damaged)


def _flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
