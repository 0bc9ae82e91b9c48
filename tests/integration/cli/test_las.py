"""``scone las`` with a real LAS."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

import pytest

from bannock.errors import EnvironmentFault, InputError
from bannock.las.service import EmbeddedLas

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.cli.conftest import Scone


@pytest.fixture
def las(tmp_path: Path) -> Iterator[str]:
    """Where a LAS is."""
    with EmbeddedLas(tmp_path / "las") as running:
        yield running.address


def test_probe(scone: Scone, las: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A LAS that works is healthy, wherever its address comes from; what it cannot do is told."""
    healthy = f"LAS at {las} is healthy: platform sim\n"
    assert scone.done("las", "probe", "--las", las) == healthy
    monkeypatch.setenv("SCONE_LAS_ADDR", las)
    assert scone.done("las", "probe", "-t", "5") == healthy
    for kind in ("dcap", "epid", "scone"):
        answer = scone("las", "probe", f"--{kind}")
        assert answer.code == EnvironmentFault.exit_code
        assert f"has platform sim, which has no {kind.upper()} quotes" in answer.err


def test_probe_without_a_las(scone: Scone) -> None:
    """Nobody there, and somebody who never answers, are both not healthy, in time."""
    assert scone("las", "probe", "--las", "localhost:1").code == EnvironmentFault.exit_code
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert scone("las", "probe", "--las", f"127.0.0.1:{port}", "-t", "0.2").code == EnvironmentFault.exit_code
    assert scone("las", "probe", "-t", "0").code == InputError.exit_code


def test_trust_anchor(scone: Scone, las: str) -> None:
    """The key is in the form that sessions take, and not shown where it would be taken for trustworthy."""
    assert scone("las", "scone-epid-trust-anchor", "--las", las).code == EnvironmentFault.exit_code
    told = scone.done("las", "scone-epid-trust-anchor", "--las", las, "--only_for_testing-debug", "-GCS")
    assert re.fullmatch(r"Public key: [0-9a-f]{64}\nMRENCLAVE: none \(platform sim\)\n", told)


@pytest.mark.parametrize("verb", [["show-tcb-state"], ["provision-pck-certificate", "--dcap-api-key", "key"]])
def test_what_needs_hardware_says_so(scone: Scone, las: str, verb: list[str]) -> None:
    """Rather than pretend."""
    answer = scone("las", *verb, "--las", las)
    assert answer.code == EnvironmentFault.exit_code
    assert "has platform sim, which has no" in answer.err
