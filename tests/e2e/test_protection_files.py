"""A root of an image in a main protection file, started by a session: what the host can and cannot say about it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from bannock.shield.fspf import Fspf, encrypt_fspf
from bannock.shield.pack import add_files
from bannock.shield.regions import Protection, Region
from tests.integration.shield.kills.services import CasProcess, start_las

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.root

SESSION = """
name: {name}
version: "0.3.11"
security: {{attestation: {{mode: none, tolerate: [simulation]}}}}
services:
{services}
{rest}
"""
SERVICE = """
  - name: {name}
    command: ["/bin/sh", "-c", {script!r}]
    environment: {{PATH: /usr/bin:/bin}}
"""


@dataclass
class Host:
    """A machine with a CAS and a LAS, and the directory of whoever rules it."""

    base: Path
    cas: CasProcess
    las: str

    def run(self, service: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a service as the host does."""
        environment = {
            "PATH": os.defpath,
            "SCONE_CAS_ADDR": str(self.cas.enclaves),
            "SCONE_LAS_ADDR": self.las,
            "SCONE_CONFIG_ID": service,
            **variables,
        }
        command = [sys.executable, "-m", "bannock.cli.bannock", "run", "--", "/bin/sh"]
        return subprocess.run(
            command, env=environment, cwd=self.base, capture_output=True, text=True, check=False, timeout=60
        )


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """Give a host."""
    cas = CasProcess(tmp_path / "cas")
    las, address = start_las(tmp_path / "las")
    yield Host(tmp_path, cas, address)
    las.close()
    cas.kill()


@pytest.mark.fuse
def test_host_does_not_make_the_root_mutable(host: Host, tmp_path: Path) -> None:
    """SCONE_FSPF_MUTABLE counts when the session says it, not when the host does."""
    root, path = tmp_path / "root", tmp_path / "fspf.pb"
    (root / "etc").mkdir(parents=True)
    Fspf.create(path)
    with Fspf.open(path) as fspf:
        fspf.add_region(Region(path="/", protection=Protection.AUTHENTICATED, kernel=str(root)))
        add_files(fspf.open_region("/", None), root)
        fspf.commit()
    tag, key = encrypt_fspf(path)
    main = f"    fspf_path: {path}\n    fspf_key: {key.reveal_hex()}\n    fspf_tag: {tag}\n"
    script = "echo x > /etc/new && echo written"
    mutable = main.replace("    fspf_path", "      SCONE_FSPF_MUTABLE: '1'\n    fspf_path")
    text = SERVICE.format(name="yes", script=script).replace("{PATH: /usr/bin:/bin}", "\n      PATH: /bin")
    host.cas.make_session(
        SESSION.format(name="root", services=SERVICE.format(name="no", script=script) + main + text + mutable, rest="")
    )
    done = host.run("root/no", SCONE_FSPF_MUTABLE="1")
    assert (done.returncode != 0, done.stdout) == (True, ""), done.stderr
    assert not (root / "etc" / "new").exists()
    done = host.run("root/yes")
    assert (done.returncode, done.stdout) == (0, "written\n"), done.stderr
    assert (root / "etc" / "new").read_text() == "x\n"
