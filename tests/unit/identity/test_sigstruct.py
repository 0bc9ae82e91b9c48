"""SIGSTRUCT: genuine ones of others, ours before other programs, and what is refused."""

from __future__ import annotations

import datetime as dt
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import BannockError, DeniedError, EvidenceError, InputError
from bannock.identity.debug_key import DEBUG_SIGNER, debug_signing_key
from bannock.identity.manifest import EnclaveManifest
from bannock.identity.signer import NO_SIGNER, SignedIdentity
from bannock.identity.sigstruct import (
    FLAG_DEBUG,
    FLAG_MODE64BIT,
    SIGSTRUCT_BYTES,
    XFRM_LEGACY,
    Attributes,
    SigStruct,
)
from bannock.values import Measurement

_GENUINE = Path(__file__).parent / "sigstructs"
_MEASUREMENT: Final = Measurement(bytes(range(32)))
_KEY: Final = rsa.generate_private_key(3, 3072)
_UNSIGNED: Final = SigStruct(
    measurement=_MEASUREMENT,
    product_id=41,
    svn=7,
    date=dt.date(2026, 11, 21),
    attributes=Attributes(FLAG_MODE64BIT, XFRM_LEGACY),
)
_SIGNED: Final = _UNSIGNED.sign(_KEY)


@pytest.mark.parametrize("path", sorted(_GENUINE.glob("*.sig")), ids=lambda path: path.stem)
def test_genuine_ones_hold(path: Path) -> None:
    """Structures that Intel and Fortanix made have one form, and their signatures and quotients are right."""
    data = path.read_bytes()
    found = SigStruct.parse(data)
    found.verify()
    assert found.to_bytes() == data


def test_fields_are_where_others_put_them() -> None:
    """What Intel says of its launch enclave is known by other tools, too."""
    found = SigStruct.parse((_GENUINE / "intel-launch-enclave.sig").read_bytes())
    assert str(found.measurement) == "7881af9f9def547da9908c008f29cde9bd78064e36ac7e14c83c294ca4806150"
    assert str(found.signer) == "acb77012053e05a63d413b8bbae8fb6c5d73b3f2996d91c43bbbf90959c0f8d4"
    assert (found.product_id, found.svn, found.vendor) == (32, 7, 0x8086)
    assert (found.date, found.debug) == (dt.date(2024, 8, 11), False)
    assert found.attributes == Attributes(0x24, 3)


def test_ours_holds() -> None:
    """What was signed is parsed as it was meant."""
    found = SigStruct.parse(_SIGNED.to_bytes())
    found.verify()
    assert found == _SIGNED
    assert replace(found, modulus=b"", signature=b"", q1=b"", q2=b"") == replace(
        _UNSIGNED, modulus=b"", signature=b"", q1=b"", q2=b""
    )


def test_openssl_verifies_ours(tmp_path: Path) -> None:
    """The signature is RSA PKCS #1 v1.5 with SHA-256, over the bytes that the manual names."""
    data = _SIGNED.to_bytes()
    assert len(data) == SIGSTRUCT_BYTES == 1808
    assert data[:16].hex() == "06000000e10000000000010000000000"
    assert data[20:24].hex() == "21112620"
    assert data[960:992] == _MEASUREMENT.value
    assert (data[1024:1026], data[1026:1028]) == (b"\x29\0", b"\x07\0")
    modulus, exponent, signature = (
        int.from_bytes(data[start:end], "little") for start, end in ((128, 512), (512, 516), (516, 900))
    )
    assert modulus == _KEY.public_key().public_numbers().n
    q1, q2 = int.from_bytes(data[1040:1424], "little"), int.from_bytes(data[1424:], "little")
    # So a processor gets signature ** 3 modulo the modulus without a division (manual, EINIT).
    rest = signature**2 - q1 * modulus
    assert 0 <= signature * rest - q2 * modulus < modulus
    assert signature * rest - q2 * modulus == pow(signature, 3, modulus)
    public = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    (tmp_path / "key").write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (tmp_path / "signature").write_bytes(signature.to_bytes(384, "big"))
    (tmp_path / "signed").write_bytes(data[:128] + data[900:1028])
    command = ["openssl", "dgst", "-sha256", "-verify", "key", "-signature", "signature", "signed"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "Verified OK\n"), done.stderr


