"""A CAS that answers with less than it has answered before is found out by ``scone``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bannock.cas import EmbeddedCas
from bannock.errors import PeerError, RollbackError
from bannock.net.client import Connection

if TYPE_CHECKING:
    from tests.integration.cli.conftest import Scone

_ANY = ("--only_for_testing-debug", "--only_for_testing-trust-any")
_SESSION = 'name: app\nversion: "0.3.10"\n# why\n'


def _attest(scone: Scone, cas: EmbeddedCas) -> None:
    scone.done("cas", "attest", f"https://localhost:{cas.client_address.port}/", *_ANY)
    scone.done("cas", "set-default", f"localhost:{cas.client_address.port}")


def test_rolled_back_cas_is_found_out(scone: Scone, tmp_path: Path) -> None:
    """Whoever saw version 2 does not take version 1 for the newest, and asks nobody to update it."""
    Path("app.yml").write_text(_SESSION)
    with EmbeddedCas(tmp_path / "cas") as cas:
        _attest(scone, cas)
        first = scone.done("session", "create", "app.yml").strip()
    shutil.copytree(tmp_path / "cas", tmp_path / "copy")
    with EmbeddedCas(tmp_path / "cas") as cas:
        _attest(scone, cas)
        second = scone.done("session", "update", "app.yml").strip()
        assert scone.done("session", "verify", "app.yml").strip() == second
        assert scone.done("session", "read", "app", "--hash", first) == _SESSION
    (tmp_path / "copy").chmod(0o700)
    with EmbeddedCas(tmp_path / "copy") as stale:
        _attest(scone, stale)
        for command in (["read", "app"], ["verify", "app.yml"], ["update", "app.yml"]):
            answer = scone("session", *command)
            assert (answer.code, answer.out) == (RollbackError.exit_code, "")
            assert "answers with version 1 of session app, and has answered with version 2 before" in answer.err
        scone.done("-c", "other.json", "cas", "attest", f"localhost:{stale.client_address.port}", *_ANY)


def test_forked_cas_is_found_out(scone: Scone, tmp_path: Path) -> None:
    """Two copies that went different ways: the same number of version, and another session."""
    Path("app.yml").write_text(_SESSION)
    Path("other.yml").write_text(_SESSION + "services: []\n")
    with EmbeddedCas(tmp_path / "cas") as cas:
        _attest(scone, cas)
        scone.done("session", "create", "app.yml")
    shutil.copytree(tmp_path / "cas", tmp_path / "copy")
    (tmp_path / "copy").chmod(0o700)
    with EmbeddedCas(tmp_path / "cas") as cas:
        _attest(scone, cas)
        scone.done("session", "update", "app.yml")
    with EmbeddedCas(tmp_path / "copy") as fork:
        _attest(scone, fork)
        state = Path.home() / ".cas" / "config.json"
        before = state.read_text()
        forgetful = json.loads(before)
        forgetful["receipts"] = {}
        state.write_text(json.dumps(forgetful))
        scone.done("session", "update", "other.yml")
        state.write_text(before)
        answer = scone("session", "read", "app")
        assert answer.code == RollbackError.exit_code
        assert "version 2 of session app is" in answer.err


@pytest.mark.parametrize("attack", ["missing", "another"])
def test_answer_without_its_receipt_is_refused(
    scone: Scone, cas: EmbeddedCas, monkeypatch: pytest.MonkeyPatch, attack: str
) -> None:
    """Neither none nor that of another answer will do."""
    Path("app.yml").write_text(_SESSION)
    _attest(scone, cas)
    scone.done("session", "create", "app.yml")
    scone.done("session", "create", "--name", "other", "app.yml")
    request = Connection.request
    receipts: list[str] = []

    def exchanged(self: Connection, method: str, path: str, *rest: object) -> object:
        answer = request(self, method, path, *rest)  # type: ignore[arg-type]
        document = json.loads(answer.body)
        receipts.append(document.pop("receipt"))
        if attack == "another":
            document["receipt"] = receipts[0]
        object.__setattr__(answer, "body", json.dumps(document).encode())
        return answer

    monkeypatch.setattr(Connection, "request", exchanged)
    if attack == "another":
        scone.done("session", "read", "other")
    answer = scone("session", "read", "app")
    assert (answer.code, answer.out) == (PeerError.exit_code, "")
    assert "receipt" in answer.err


def test_newer_version_that_comes_meanwhile_is_no_rollback(
    scone: Scone, cas: EmbeddedCas, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that another command has overtaken on the way is as good as it was when it was given."""
    Path("app.yml").write_text(_SESSION)
    _attest(scone, cas)
    scone.done("session", "create", "app.yml")
    request = Connection.request
    inner: list[str] = []

    def overtaken(self: Connection, method: str, path: str, *rest: object) -> object:
        answer = request(self, method, path, *rest)  # type: ignore[arg-type]
        if not inner:
            inner.append(path)
            scone.done("session", "update", "app.yml")
        return answer

    monkeypatch.setattr(Connection, "request", overtaken)
    assert scone.done("session", "read", "app") == _SESSION
    assert scone.done("session", "read", "app").startswith("predecessor:")
