"""A CAS that a rehearsing LAS vouches for, attested by the command that users have for it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from bannock.errors import DeniedError
from bannock.evidence.rehearsal.knobs import ALL_WELL
from bannock.las.rehearsal import rehearse
from bannock.las.service import EmbeddedLas
from tests.e2e import machine

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.root


def test_a_cas_is_attested_by_its_machine(home: Path, private_path: Path) -> None:
    """The LAS takes it for what it is; whoever attests it has to accept simulation, and to know the machine."""

    def scone(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-I", "-m", "bannock.cli.scone", *arguments],
            env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )

    with EmbeddedLas(private_path, rehearse("tdx", ALL_WELL, private_path, machine={})) as las:
        (home / "cas.toml").write_text(
            f'[api]\nlisten = "127.0.0.1:0"\n[enclave]\nlisten = "127.0.0.1:0"\n[attestation]\nlas = "{las.address}"\n'
        )
        command = machine.ourselves().command("cas", "serve", "--config", "cas.toml", "--conf", str(home / "cas"))
        with subprocess.Popen(
            command, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as service:
            try:
                assert service.stdout is not None
                said = [service.stdout.readline() for _ in range(2)]
                address = said[1].split()[-1]
                refused = scone("cas", "attest", address)
                machines = home / "machines.yml"
                machines.write_text(scone("las", "show-machine", "--las", las.address).stdout)
                attested = scone("cas", "attest", address, "--only_for_testing-debug", "--machines", str(machines))
            finally:
                service.terminate()
    assert refused.returncode == DeniedError.exit_code
    assert "simulation" in refused.stderr
    assert attested.returncode == 0, attested.stderr
    assert "is trustworthy" in attested.stdout
