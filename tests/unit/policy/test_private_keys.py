"""Private keys: every type that the language names, in every form that users have them in."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import Bug, InputError
from bannock.policy.private_keys import (
    key_type_of,
    make_private_key,
    private_key_der,
    private_key_pem,
    read_private_key,
)
from bannock.policy.secret_specs import KeyType

if TYPE_CHECKING:
    from collections.abc import Callable


def random_of(seed: str) -> Callable[[int], bytes]:
    """A source that gives other bytes at every call, and the same ones for the same seed."""
    calls = itertools.count()
    return lambda size: hashlib.shake_256(f"{seed} {next(calls)}".encode()).digest(size)


@pytest.mark.parametrize("key_type", KeyType)
def test_every_type_is_made_and_read_back(key_type: KeyType) -> None:
    """A key is of its type, and PEM and DER read back to the same key; OpenSSL reads it too."""
    key = make_private_key(key_type, os.urandom)
    assert key_type_of(key) is key_type
    pem, der = private_key_pem(key).reveal(), private_key_der(key).reveal()
    assert pem.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert private_key_der(read_private_key(pem)).reveal() == der
    assert private_key_der(read_private_key(der)).reveal() == der
    subprocess.run(["/usr/bin/openssl", "pkey", "-noout"], input=pem, check=True)


def test_keys_come_from_the_randomness_that_is_passed_in() -> None:
    """The same bytes make the same key, other bytes another one."""
    for key_type in (KeyType.P256, KeyType.P384, KeyType.ED25519):
        first, same, other = (make_private_key(key_type, random_of(seed)) for seed in ("a", "a", "b"))
        assert private_key_der(first) == private_key_der(same) != private_key_der(other)


def test_numbers_beyond_the_order_are_drawn_again() -> None:
    """No private key is more likely than another, and a source that gives no usable number ends in an error."""
    draws = iter([b"\xff" * 32, b"\0" * 32, b"\0" * 31 + b"\x07"])
    key = make_private_key(KeyType.P256, lambda _: next(draws))
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.private_numbers().private_value == 7
    with pytest.raises(Bug):
        make_private_key(KeyType.P384, lambda size: b"\xff" * size)


def test_ed25519_with_its_public_key_is_read() -> None:
    """SCONE writes Ed25519 keys as RFC 5958 has them, with the public key; it has to be the right one."""
    key = ed25519.Ed25519PrivateKey.generate()
    written = bytes.fromhex("30510201013005 06032b6570 04220420") + key.private_bytes_raw() + b"\x81\x21\0"
    read = read_private_key(written + key.public_key().public_bytes_raw())
    assert private_key_der(read) == private_key_der(key)
    other = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    with pytest.raises(InputError):
        read_private_key(written + other)


def test_older_forms_are_read() -> None:
    """What OpenSSL wrote before PKCS #8 is a private key too."""
    key = ec.generate_private_key(ec.SECP256R1())
    older = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    assert private_key_der(read_private_key(older)) == private_key_der(key)


def _pem(key: rsa.RSAPrivateKey | x25519.X25519PrivateKey, password: bytes | None = None) -> bytes:
    encryption = serialization.NoEncryption() if password is None else serialization.BestAvailableEncryption(password)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def test_what_is_no_usable_key_is_refused() -> None:
    """An encrypted key, one of a kind that does not sign, a weak one and a public one are refused, with a reason."""
    strong = rsa.generate_private_key(65537, 2048)
    public = strong.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    refused = {
        _pem(strong, b"password"): "not encrypted",
        _pem(x25519.X25519PrivateKey.generate()): "EC, Ed25519 or RSA",
        _pem(rsa.generate_private_key(65537, 1024)): "at least 2048 bits, found 1024",  # noqa: S505 - to be refused
        public: "private key in PEM",
        b"-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----": "private key in PEM",
        b"x" * (1 << 17): "at most 65536 bytes",
    }
    for text, message in refused.items():
        with pytest.raises(InputError, match=message):
            read_private_key(text)


@given(st.binary(max_size=300))
def test_whatever_is_read_raises_only_our_error(data: bytes) -> None:
    """Bytes from outside are a key or an InputError."""
    for text in (data, b"-----BEGIN PRIVATE KEY-----\n" + data + b"\n-----END PRIVATE KEY-----"):
        with pytest.raises(InputError):
            read_private_key(text)


def test_parts_of_an_rsa_key_that_do_not_fit() -> None:
    """A key that comes from outside is checked; one that is known is read without the time that this takes."""
    numbers = rsa.generate_private_key(65537, 2048).private_numbers()
    broken = rsa.RSAPrivateNumbers(
        p=numbers.p,
        q=numbers.q,
        d=numbers.d + 2,
        dmp1=numbers.dmp1,
        dmq1=numbers.dmq1,
        iqmp=numbers.iqmp,
        public_numbers=numbers.public_numbers,
    ).private_key(unsafe_skip_rsa_key_validation=True)
    written = private_key_der(broken).reveal()
    with pytest.raises(InputError, match="private key in PEM"):
        read_private_key(written)
    assert private_key_der(read_private_key(written, known=True)).reveal() == written
