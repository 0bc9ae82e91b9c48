"""The identity as a file for browsers."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12

from bannock.cli import scone
from bannock.net.tls import key_hash_of
from tests.documentation import Reader, page, tools

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_written_is_who_scone_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The key with its certificate, sealed with the passphrase that is printed, for nobody else to read."""
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / "console.p12"
    assert scone.main(["self", "export", str(file)]) == 0
    passphrase = capsys.readouterr().out.strip()
    assert scone.main(["self", "show-key-hash"]) == 0
    shown = capsys.readouterr().out.strip()
    key, certificate, chain = pkcs12.load_key_and_certificates(file.read_bytes(), passphrase.encode())
    assert key is not None
    assert certificate is not None
    assert str(key_hash_of(certificate)) == shown
    assert (key.public_key(), chain) == (certificate.public_key(), [])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(ValueError, match="password"):
        pkcs12.load_key_and_certificates(file.read_bytes(), b"")


def test_the_page_of_the_console(tmp_path: Path) -> None:
    """What it says is to be done can be done."""
    guide = page("console.md")
    assert len(guide.steps) == 2
    Reader(tmp_path / "home", {"PATH": tools(tmp_path / "tools")}).follow(guide)