def test_every_flipped_bit_is_refused() -> None:
    """In each byte, one bit after the other."""
    data = _SIGNED.to_bytes()
    for at in range(len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 1 << at % 8
        with pytest.raises(EvidenceError):
            SigStruct.parse(bytes(flipped)).verify()


@given(st.binary(max_size=2 * SIGSTRUCT_BYTES) | st.binary(min_size=SIGSTRUCT_BYTES, max_size=SIGSTRUCT_BYTES))
def test_any_bytes_raise_our_error(data: bytes) -> None:
    """Nothing but EvidenceError comes out."""
    with pytest.raises(EvidenceError):
        SigStruct.parse(data).verify()


@given(st.integers(0, SIGSTRUCT_BYTES - 1), st.binary(min_size=1, max_size=64))
def test_any_change_raises_our_error(at: int, change: bytes) -> None:
    """Also where most of it is right."""
    data = bytearray(_SIGNED.to_bytes())
    data[at : at + len(change)] = change
    data = data[:SIGSTRUCT_BYTES]
    if bytes(data) != _SIGNED.to_bytes():
        with pytest.raises(EvidenceError):
            SigStruct.parse(bytes(data)).verify()


@pytest.mark.parametrize("cut", [0, 1, 128, 900, 1028, 1807])
def test_cut_or_longer_is_refused(cut: int) -> None:
    """It has one length."""
    data = _SIGNED.to_bytes()
    for wrong in (data[:cut], data + bytes(cut + 1)):
        with pytest.raises(EvidenceError, match=f"1808 bytes, found {len(wrong)}"):
            SigStruct.parse(wrong)


@pytest.mark.parametrize(("exponent", "bits"), [(65537, 3072), (3, 2048)])
def test_other_keys_are_refused(exponent: int, bits: int) -> None:
    """A processor takes RSA-3072 with exponent 3, and nothing else."""
    with pytest.raises(InputError, match=f"found {bits} bits and {exponent}") as caught:
        _UNSIGNED.sign(rsa.generate_private_key(exponent, bits))
    assert "openssl genrsa -3" in (caught.value.hint or "")


@pytest.mark.parametrize("change", [{"product_id": 65536}, {"svn": -1}])
def test_numbers_have_sixteen_bits(change: Any) -> None:
    """Product ids and security version numbers."""
    with pytest.raises(InputError, match="from 0 to 65535"):
        replace(_UNSIGNED, **change)


def _manifest(signed: SigStruct | None) -> EnclaveManifest:
    return EnclaveManifest(binary="/app", settings={}, sigstruct=b"" if signed is None else signed.to_bytes())


def test_who_signed_is_told_of_what_was_signed() -> None:
    """MRSIGNER, product id and security version number are the signer's; what nobody signed has none."""
    assert SignedIdentity.of(_manifest(None), _MEASUREMENT) == SignedIdentity(signer=NO_SIGNER)
    found = SignedIdentity.of(_manifest(_SIGNED), _MEASUREMENT)
    assert found == SignedIdentity(signer=_SIGNED.signer, product_id=41, svn=7, debug=False)


def test_a_signature_for_another_enclave_is_refused() -> None:
    """Both measurements are named, in the words of every such refusal."""
    other = Measurement(bytes(32))
    with pytest.raises(DeniedError, match="signed for another enclave") as caught:
        SignedIdentity.of(_manifest(_SIGNED), other)
    assert caught.value.reasons == (f"Unexpected enclave measurement (MRENCLAVE, {other}) - Expected {_MEASUREMENT}",)


def test_a_signature_that_does_not_hold_is_refused() -> None:
    """Somebody else's modulus makes nobody that somebody."""
    forged = replace(_SIGNED, modulus=SigStruct.parse(next(_GENUINE.glob("*.sig")).read_bytes()).modulus)
    with pytest.raises(EvidenceError, match="does not hold"):
        SignedIdentity.of(_manifest(forged), _MEASUREMENT)


def test_debug_is_what_allows_it() -> None:
    """A debug enclave is one whose signer says so or leaves it open; and one signed with the key that all have."""
    debug = replace(_UNSIGNED, attributes=Attributes(FLAG_MODE64BIT | FLAG_DEBUG, XFRM_LEGACY)).sign(_KEY)
    left_open = replace(_UNSIGNED, attribute_mask=Attributes(0xFFFFFFFFFFFFFFFD, 0xFFFFFFFFFFFFFFFF)).sign(_KEY)
    for signed in (debug, left_open):
        assert SignedIdentity.of(_manifest(signed), _MEASUREMENT).debug
    built_in = _UNSIGNED.sign(debug_signing_key())
    assert (built_in.signer, built_in.debug) == (DEBUG_SIGNER, False)
    assert SignedIdentity.of(_manifest(built_in), _MEASUREMENT).debug


def test_manifest_carries_it() -> None:
    """Whole or not at all."""
    manifest = _manifest(_SIGNED)
    assert EnclaveManifest.from_json(manifest.to_json()) == manifest
    for wrong in (b"x", _SIGNED.to_bytes()[1:]):
        with pytest.raises(InputError, match="1808 bytes"):
            EnclaveManifest(binary="/app", settings={}, sigstruct=wrong)
    text = manifest.to_json().decode()
    with pytest.raises(BannockError):
        EnclaveManifest.from_json(text.replace(_SIGNED.to_bytes().hex(), "ABCD").encode())
