"""What an update keeps of generated secrets: the table of the language reference."""

from __future__ import annotations

import datetime as dt
import os

import pytest

from bannock.errors import InputError
from bannock.policy.private_keys import make_private_key, private_key_pem
from bannock.policy.references import SessionReference
from bannock.policy.secret_specs import (
    AadToken,
    ExplicitValue,
    FragmentValue,
    GeneratedPgpKey,
    GeneratedPrivateKey,
    GeneratedValue,
    ImportedValue,
    KeyType,
    SecretSource,
    SecretSpec,
)
from bannock.policy.secret_values import SecretValue, SecretValues, generate_secrets, require_value, shown
from bannock.policy.session import Session
from bannock.policy.template import SecretKind
from bannock.values import Secret
from tests.unit.policy.documents import NOW

_LATER = NOW + dt.timedelta(days=1)


def _made(kind: SecretKind, source: SecretSource, before: SecretValues | None = None) -> SecretValues:
    spec = SecretSpec(name="s", kind=kind, source=source)
    session = Session(name="s", version="0.3.10", secrets=(spec,), digest="00" * 32)
    return generate_secrets(session, before, os.urandom, now=_LATER if before else NOW)


_ASCII = SecretKind.ASCII, GeneratedValue(size=20)
_BINARY = SecretKind.BINARY, GeneratedValue(size=20)
_PGP = SecretKind.PGP_KEY, GeneratedPgpKey()
_STAYS = SecretKind.PRIVATE_KEY, GeneratedPrivateKey(migrate=True)
_GOES = SecretKind.PRIVATE_KEY, GeneratedPrivateKey(migrate=False)
_OTHER_TYPE = SecretKind.PRIVATE_KEY, GeneratedPrivateKey(key_type=KeyType.ED25519, migrate=True)
_GIVEN = SecretKind.ASCII, ExplicitValue(value=Secret(b"given value of 20 ch"))


@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [
        (_ASCII, _ASCII, True),
        (_ASCII, (SecretKind.ASCII, GeneratedValue(size=21)), False),
        (_BINARY, _BINARY, True),
        (_ASCII, _BINARY, False),
        (_PGP, _PGP, True),
        (_STAYS, _STAYS, True),
        (_STAYS, _GOES, False),
        (_GOES, _STAYS, False),
        (_GOES, _GOES, False),
        (_STAYS, _OTHER_TYPE, False),
        (_GIVEN, _ASCII, False),
        (_ASCII, _GIVEN, False),
        (_BINARY, _STAYS, False),
    ],
)
def test_what_an_update_keeps(
    old: tuple[SecretKind, SecretSource], new: tuple[SecretKind, SecretSource], *, kept: bool
) -> None:
    """The same name and a compatible kind; private keys only where both versions say ``migrate``."""
    before = _made(*old)
    after = _made(*new, before)
    assert (after.secrets["s"].value == before.secrets["s"].value) is kept


def test_what_is_migrated_may_be_migrated_again() -> None:
    """A kept key is kept by the next update too, and stored as what it is."""
    first = _made(*_STAYS)
    second = SecretValues.from_json(_made(*_STAYS, SecretValues.from_json(first.to_json())).to_json())
    assert _made(*_STAYS, second).secrets["s"] == first.secrets["s"]


def test_what_others_have_has_no_value_here() -> None:
    """Nothing is stored for what is imported or fetched."""
    imported = ImportedValue(session=SessionReference(name="other"), secret="s")
    assert _made(SecretKind.ASCII, imported).secrets == {}
    token = AadToken(tenant_id="t", client_id="c", application_secret=Secret(b"s"))
    assert _made(SecretKind.AAD_TOKEN, token).secrets == {}


def test_explicit_keys_are_normalised_and_checked() -> None:
    """A key is stored in one form; what is none is refused without being repeated."""
    pem = private_key_pem(make_private_key(KeyType.P256, os.urandom))
    stored = _made(SecretKind.PRIVATE_KEY, ExplicitValue(value=pem)).secrets["s"]
    assert shown(stored).encode() == pem.reveal()
    with pytest.raises(InputError, match="the value of secret s cannot be used") as caught:
        _made(SecretKind.PRIVATE_KEY, ExplicitValue(value=Secret(b"canary-5e1f")))
    assert "canary" not in str(caught.value)
    with pytest.raises(InputError, match="certificate in PEM"):
        _made(SecretKind.X509, ExplicitValue(value=Secret(b"canary-5e1f")))
    with pytest.raises(InputError, match="only generated"):
        _made(SecretKind.PGP_KEY, ExplicitValue(value=Secret(b"canary-5e1f")))


def test_fragments_are_stored_as_they_are() -> None:
    """A structure is a value."""
    stored = _made(SecretKind.CONFIG_FRAGMENT, FragmentValue(value={"b": [1, "a"], "a": None})).secrets["s"]
    assert shown(stored) == '{"a":null,"b":[1,"a"]}'


def test_what_is_shown_to_everybody() -> None:
    """Of an OpenPGP key only the public part."""
    assert "PUBLIC KEY BLOCK" in shown(_made(*_PGP).secrets["s"])
    assert "PRIVATE" not in shown(_made(*_PGP).secrets["s"])


def test_values_of_the_first_version_are_still_read() -> None:
    """What was stored before certificates were known is what it was."""
    old = (
        b'{"format":"bannock-secret-values-1","secrets":{"a":{"generated":true,"kind":"ascii","value":"6162"}},'
        b'"volume_keys":{"v":"' + b"ab" * 32 + b'"}}'
    )
    values = SecretValues.from_json(old)
    assert values.secrets["a"] == SecretValue(kind=SecretKind.ASCII, value=Secret(b"ab"), generated=True)
    assert values.to_json() == old


@pytest.mark.parametrize(
    "kind", [SecretKind.PRIVATE_KEY, SecretKind.X509, SecretKind.CONFIG_FRAGMENT, SecretKind.PGP_KEY, SecretKind.ASCII]
)
@pytest.mark.parametrize("value", [b"\xff", b"\xc5\x01\x04", b"[" * 100_000, b"{", b"\xc5\xff\xff"])
def test_what_others_say_is_a_value(kind: SecretKind, value: bytes) -> None:
    """A value that comes from elsewhere is checked, so that nothing fails on it later."""
    if kind is SecretKind.ASCII and value.isascii():
        return
    with pytest.raises(InputError):
        require_value(SecretValue(kind=kind, value=Secret(value), generated=False))


def test_values_that_are_values() -> None:
    """Whatever CAS makes is one."""
    for made in (_ASCII, _BINARY, _PGP, _STAYS, _OTHER_TYPE):
        require_value(_made(*made).secrets["s"])
