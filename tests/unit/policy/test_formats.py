"""Placeholders: format suffixes of every kind, the older ones with a dot, and where they fit."""

from __future__ import annotations

import datetime as dt
import json
import os

import pytest

from bannock.errors import InputError
from bannock.policy.pgp import armored_private, armored_public, make_pgp_key, public_part
from bannock.policy.private_keys import make_private_key, private_key_der, private_key_pem
from bannock.policy.secret_specs import KeyType
from bannock.policy.template import FORMATS, Placeholder, SecretKind
from bannock.values import Secret


def _rendered(body: str, kind: SecretKind, value: bytes) -> bytes:
    return Placeholder.parse(body).render(kind, Secret(value))


def test_binary_formats() -> None:
    """As RFC 4648 has them."""
    value = bytes.fromhex("00fffbef1042")
    expected = {
        "s": value,
        "s:bin": value,
        "s:hex": b"00fffbef1042",
        "s.hex": b"00fffbef1042",
        "s:base64": b"AP/77xBC",
        "s:base64url": b"AP_77xBC",
        "s:base32": b"AD77X3YQII======",
        "s:base32nopad": b"AD77X3YQII",
    }
    assert {body: _rendered(body, SecretKind.BINARY, value) for body in expected} == expected
    assert len(expected) == len(FORMATS[SecretKind.BINARY])


def test_private_key_formats() -> None:
    """PKCS #8 in PEM or DER, whatever form the value was given in."""
    key = make_private_key(KeyType.ED25519, os.urandom)
    value = private_key_pem(key).reveal()
    for body in ("k", "k:pem", "k:pkcs8:pem"):
        assert _rendered(body, SecretKind.PRIVATE_KEY, private_key_der(key).reveal()) == value
    for body in ("k:der", "k:pkcs8:der"):
        assert _rendered(body, SecretKind.PRIVATE_KEY, value) == private_key_der(key).reveal()


def test_pgp_formats() -> None:
    """Private and public keys, in binary, base64 and ASCII armor."""
    key = make_pgp_key(os.urandom, dt.datetime(2024, 1, 1, tzinfo=dt.UTC))
    assert _rendered("k:privatekey:asciiarmored", SecretKind.PGP_KEY, key) == armored_private(key)
    assert armored_private(key).startswith(b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n")
    assert _rendered("k:privatekey:binary", SecretKind.PGP_KEY, key) == key
    assert _rendered("k:publickey:asciiarmored", SecretKind.PGP_KEY, key) == armored_public(key)
    assert armored_public(key).startswith(b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n")
    assert _rendered("k:publickey:binary", SecretKind.PGP_KEY, key) == public_part(key)
    for side in ("privatekey", "publickey"):
        text = _rendered(f"k:{side}:base64", SecretKind.PGP_KEY, key)
        assert b"\n" not in text
    with pytest.raises(InputError, match="has no format without a suffix, allowed: :privatekey:asciiarmored"):
        Placeholder.parse("k").require_fit(SecretKind.PGP_KEY, as_text=True)


def test_fragments_are_text_or_json() -> None:
    """In text, a fragment that is text is itself, and any other one is JSON."""
    assert _rendered("f", SecretKind.CONFIG_FRAGMENT, b'"plain \\" text"') == b'plain " text'
    assert _rendered("f", SecretKind.CONFIG_FRAGMENT, b'["a",1]') == b'["a",1]'


def test_every_kind_has_formats() -> None:
    """None was forgotten."""
    assert set(FORMATS) == set(SecretKind)


@pytest.mark.parametrize("suffix", [".crt", ".key", ".chain", ".hex"])
def test_suffixes_with_a_dot(suffix: str) -> None:
    """They are formats, unless the session has a secret whose very name ends so."""
    parsed = Placeholder.parse(f"tls{suffix}")
    assert (parsed.name, parsed.format) == ("tls", suffix)
    assert parsed.within({"tls"}) == parsed
    whole = parsed.within({f"tls{suffix}", "tls"})
    assert (whole.name, whole.format) == (f"tls{suffix}", "")
    assert Placeholder.parse(f"tls{suffix}:crt").name == f"tls{suffix}"
    assert Placeholder.parse(suffix).name == suffix


@pytest.mark.parametrize(
    ("body", "kind", "hint"),
    [
        ("s", SecretKind.BINARY, "binary secret 's' needs a format that is text here, such as :hex or :base64"),
        ("s:der", SecretKind.PRIVATE_KEY, "such as :pem or :pkcs8:pem"),
        ("s:crt:der", SecretKind.X509, "such as :crt or :crt:pem"),
        ("s:pkcs12-with-private-key", SecretKind.X509_CA, "such as :crt"),
        ("s:privatekey:binary", SecretKind.PGP_KEY, "such as :privatekey:asciiarmored or :privatekey:base64"),
    ],
)
def test_bytes_do_not_fit_where_text_is_needed(body: str, kind: SecretKind, hint: str) -> None:
    """In arguments, the environment and JSON strings, a format that gives bytes is refused; in files it is not."""
    placeholder = Placeholder.parse(body)
    placeholder.require_fit(kind, as_text=False)
    with pytest.raises(InputError, match=hint):
        placeholder.require_fit(kind, as_text=True)
    with pytest.raises(InputError, match=hint):
        Placeholder.parse(f"{body}|escape(json)").require_fit(kind, as_text=False)


def test_pem_in_json() -> None:
    """``|escape(json)`` makes a key in PEM the inside of a JSON string."""
    pem = private_key_pem(make_private_key(KeyType.P256, os.urandom)).reveal()
    escaped = _rendered("k:pem|escape(json)", SecretKind.PRIVATE_KEY, pem)
    assert b"\n" not in escaped
    assert json.loads(b'"' + escaped + b'"').encode() == pem
