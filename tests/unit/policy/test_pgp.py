"""OpenPGP keys, read and used by GnuPG, which did not make them."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from bannock.errors import IntegrityError
from bannock.policy.pgp import armored_private, armored_public, make_pgp_key, public_part

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NOW = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)

pytestmark = pytest.mark.skipif(shutil.which("gpg") is None, reason="needs gpg")


@pytest.fixture
def gpg(tmp_path: Path) -> Iterator[Path]:
    """A home of GnuPG; its agent ends with the test."""
    home = tmp_path / "g"
    home.mkdir(mode=0o700)
    yield home
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=True)  # noqa: S607 - as users find it


def _gpg(home: Path, *arguments: str, given: bytes = b"") -> bytes:
    command = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--trust-model", "always", *arguments]
    return subprocess.run(command, input=given, capture_output=True, check=True).stdout


def _fingerprint(home: Path) -> str:
    lines = _gpg(home, "--with-colons", "--list-keys").decode().splitlines()
    return next(line.split(":")[9] for line in lines if line.startswith("fpr"))


def test_gpg_encrypts_to_the_public_key_and_decrypts_with_the_private_one(gpg: Path, tmp_path: Path) -> None:
    """What is encrypted to the armored public key opens with the armored private key, and so are signatures."""
    key = make_pgp_key(os.urandom, _NOW)
    _gpg(gpg, "--import", given=armored_public(key))
    who = _fingerprint(gpg)
    message = _gpg(gpg, "--recipient", who, "--encrypt", given=b"hello")
    _gpg(gpg, "--import", given=armored_private(key))
    assert _gpg(gpg, "--decrypt", given=message) == b"hello"
    signed = tmp_path / "signed"
    signed.write_bytes(_gpg(gpg, "--local-user", who, "--sign", given=b"hello"))
    assert _gpg(gpg, "--decrypt", str(signed)) == b"hello"


def test_what_the_key_consists_of(gpg: Path) -> None:
    """Ed25519 that signs, Curve25519 that is encrypted to, the preferences, and a name that says nothing."""
    key = make_pgp_key(os.urandom, _NOW)
    _gpg(gpg, "--import", given=key)
    fields = [line.split(":") for line in _gpg(gpg, "--with-colons", "--list-secret-keys").decode().splitlines()]
    keys = [
        (line[0], line[3], line[5], line[11].strip("SCE"), line[16]) for line in fields if line[0] in {"sec", "ssb"}
    ]
    created = str(int(_NOW.timestamp()))
    assert keys == [("sec", "22", created, "sc", "ed25519"), ("ssb", "18", created, "e", "cv25519")]
    (user_id,) = [line[9] for line in fields if line[0] == "uid"]
    assert "@" not in user_id
    assert len(user_id) == 32
    packets = _gpg(gpg, "--list-packets", given=key).decode()
    for preference in ("pref-sym-algos: 9)", "pref-hash-algos: 8)", "pref-zip-algos: 2)"):
        assert preference in packets
    assert "version 4" in packets


def test_many_keys_are_whole(gpg: Path) -> None:
    """Numbers that begin with zeros are written as the format asks: GnuPG takes every key of many."""
    keys = [make_pgp_key(os.urandom, _NOW) for _ in range(60)]
    _gpg(gpg, "--import", given=b"".join(keys))
    listed = _gpg(gpg, "--with-colons", "--list-secret-keys").decode().splitlines()
    assert sum(line.startswith("sec") for line in listed) == len(keys)


def test_the_public_part_holds_no_secret() -> None:
    """The public key is what is left without the private numbers."""
    secrets: list[bytes] = []

    def random(size: int) -> bytes:
        secrets.append(os.urandom(size))
        return secrets[-1]

    key = make_pgp_key(random, _NOW)
    signing, decrypting, _ = secrets
    for hidden in (signing, decrypting[1:-1], bytes(reversed(decrypting))[1:-1]):
        assert hidden.strip(b"\0") not in public_part(key)
    assert signing.lstrip(b"\0") in key


def test_a_damaged_key_is_no_key() -> None:
    """A stored key that was cut is found out."""
    with pytest.raises(IntegrityError):
        public_part(make_pgp_key(os.urandom, _NOW)[:-1])
