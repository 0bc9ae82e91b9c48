"""Identities: a key, in the one form that carries it."""

from __future__ import annotations

import datetime as dt
import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519

from bannock.errors import InputError
from bannock.net.client import connect
from bannock.net.tls import Identity, key_hash_of
from tests.unit.net.echo import Echo, server


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
    """An identity has a key that TLS 1.3 signs with."""
    pem = x25519.X25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(InputError, match="RSA key, found X25519PrivateKey"):
        Identity.from_pem(pem + Identity.generate("one").certificate_pem)


@pytest.mark.parametrize("text", [b"", b"hunter2", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_other_bytes_are_refused_and_not_repeated(text: bytes) -> None:
    """What is not an identity is refused, and the message does not hold it."""
    with pytest.raises(InputError) as caught:
        Identity.from_pem(text)
    assert caught.value.message == "an identity is a PEM private key and its PEM certificate"


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP384R1()),
    ],
    ids=lambda key: type(key).__name__,
)
def test_identities_have_keys_of_many_kinds(
    key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey,
) -> None:
    """Whatever key a user made a certificate for: the handshake proves it, and its hash is who the client is."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "user")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2021, 1, 1, tzinfo=dt.UTC))
    )
    certificate = builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    pem = Identity(private_key=key, certificate=certificate).to_pem().reveal()
    with (
        server(Echo(), Identity.generate("service")) as running,
        connect("127.0.0.1", running.port, Identity.from_pem(pem), expected_peer=None) as connection,
    ):
        assert connection.request_json("GET", "/")["key_hash"] == str(key_hash_of(certificate))
