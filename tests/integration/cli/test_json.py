"""``--json``: what commands tell of real services, for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bannock.cli import sconectl
from bannock.errors import DeniedError, EnvironmentFault
from bannock.las.service import EmbeddedLas

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from bannock.cas.embedded import EmbeddedCas
    from tests.integration.cli.conftest import Scone

_SESSION = """\
name: hello
version: "0.3.10"
services: [{name: main, command: run, attestation: [{mrenclave: [MEASUREMENT]}]}]
""".replace("MEASUREMENT", "0" * 64)
_CASES = """\
session: hello.yml
cases:
  - {name: anybody reads, operation: read, client: 3s1pm8W6Be6cxvAQRbRP5YXd9YuERAr7KswN97uGtoPkRW87x1, expect: granted}
"""


def _json(text: str) -> Any:
    return json.loads(text)


def test_a_cas_and_who_asks_it(scone: Scone, cas: EmbeddedCas) -> None:
    """What was attested is told alike when it is attested, listed and shown."""
    address = str(cas.client_address)
    attested = _json(scone.done("cas", "attest", address, "--only_for_testing-debug", "--json", "--explain"))
    assert attested["default"] is True
    assert attested["platform"] == "sim"
    assert _json(scone.done("cas", "list", "--json")) == [attested]
    shown = _json(scone.done("cas", "show-identification", "--json"))
    assert shown["key_hash"] == attested["key_hash"]
    assert scone.done("cas", "show-identification", "-C").strip() == shown["certificate"].strip()
    me = _json(scone.done("self", "show", "--json"))
    assert scone.done("self", "show-key-hash").strip() == me["key_hash"]
    assert "PRIVATE" not in json.dumps(me)


def test_a_las(scone: Scone, tmp_path: Path) -> None:
    """Its platform."""
    with EmbeddedLas(tmp_path / "las") as las:
        assert _json(scone.done("las", "probe", "--las", las.address, "--json"))["platform"] == "sim"


def test_the_meaning_of_a_session(scone: Scone, tmp_path: Path) -> None:
    """`--json` is short for the format."""
    path = tmp_path / "hello.yml"
    path.write_text(_SESSION)
    told = scone.done("session", "explain", "--json", str(path))
    assert _json(told) == _json(scone.done("session", "explain", "--format", "json", str(path)))


def test_answers_of_a_session(scone: Scone, tmp_path: Path) -> None:
    """Each answer with the expected one; the exit code is that of the text."""
    (tmp_path / "hello.yml").write_text(_SESSION)
    (tmp_path / "cases.yml").write_text(_CASES)
    answer = scone("session", "test", str(tmp_path / "cases.yml"), "--json")
    plain = scone("session", "test", str(tmp_path / "cases.yml"))
    assert answer.code == plain.code == DeniedError.exit_code, plain
    (case,) = _json(answer.out)
    assert (case["case"], case["passed"], case["answer"]) == ("anybody reads", False, "refused")


def test_what_meshes_lack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each thing with what to do about it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert sconectl.COMMAND.run(["check_prerequisites", "--json"]) == EnvironmentFault.exit_code
    found = {each["what"]: each for each in _json(capsys.readouterr().out)}
    assert found["program helm"]["ok"] is False
    assert found["program helm"]["hint"].startswith("install it")
