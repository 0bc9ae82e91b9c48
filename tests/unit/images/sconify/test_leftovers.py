"""What would be in clear: copies of encrypted files, private keys, values of secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bannock.errors import InputError
from bannock.images.sconify.leftovers import secrets_of
from bannock.images.sconify.options import Places
from tests.unit.images.sconify.native import CODE, converted, native

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.images.blobs import Scratch

_KEY = b"-----BEGIN RSA PRIVATE KEY-----\n" + b"QUJD" * 30 + b"\n-----END RSA PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({"srv/copy.py": CODE}, "/srv/copy.py (layer 3): it is a copy of /app/server.py"),
        ({"usr/local/copy.py": CODE}, "it is a copy"),
        ({"tls/server.key": _KEY}, "/tls/server.key (layer 3): it has a private key"),
        ({"tls/server.key": b"note\n" * 2000 + _KEY.replace(b"RSA ", b"")}, "it has a private key"),
        ({"etc/app.conf": b"password = hunter-22-canary\n"}, "it has the value of the variable API_PASSWORD"),
        ({"usr/share/x": b"\0" * (5 << 20) + b"hunter-22-canary"}, "it has the value of the variable API_PASSWORD"),
    ],
)
def test_it_is_found(scratch: Scratch, tmp_path: Path, files: dict[str, Any], what: str) -> None:
    """Each is told with its place and a way out, and without the secret."""
    with pytest.raises(InputError, match="give away what is to be protected") as caught:
        converted(native(scratch, files), scratch, tmp_path)
    assert any(what in reason for reason in caught.value.reasons)
    assert "--dir" in str(caught.value.hint)
    assert "--plain-file" in str(caught.value.hint)
    assert "hunter" not in "".join([*caught.value.reasons, str(caught.value.hint)])


@pytest.mark.parametrize(
    ("files", "places"),
    [
        ({"srv/copy.py": CODE}, Places(directories=("/app",), plain_files=("/srv/copy.py",))),
        ({"srv/copy.py": CODE}, Places(directories=("/app",), plain_directories=("/srv",))),
        ({"srv/copy.py": CODE}, Places(directories=("/app", "/srv"))),
        ({"usr/lib/copy.py": CODE}, Places(directories=("/app",))),
        ({"usr/lib/test/key.pem": _KEY}, Places(directories=("/app",))),
        ({"srv/doc": b"-----BEGIN PRIVATE KEY----- is how a key begins\n"}, Places(directories=("/app",))),
        ({"srv/empty": b""}, Places(directories=("/app",))),
    ],
)
def test_it_is_all_right(scratch: Scratch, tmp_path: Path, files: dict[str, Any], places: Places) -> None:
    """On purpose, encrypted as well, shipped by packages, or nothing of the kind."""
    converted(native(scratch, files), scratch, tmp_path, places=places)


def test_a_key_that_was_removed_is_found(scratch: Scratch, tmp_path: Path) -> None:
    """Whoever pulls the image has it all the same; packages' trees are no excuse there."""
    with pytest.raises(InputError) as caught:
        converted(native(scratch, {"usr/lib/key.pem": _KEY}, {"usr/lib/.wh.key.pem": b""}), scratch, tmp_path)
    assert "/usr/lib/key.pem (layer 3, which upper layers hide): it has a private key" in caught.value.reasons


def test_which_variables_are_secrets() -> None:
    """By their names; short values, paths and addresses are none."""
    found = secrets_of(
        {
            "DB_PASSWORD": "correct horse", "API_KEY": "0123456", "apiToken": "abcdefg", "PATH": "/usr/bin:/bin",
            "SECRET_FILE": "/run/secret", "TOKEN_URL": "https://example.com", "PASSWORD": "short", "LANG": "C.UTF-8",
            "GPG_KEY": "E3FF2839C048B25C084DEBE9B26995E310250568",
        }
    )  # fmt: skip
    assert set(found) == {"DB_PASSWORD", "API_KEY", "apiToken"}
