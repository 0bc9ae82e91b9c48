"""``scone las`` and ``bannock las serve`` on machines that are made up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from bannock.errors import DeniedError, EnvironmentFault, EvidenceError, InputError
from bannock.evidence.rehearsal.knobs import Rehearsal
from bannock.las.rehearsal import rehearse
from bannock.las.service import EmbeddedLas

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.cli.conftest import Scone

_SERVE = [sys.executable, "-I", "-m", "bannock.cli.bannock", "las", "serve"]


def _las(directory: Path, platform: str, *knobs: str) -> EmbeddedLas:
    return EmbeddedLas(directory / "las", rehearse(platform, Rehearsal.parse(knobs), directory / "las", machine={}))


@pytest.mark.parametrize("platform", ["sgx", "tdx", "sev-snp", "tpm"])
def test_state_of_a_platform(scone: Scone, tmp_path: Path, platform: str) -> None:
    """It is verified before it is told; a rehearsal is told for what it is."""
    with _las(tmp_path, platform) as las:
        told = scone.done("las", "show-tcb-state", "--las", las.address)
        summary = json.loads(scone.done("las", "show-tcb-state", "--las", las.address, "--json", "summary"))
        scone.done("las", "show-tcb-state", "--las", las.address, "--fail-on-upgradable-platform-tcb")
        probed = scone.done("las", "probe", "--las", las.address)
        dcap = scone("las", "probe", "--las", las.address, "--dcap").code
        provisioned = scone("las", "provision-pck-certificate", "--las", las.address, "--dcap-api-key", "key")
        anchor = scone("las", "scone-epid-trust-anchor", "--las", las.address)
    assert told.startswith(f"LAS at {las.address}: platform sim (rehearses {platform})\nmachine: ")
    assert "holds until: " in told
    assert (summary["platform"], summary["upgradable"]) == (f"sim (rehearses {platform})", False)
    assert probed == f"LAS at {las.address} is healthy: platform sim (rehearses {platform})\n"
    expected = 0 if platform in {"sgx", "tdx"} else EnvironmentFault.exit_code
    assert (dcap, provisioned.code) == (expected, expected)
    assert anchor.code == EnvironmentFault.exit_code


def test_state_that_is_not_good(scone: Scone, tmp_path: Path) -> None:
    """An old platform is told, and an error where that is asked for; what does not hold is an error anyway."""
    with _las(tmp_path, "tdx", "outdated-tcb", "debug") as las:
        told = scone.done("las", "show-tcb-state", "--las", las.address)
        refused = scone("las", "show-tcb-state", "--las", las.address, "--fail-on-upgradable-platform-tcb")
    assert "weaknesses: outdated-tcb\n" in told
    assert "debug: a debugger may look in\n" in told
    assert refused.code == DeniedError.exit_code
    assert "OutOfDate" in refused.err
    with _las(tmp_path, "tdx", "revoked") as las:
        refused = scone("las", "show-tcb-state", "--las", las.address)
    assert refused.code == EvidenceError.exit_code
    assert "revoked" in refused.err


def test_serving_a_rehearsal(tmp_path: Path) -> None:
    """The first line says what it is; the log says what it is worth."""
    command = [*_SERVE, "--conf", str(tmp_path / "conf"), "--no-tcp", "--unix", str(tmp_path / "s")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SCONE")}
    with subprocess.Popen(
        [*command, "--simulate", "sev-snp", "--rehearse", "debug,replay"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as service:
        assert service.stdout is not None
        assert service.stdout.readline() == f"LAS at unix:{tmp_path}/s: platform sim (rehearses sev-snp)\n"
        service.terminate()
        _, log = service.communicate(timeout=30)
    assert "protect nothing" in log


@pytest.mark.parametrize(
    ("options", "mode", "code"),
    [
        (["--platform", "tdx"], "", EnvironmentFault),
        ([], "HW", EnvironmentFault),
        ([], "nothing", InputError),
        (["--simulate", "tdx"], "hw", InputError),
        (["--simulate", "tdx", "--platform", "tdx"], "", InputError),
        (["--simulate", "tdx", "--rehearse", "rain"], "", InputError),
        (["--simulate", "tdx", "--machine", "mrtd"], "", InputError),
        (["--rehearse", "debug"], "", InputError),
        (["--renew-hours", "0"], "", InputError),
    ],
)
def test_what_cannot_be_served(
    tmp_path: Path, options: list[str], mode: str, code: type[EnvironmentFault | InputError]
) -> None:
    """It is told before anything listens."""
    done = subprocess.run(
        [*_SERVE, "--conf", str(tmp_path), "--no-tcp", "--unix", str(tmp_path / "s"), *options],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.defpath, "HOME": str(tmp_path), "SCONE_MODE": mode},
        timeout=60,
    )
    assert done.returncode == code.exit_code, done.stderr
    assert done.stdout == ""
