"""Second factors of a start: one-time passwords and service access tokens."""

from __future__ import annotations

import base64
import datetime as dt
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import DeniedError, InputError
from bannock.policy.access_token import Side, prove_access_token, verify_access_token
from bannock.policy.one_time_password import (
    OneTimePasswords,
    one_time_password,
    shared_secret,
    verify_one_time_password,
)
from bannock.values import Secret

_SECRET: Final = Secret(b"12345678901234567890")
_UNUSED: Final = OneTimePasswords()


def _at(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


@pytest.mark.parametrize(
    ("seconds", "password"),
    # RFC 6238, appendix B, SHA-1; its passwords have eight digits, of which ours are the last six.
    [
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
def test_passwords_are_those_of_the_standard(seconds: int, password: str) -> None:
    """RFC 6238's vectors."""
    assert one_time_password(_SECRET, _at(seconds)) == password[-6:]
    assert verify_one_time_password(_SECRET, password[-6:], at=_at(seconds), used=_UNUSED).last == seconds // 30


@pytest.mark.parametrize(("steps", "accepted"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_the_clocks_may_differ_by_one_step(steps: int, accepted: bool) -> None:  # noqa: FBT001
    """One before and one after, and no more."""
    password = one_time_password(_SECRET, _at(1_000_000 + 30 * steps))
    if accepted:
        verify_one_time_password(_SECRET, password, at=_at(1_000_000), used=_UNUSED)
    else:
        with pytest.raises(DeniedError, match="is wrong"):
            verify_one_time_password(_SECRET, password, at=_at(1_000_000), used=_UNUSED)


def test_a_password_is_good_once() -> None:
    """And so is every older one."""
    now, before = _at(1_000_000), _at(1_000_000 - 30)
    used = verify_one_time_password(_SECRET, one_time_password(_SECRET, now), at=now, used=_UNUSED)
    for password in (one_time_password(_SECRET, now), one_time_password(_SECRET, before)):
        with pytest.raises(DeniedError, match="used already"):
            verify_one_time_password(_SECRET, password, at=now, used=used)
    later = _at(1_000_030)
    assert verify_one_time_password(_SECRET, one_time_password(_SECRET, later), at=later, used=used).last > used.last


@pytest.mark.parametrize("password", ["", "000000", "28708", "2870822", "94287082", "28708²", "abcdef"])
def test_anything_else_is_refused(password: str) -> None:
    """Six digits, all of them right."""
    with pytest.raises(DeniedError, match="is wrong"):
        verify_one_time_password(_SECRET, password, at=_at(59), used=_UNUSED)


def test_a_start_without_a_password_is_told_how() -> None:
    """The suffix of SCONE_CONFIG_ID."""
    with pytest.raises(DeniedError, match="none came") as caught:
        verify_one_time_password(_SECRET, None, at=_at(59), used=_UNUSED)
    assert "@PASSWORD" in (caught.value.hint or "")


def test_guessing_is_slow() -> None:
    """After three wrong ones within a step even the right one waits for the next step."""
    used, now = _UNUSED, _at(1_000_000)
    for _ in range(3):
        with pytest.raises(DeniedError, match="is wrong"):
            verify_one_time_password(_SECRET, "000000", at=now, used=used)
        used = used.after_failure(now)
    right = one_time_password(_SECRET, now)
    with pytest.raises(DeniedError, match="too many"):
        verify_one_time_password(_SECRET, right, at=now, used=used)
    assert verify_one_time_password(_SECRET, right, at=_at(1_000_030), used=used).last == 1_000_000 // 30
    assert used.after_failure(_at(1_000_060)).failures == 1


@pytest.mark.parametrize("text", ["BASE32SECRET3232BASE32SECRET3232", "base32secret3232base32secret3232"])
def test_the_shared_secret_is_base32(text: str) -> None:
    """Of either case."""
    assert len(shared_secret(Secret(text.encode())).reveal()) == 20


@given(st.binary(min_size=16, max_size=40))
def test_the_shared_secret_has_padding_or_not(value: bytes) -> None:
    """RFC 4648 with ``:base32`` and ``:base32nopad``."""
    text = base64.b32encode(value)
    assert shared_secret(Secret(text)).reveal() == shared_secret(Secret(text.rstrip(b"="))).reveal() == value


@pytest.mark.parametrize("text", [b"", b"BASE32SECRET3232BASE32SEC", b"0189" * 8, b"\xff" * 32])
def test_other_shared_secrets_are_refused_without_being_repeated(text: bytes) -> None:
    """Too short, or not base32."""
    with pytest.raises(InputError, match="shared secret of one-time passwords") as caught:
        shared_secret(Secret(text))
    assert not text or repr(text)[2:-1] not in str(caught.value)


_TOKEN: Final = Secret(b"j765WyMWTKksiqWbBuuc")
_EXPORTER: Final = bytes(range(32))


@pytest.mark.parametrize("side", list(Side))
def test_who_knows_the_token_proves_it(side: Side) -> None:
    """On this connection, from this side, without showing it."""
    proof = prove_access_token(_TOKEN, side, _EXPORTER)
    verify_access_token(_TOKEN, side, _EXPORTER, proof)
    assert _TOKEN.reveal() not in proof


@pytest.mark.parametrize("side", list(Side))
def test_a_proof_is_good_for_one_connection_and_one_side(side: Side) -> None:
    """Neither relayed nor sent back."""
    other = Side.CAS if side is Side.SERVICE else Side.SERVICE
    for proof in (
        prove_access_token(Secret(b"another"), side, _EXPORTER),
        prove_access_token(_TOKEN, other, _EXPORTER),
        prove_access_token(_TOKEN, side, bytes(32)),
        b"",
    ):
        with pytest.raises(DeniedError, match="is wrong"):
            verify_access_token(_TOKEN, side, _EXPORTER, proof)
    with pytest.raises(DeniedError, match="is missing"):
        verify_access_token(_TOKEN, side, _EXPORTER, None)
