"""Services on a machine with a TPM 2: of software here, reached as one of hardware is."""

from __future__ import annotations

import os
import subprocess
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import pytest

from bannock.errors import DeniedError
from bannock.net.tls import Identity
from tests.e2e import machine
from tests.e2e.site import Site
from tests.software_tpm import NEEDS_TPM, SoftwareTpm
from tests.unit.evidence.tpm.samples import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.root, NEEDS_TPM]

_OWNER: Final = Identity.generate("owner")
_SESSION: Final = """
name: demo
version: "0.3.11"
services: [{{name: app, attestation: {{mrenclave: {mrenclave}}}, command: [/bin/sh, -c, "echo granted"]}}]
security: {{attestation: {{machines: [{{tpm: {{pcrs: {{sha256: {{16: {value}}}}}}}}}]}}}}
"""
_START_SECONDS: Final = 30.0


@contextmanager
def _las(home: Path, tpm: SoftwareTpm) -> Iterator[str]:
    """Run a LAS as its operator does, and give its address."""
    command = machine.ourselves().command(
        "las", "serve", "--no-tcp", "--unix", str(home / "las.sock"), "--conf", str(home / "conf"),
        "--tpm-pcrs", "sha256:0,16", "--no-event-log",
    )  # fmt: skip
    environment = {"HOME": str(home), "PATH": os.defpath, "TPM2TOOLS_TCTI": tpm.tcti, "SCONE_MODE": "hw"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as las:
        late = threading.Timer(_START_SECONDS, las.kill)
        late.start()
        try:
            assert las.stdout is not None
            assert las.stderr is not None
            assert las.stdout.readline() == f"LAS at unix:{home}/las.sock: platform tpm\n", las.stderr.read()
            yield f"unix:{home}/las.sock"
        finally:
            late.cancel()
            late.join()
            las.terminate()
            las.communicate(timeout=_START_SECONDS)


def test_secrets_are_for_the_machine_that_was_started_as_expected(private_path: Path) -> None:
    """The TPM proves itself by the way; after a start in another way nothing is granted, and the reason is told."""
    manufacturer = Authority("manufacturer", at=datetime.now(UTC))
    home = private_path
    (home / "tmp").mkdir()
    (home / "roots").mkdir()
    (home / "roots" / "manufacturer.der").write_bytes(manufacturer.root)
    with SoftwareTpm() as tpm, Site.opened(home, tpm_roots=home / "roots") as site:
        tpm.certify(manufacturer)
        mrenclave = site.run("", SCONE_HASH="1").stdout.strip()
        site.post(_OWNER, _SESSION.format(mrenclave=mrenclave, value="00" * 32))
        with _las(home, tpm) as las:
            done = site.run("demo/app", las=las, SCONE_MODE="hw")
            assert (done.returncode, done.stdout) == (0, "granted\n"), done.stderr
        tpm.run("tpm2_pcrextend", f"16:sha256={'11' * 32}")
        with _las(home, tpm) as las:
            done = site.run("demo/app", las=las)
        assert done.returncode == DeniedError.exit_code
        assert "Unexpected machine (PCR 16 (sha256)" in done.stderr
        assert "granted" not in done.stdout
        # The LAS of a machine without hardware is not taken for one.
        done = site.run("demo/app", SCONE_MODE="hw")
        assert done.returncode != 0
        assert "SCONE_MODE=hw asks for hardware" in done.stderr
