"""Identities: a key, in the one form that carries it."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from bannock.errors import InputError
from bannock.net.tls import Identity, key_hash_of


def test_the_pem_form_round_trips() -> None:
    """What to_pem writes, from_pem reads."""
    identity = Identity.generate("somebody")
    again = Identity.from_pem(identity.to_pem().reveal())
    assert again.key_hash == identity.key_hash
    assert again.certificate == identity.certificate


def test_the_key_hash_is_that_of_the_subject_public_key_info() -> None:
    """The hash is SHA-256 over the DER public key, and the certificate gives the same."""
    identity = Identity.generate("somebody")
    assert identity.key_hash.value == hashlib.sha256(identity.public_key_der).digest()
    assert key_hash_of(identity.certificate) == identity.key_hash


def test_nothing_shows_the_private_key() -> None:
    """The representation of an identity has its key hash alone."""
    identity = Identity.generate("somebody")
    assert repr(identity) == f"Identity({identity.key_hash})"


def test_a_certificate_for_another_key_is_refused() -> None:
    """Key and certificate of an identity belong together."""
    one, other = Identity.generate("one"), Identity.generate("other")
    key = one.to_pem().reveal().partition(b"-----BEGIN CERTIFICATE")[0]
    with pytest.raises(InputError, match="for another key"):
        Identity.from_pem(key + other.certificate_pem)


def test_a_key_of_another_kind_is_refused() -> None:
    """Identities of ours are elliptic curve keys."""
    pem = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(InputError, match="elliptic curve key, found Ed25519PrivateKey"):
        Identity.from_pem(pem + Identity.generate("one").certificate_pem)


@pytest.mark.parametrize("text", [b"", b"hunter2", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_other_bytes_are_refused_and_not_repeated(text: bytes) -> None:
    """What is not an identity is refused, and the message does not hold it."""
    with pytest.raises(InputError) as caught:
        Identity.from_pem(text)
    assert caught.value.message == "an identity is a PEM private key and its PEM certificate"
