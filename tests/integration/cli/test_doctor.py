"""``bannock doctor`` with real services."""

from __future__ import annotations

import json
import os
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from bannock import __version__
from bannock.cli import bannock
from bannock.cli.state import state_file
from bannock.doctor.services import KnownService, look_at_cas
from bannock.errors import EnvironmentFault
from bannock.las.service import EmbeddedLas
from bannock.net.address import Address
from bannock.values import KeyHash

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.cas.embedded import EmbeddedCas
    from tests.integration.cli.conftest import Scone

_NOW = 1_800_000_000.0


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, scone: Scone) -> None:
    """Look at nothing of whoever runs these tests, who has a home of their own."""
    del scone
    for name in ("SCONE_CLI_CONFIG", "SCONE_LAS_ADDR", "SCONE_CAS_ADDR", "DOCKER_HOST", "BANNOCK_HOME", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


def _as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    capsys.readouterr()
    code = bannock.main(["doctor", "--json", *arguments])
    return code, json.loads(capsys.readouterr().out)


def test_a_healthy_pair(scone: Scone, cas: EmbeddedCas, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A LAS and a CAS that answer, and are what they were, are fine; that both are simulated is a warning."""
    scone.done("cas", "attest", str(cas.client_address), "--only_for_testing-debug")
    with EmbeddedLas(tmp_path / "las") as las:
        assert bannock.main(["doctor", "services", "--las", las.address]) == 0
        told = capsys.readouterr().out
        code, document = _as_json(capsys, "services", "--las", las.address)
        assert bannock.main(["doctor", "services", "--las", las.address, "--strict"]) == EnvironmentFault.exit_code
    assert told.startswith("services\n  ok       las ")
    assert f"version {__version__}, answers in " in told
    assert "whoever rules its host reads its secrets" in told
    assert told.endswith("no problem, 2 warnings\n")
    assert "\x1b" not in told
    assert code == 0
    assert document["healthy"] is True
    assert {finding["state"] for finding in document["findings"]} == {"ok", "warning"}


def test_a_cas_that_is_away_is_a_problem(scone: Scone, cas: EmbeddedCas, capsys: pytest.CaptureFixture[str]) -> None:
    """The default CAS is what commands need."""
    scone.done("cas", "attest", str(cas.client_address), "--only_for_testing-debug")
    cas.close()
    code, document = _as_json(capsys, "services")
    assert code == EnvironmentFault.exit_code
    assert document["healthy"] is False
    (problem,) = [finding for finding in document["findings"] if finding["state"] == "problem"]
    assert "cannot reach CAS at" in problem["found"]
    assert problem["hint"]


def test_another_cas_at_that_address_is_a_problem(cas: EmbeddedCas) -> None:
    """Who answers is held to the key that was attested, and nothing that it says is believed."""
    other = KnownService(
        name="ours", address=cas.client_address, key=KeyHash(b"x" * 32), platform="sgx", is_default=False
    )
    (finding,) = look_at_cas([other], _NOW)
    assert finding.state == "problem"
    assert "is not the one expected" in finding.found
    assert "scone cas attest ours --explain" in finding.hint


def test_clocks_that_differ(cas: EmbeddedCas) -> None:
    """Whose clock is how far from this one is told."""
    known = KnownService(name="ours", address=cas.client_address, key=cas.key_hash, platform="sgx", is_default=True)
    told = [finding.found for finding in look_at_cas([known], time.time() + 3600)]
    assert any(re.fullmatch(r"its clock is 3[56]\d\d s behind this one", found) for found in told)
    assert not any("clock" in finding.found for finding in look_at_cas([known], time.time()))


def test_a_cas_that_is_not_the_default_one_may_be_away() -> None:
    """Nobody may want it today."""
    away = KnownService(
        name="old", address=Address("127.0.0.1", 1), key=KeyHash(b"x" * 32), platform="sgx", is_default=False
    )
    (finding,) = look_at_cas([away], _NOW)
    assert finding.state == "warning"


def test_keys_that_others_may_read(scone: Scone, capsys: pytest.CaptureFixture[str]) -> None:
    """The state of `scone` is looked at by its mode, and never shown."""
    scone.done("self", "show-key-hash")
    path = state_file(os.environ).path
    path.chmod(0o644)
    code, document = _as_json(capsys, "storage")
    assert code == EnvironmentFault.exit_code
    assert any("others may look" in finding["found"] or "0644" in finding["found"] for finding in document["findings"])
    assert "PRIVATE KEY" not in json.dumps(document)


def test_quiet_says_nothing_where_nothing_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    """Only warnings and problems are told."""
    assert bannock.main(["doctor", "storage", "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_everything_is_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    """Without areas, all of them, each finding with what to do where it is not fine."""
    _, document = _as_json(capsys)
    areas = {finding["area"] for finding in document["findings"]}
    assert areas == {"machine", "devices", "software", "storage", "engine", "services"}
    assert all(finding["hint"] for finding in document["findings"] if finding["state"] != "ok")
