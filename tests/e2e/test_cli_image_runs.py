"""The ``cli`` image runs applications of a registry on a host behind ssh, with the line of SCONE's documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bannock.evidence.platforms import SimulatedAttester
from bannock.las.key import kept_key
from bannock.las.service import Las
from bannock.las.web import web_application
from bannock.net.address import Address
from bannock.net.server import Endpoint, ThreadedServer, bind_tcp
from tests.ssh_host import added

if TYPE_CHECKING:
    from pathlib import Path

    from tests.containers import Engine, Registry
    from tests.curated_images import CuratedImages
    from tests.ssh_host import SshHost

pytestmark = [pytest.mark.docker, pytest.mark.root]


def test_copy_demo(
    engine: Engine, registry: Registry, curated: CuratedImages, ssh_host: SshHost, tmp_path: Path
) -> None:
    """``-v $PWD/INPUTS:/inputs -v $PWD/OUTPUTS:/decryptedOutputs -v $PWD/conf/:/conf``, and the file is copied."""
    application = f"{registry.address}/{engine.prefix}/iexecsgx:copy_demo"
    engine.run("tag", curated.of("copy_demo"), application)
    engine.run("push", application)
    inputs, outputs, conf = (tmp_path / name for name in ("INPUTS", "OUTPUTS", "conf"))
    for directory in (inputs, outputs):
        directory.mkdir()
    (inputs / "f1.txt").write_text("Hello World\n")
    added(conf, ssh_host, engine=str(engine.socket))
    las = Las(SimulatedAttester(kept_key(tmp_path / "las")))
    with ThreadedServer(Endpoint(app=web_application(las), sock=bind_tcp(Address("127.0.0.1", 0)))) as server:
        # Host and registry are this machine, so a container reaches them by this machine's network.
        done = engine.run(
            *("run", "--rm", "--network", "host"),
            *("-v", f"{inputs}:/inputs", "-v", f"{outputs}:/decryptedOutputs", "-v", f"{conf}/:/conf"),
            *(curated.of("cli"), "execute", "--application", application, "--host", "caroline"),
            *("--las", f"127.0.0.1:{server.port}"),
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert (outputs / "f1.txt").read_text() == "Hello World\n"
    assert list((conf / "runs").iterdir()) == []
