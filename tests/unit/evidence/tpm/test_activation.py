"""Credentials and challenges: what a TPM opens, and how the parts of it are put together."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import os

import pytest
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import EvidenceError
from bannock.evidence.tpm.activation import CHALLENGE_BYTES_MAX, Challenge
from bannock.evidence.tpm.credential import make_credential
from bannock.evidence.tpm.keys import encoded
from bannock.values import Secret
from tests.unit.evidence.tpm.samples import attestation_key

_RANDOM = os.urandom
_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
_SECRET = bytes(range(32))


def _kdfa(seed: bytes, label: bytes, context: bytes, bits: int) -> bytes:
    """KDFa (TPM 2.0 Library, part 1, section 11.4.10.2), by the letter of the specification."""
    block = (1).to_bytes(4, "big") + label + b"\0" + context + bits.to_bytes(4, "big")
    return hmac.digest(seed, block, "sha256")[: bits // 8]


def _opened(seed: bytes, blob: bytes, name: bytes) -> bytes:
    """What TPM2_ActivateCredential does once it has the seed."""
    assert blob[:2] == b"\x00\x20"
    mac, identity = blob[2:34], blob[34:]
    assert mac == hmac.digest(_kdfa(seed, b"INTEGRITY", b"", 256), identity + name, "sha256")
    decryptor = Cipher(algorithms.AES(_kdfa(seed, b"STORAGE", name, 128)), CFB(bytes(16))).decryptor()
    plain = decryptor.update(identity) + decryptor.finalize()
    assert plain[:2] == len(plain[2:]).to_bytes(2, "big")
    return plain[2:]


def test_a_credential_for_an_rsa_key() -> None:
    """It is opened as the specification says."""
    name = attestation_key().name
    credential = make_credential(_RSA.public_key(), name, _SECRET, _RANDOM)
    oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=b"IDENTITY\0")
    assert _opened(_RSA.decrypt(credential.secret, oaep), credential.blob, name) == _SECRET


def test_a_credential_for_an_elliptic_key() -> None:
    """It is opened as the specification says: KDFe over the shared secret and both points."""
    key, name = ec.generate_private_key(ec.SECP256R1()), attestation_key().name
    credential = make_credential(key.public_key(), name, _SECRET, _RANDOM)
    assert credential.secret[:2] == credential.secret[34:36] == b"\x00\x20"
    x, y = (int.from_bytes(credential.secret[at : at + 32], "big") for at in (2, 36))
    shared = key.exchange(ec.ECDH(), ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key())
    ours = key.public_key().public_numbers().x.to_bytes(32, "big")
    seed = hashlib.sha256(b"\0\0\0\x01" + shared + b"IDENTITY\0" + x.to_bytes(32, "big") + ours).digest()
    assert _opened(seed, credential.blob, name) == _SECRET


def test_larger_keys_have_larger_hashes() -> None:
    """Those of the high range; what is in no template is refused."""
    for key in (
        rsa.generate_private_key(public_exponent=65537, key_size=3072).public_key(),
        ec.generate_private_key(ec.SECP384R1()).public_key(),
    ):
        assert make_credential(key, b"name", _SECRET, _RANDOM).blob[:2] == b"\x00\x30"
    with pytest.raises(EvidenceError, match="the endorsement key has 521 bits"):
        make_credential(ec.generate_private_key(ec.SECP521R1()).public_key(), b"name", _SECRET, _RANDOM)


def test_a_challenge_is_opened_with_its_key_and_for_its_name_alone() -> None:
    """What the certificate is sealed with comes from the TPM."""
    known: list[bytes] = []

    def remembered(count: int) -> bytes:
        known.append(_RANDOM(count))
        return known[-1]

    public = attestation_key()
    challenge = Challenge.make(_RSA.public_key(), public, b"certificate", remembered)
    assert Challenge.from_json(challenge.to_json()) == challenge
    assert challenge.endorsement_key == hashlib.sha256(encoded(_RSA.public_key())).digest()
    assert b"certificate" not in challenge.certificate
    assert challenge.open(Secret(known[0]), public.name) == b"certificate"
    changed = dataclasses.replace(challenge, certificate=bytes(len(challenge.certificate)))
    for wrong, key, name in (
        (challenge, bytes(32), public.name),
        (challenge, b"short", public.name),
        (challenge, known[0], b"another name"),
        (changed, known[0], public.name),
    ):
        with pytest.raises(EvidenceError, match="is not opened by what the TPM has given"):
            wrong.open(Secret(key), name)


@given(st.binary(max_size=100) | st.text(max_size=40).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Nothing but EvidenceError, and one form alone."""
    with pytest.raises(EvidenceError):
        Challenge.from_json(data)
    text = Challenge.make(_RSA.public_key(), attestation_key(), b"c", _RANDOM).to_json()
    with pytest.raises(EvidenceError):
        Challenge.from_json(text[:-1] + data + b" }")
    with pytest.raises(EvidenceError, match="at most"):
        Challenge.from_json(text + b" " * CHALLENGE_BYTES_MAX)
