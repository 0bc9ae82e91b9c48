"""Logins are found where docker login leaves them, and are never repeated."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from bannock.errors import EnvironmentFault, InputError
from bannock.images.credentials import Credentials, Login
from bannock.values import Secret

if TYPE_CHECKING:
    from pathlib import Path

_AUTH = {"auth": base64.b64encode(b"user:pa:ss").decode()}
_LOGIN = Login(name="user", secret=Secret(b"pa:ss"))


def _credentials(directory: Path, document: object) -> Credentials:
    path = directory / "config.json"
    path.write_text(json.dumps(document))
    return Credentials(path)


@pytest.mark.parametrize(
    ("registry", "key"),
    [
        ("ghcr.io", "ghcr.io"),
        ("localhost:5000", "http://localhost:5000"),
        ("ghcr.io", "https://ghcr.io/"),
        ("docker.io", "https://index.docker.io/v1/"),
    ],
)
def test_found(registry: str, key: str, tmp_path: Path) -> None:
    """Docker writes registries in several ways, and its own in a way of its own."""
    found = _credentials(tmp_path, {"auths": {"else": {"auth": "eDp5"}, key: _AUTH}})
    assert found.login(registry) == _LOGIN
    assert found.login("other.example") is None
    assert _LOGIN.basic() == f"Basic {_AUTH['auth']}"
    assert "pa:ss" not in repr(found.login(registry))


@pytest.mark.parametrize("document", [{}, {"auths": None}, {"auths": {"ghcr.io": {}}}, {"auths": {"ghcr.io": "x"}}])
def test_none(document: object, tmp_path: Path) -> None:
    """No login is none, and not an error."""
    assert _credentials(tmp_path, document).login("ghcr.io") is None
    assert Credentials(tmp_path / "none").login("ghcr.io") is None


@pytest.mark.parametrize(
    "auth", ["%%%", base64.b64encode(b"secret-without-name").decode(), base64.b64encode(b":x").decode()]
)
def test_malformed(auth: str, tmp_path: Path) -> None:
    """A login that is none is told without repeating it."""
    with pytest.raises(InputError, match="malformed") as caught:
        _credentials(tmp_path, {"auths": {"ghcr.io": {"auth": auth}}}).login("ghcr.io")
    assert auth not in str(caught.value)
    assert caught.value.__cause__ is None


def test_token(tmp_path: Path) -> None:
    """A token in place of a password is told apart."""
    found = _credentials(tmp_path, {"auths": {"ghcr.io": {"identitytoken": "t", "auth": "x"}}}).login("ghcr.io")
    assert found is not None
    assert found.is_token


_HELPER = """#!/bin/sh
read server
[ "$1" = get ] || exit 9
case "$server" in
ghcr.io) echo '{"ServerURL": "x", "Username": "user", "Secret": "pa:ss"}' ;;
token.example) echo '{"Username": "<token>", "Secret": "t"}' ;;
broken.example) echo 'pa:ss' ;;
*) echo "credentials not found"; exit 1 ;;
esac
"""


def test_helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A helper is asked as Docker asks it; what it says wrongly is not repeated."""
    program = tmp_path / "docker-credential-test"
    program.write_text(_HELPER)
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = _credentials(
        tmp_path,
        {
            "credsStore": "absent",
            "credHelpers": dict.fromkeys(["ghcr.io", "token.example", "broken.example", "none.example"], "test"),
        },
    )
    assert found.login("ghcr.io") == _LOGIN
    token = found.login("token.example")
    assert token is not None
    assert token.is_token
    assert found.login("none.example") is None
    with pytest.raises(EnvironmentFault, match="something other than a login") as caught:
        found.login("broken.example")
    assert "pa:ss" not in str(caught.value)
    with pytest.raises(EnvironmentFault, match="cannot ask docker-credential-absent"):
        found.login("other.example")


def test_helper_with_a_path(tmp_path: Path) -> None:
    """A helper is a name, so that a file cannot have just any program run."""
    with pytest.raises(InputError, match="no name of a program"):
        _credentials(tmp_path, {"credsStore": "../../tmp/evil"}).login("ghcr.io")
