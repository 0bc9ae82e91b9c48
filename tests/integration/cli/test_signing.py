"""``scone session sign`` and ``encrypt`` with a real CAS, and with OpenSSL as another tool."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bannock.errors import ConflictError, DeniedError, InputError

if TYPE_CHECKING:
    from bannock.cas import EmbeddedCas
    from tests.integration.cli.conftest import Scone

_SESSION = """\
name: $NAME
version: "0.3.10"
access_policy:
  read: [$READER]
  update: [CREATOR]
"""


@pytest.fixture(autouse=True)
def _attested(scone: Scone, cas: EmbeddedCas) -> None:
    address = f"localhost:{cas.client_address.port}"
    scone.done(
        *("cas", "attest", address, "--only_for_testing-debug", "--only_for_testing-trust-any"),
    )
    Path("app.yml").write_text(_SESSION)


@pytest.fixture
def values(scone: Scone) -> tuple[str, ...]:
    """What stands for the variables."""
    return ("-e", "NAME=app", "-e", f"READER={scone.done('self', 'show-key-hash').strip()}")


def test_signed_session_is_created(scone: Scone, values: tuple[str, ...]) -> None:
    """Its hash is that of the template; the file stays as it was signed, whatever variables are given."""
    signed = scone.done("session", "sign", "app.yml", *values)
    assert json.loads(signed).keys() == {"payload", "signatures"}
    Path("signed.json").write_text(signed)
    created = scone.done("session", "create", "signed.json", "-e", "NAME=other")
    assert created == scone.done("session", "calculate-hash", "app.yml", *values)
    assert created == scone.done("session", "calculate-hash", "signed.json")
    assert created == scone.done("session", "verify", "signed.json")
    assert "app" in scone.done("session", "check", "signed.json")
    answer = scone("session", "create", "signed.json", "--name", "other")
    assert answer.code == InputError.exit_code
    assert "nothing in it can be changed" in answer.err


def test_creator_is_the_signer(scone: Scone, values: tuple[str, ...]) -> None:
    """Who carries the session to the CAS is nobody: only the signer may update it."""
    Path("signed.json").write_text(scone.done("session", "sign", "app.yml", *values))
    first = scone.done("session", "create", "signed.json").strip()
    Path("next.yml").write_text(f"predecessor: {first}\n{_SESSION}")
    assert scone("session", "update", "next.yml", *values).code == DeniedError.exit_code
    Path("next.json").write_text(scone.done("session", "sign", "next.yml", *values, "sign-with-cli-identity"))
    assert scone.done("session", "update", "next.json").strip() != first


def test_signed_session_that_was_changed_is_refused(scone: Scone, values: tuple[str, ...]) -> None:
    """Here already, before a CAS sees it."""
    signed = json.loads(scone.done("session", "sign", "app.yml", *values))
    signature = signed["signatures"][0]["signature"]
    signed["signatures"][0]["signature"] = ("B" if signature[0] == "A" else "A") + signature[1:]
    Path("signed.json").write_text(json.dumps(signed))
    for verb in ("check", "create", "verify", "sign", "encrypt", "calculate-hash"):
        answer = scone("session", verb, "signed.json")
        assert (answer.code, answer.out) == (DeniedError.exit_code, "")


@pytest.mark.parametrize("way", ["piped", "base64"])
def test_openssl_signs(scone: Scone, values: tuple[str, ...], way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the reference shows it: the message to OpenSSL, its signature back, on a second key beside our own."""
    _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", "key.pem")
    _openssl("pkey", "-in", "key.pem", "-pubout", "-out", "key.pub")
    scone.done("-o", "message", "session", "sign", "app.yml", *values, "generate-message-to-be-signed", "key.pub")
    _openssl("dgst", "-sha384", "-sign", "key.pem", "-out", "signature", "message")
    signature = Path("signature").read_bytes()
    command = ["session", "sign", "app.yml", *values, "add-signature", "key.pub"]
    if way == "piped":
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(signature)))
    else:
        command.append(base64.b64encode(signature).decode())
    Path("signed.json").write_text(scone.done(*command))
    Path("both.json").write_text(scone.done("session", "sign", "signed.json"))
    assert len(json.loads(Path("both.json").read_text())["signatures"]) == 2
    assert scone.done("session", "create", "both.json")
    answer = scone("session", "sign", "both.json")
    assert answer.code == InputError.exit_code
    assert "has a signature of" in answer.err


def test_signature_of_something_else_is_refused(scone: Scone, values: tuple[str, ...]) -> None:
    """A signature over other values of the variables does not hold."""
    _openssl("genpkey", "-algorithm", "ED25519", "-out", "key.pem")
    _openssl("pkey", "-in", "key.pem", "-pubout", "-out", "key.pub")
    sign = ("session", "sign", "app.yml", *values)
    scone.done("-o", "message", *sign, "-e", "X=1", "generate-message-to-be-signed", "key.pub")
    _openssl("pkeyutl", "-sign", "-rawin", "-inkey", "key.pem", "-in", "message", "-out", "signature")
    signature = base64.b64encode(Path("signature").read_bytes()).decode()
    assert scone.done(*sign, "add-signature", "key.pub", signature)
    Path("app.yml").write_text(_SESSION.replace("CREATOR", "NONE"))
    assert scone(*sign, "add-signature", "key.pub", signature).code == DeniedError.exit_code
    assert scone(*sign, "add-signature", "key.pub", "###").code == InputError.exit_code
    assert scone(*sign, "add-signature", "app.yml", signature).code == InputError.exit_code


def test_message_is_not_for_terminals(scone: Scone, values: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it is forced."""
    sign = ("session", "sign", "app.yml", *values, "generate-message-to-be-signed")
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda _: True)
    assert "standard output is a terminal" in scone(*sign).err
    assert scone.done(*sign, "--force")


@pytest.mark.parametrize("by", ["cas", "key", "pem"])
def test_encrypted_session_is_created(scone: Scone, values: tuple[str, ...], by: str) -> None:
    """The text is not in what is uploaded; the CAS reads it, and the signer is its creator."""
    key = scone.done("cas", "show-identification", "--session-encryption-key")
    Path("cas.pub").write_text(key)
    option = {"cas": [], "key": ["--key", "cas.pub"], "pem": [f"--key={key}"]}[by]
    encrypted = scone.done("session", "encrypt", "app.yml", *values, *option)
    assert "access_policy" not in encrypted
    Path("encrypted.json").write_text(encrypted)
    created = scone.done("session", "create", "encrypted.json")
    assert created == scone.done("session", "verify", "app.yml", *values)
    assert scone("session", "create", "encrypted.json").code == ConflictError.exit_code


def test_what_is_encrypted_stays_so(scone: Scone, values: tuple[str, ...]) -> None:
    """Nobody but the CAS can tell what it says."""
    Path("encrypted.json").write_text(scone.done("session", "encrypt", "app.yml", *values))
    for verb in ("check", "verify", "sign", "encrypt", "calculate-hash"):
        answer = scone("session", verb, "encrypted.json")
        assert (answer.code, answer.out) == (InputError.exit_code, ""), verb
        assert "encrypted" in answer.err


def test_keys_for_encryption_are_one(scone: Scone, values: tuple[str, ...]) -> None:
    """Options that contradict each other, and files that are no key, are refused."""
    assert scone("session", "encrypt", "app.yml", *values, "--key", "a", "--cas", "b").code == InputError.exit_code
    answer = scone("session", "encrypt", "app.yml", *values, "--key", "app.yml")
    assert "a session-encryption key is a P-256 public key in PEM" in answer.err


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)  # noqa: S607 - as users find it
