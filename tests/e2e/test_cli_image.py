"""The ``cli`` image: hosts are added and checked with the lines of SCONE's documentation."""

from __future__ import annotations

import os
import pty
import stat
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.containers import Engine
    from tests.curated_images import CuratedImages
    from tests.ssh_host import SshHost

pytestmark = [pytest.mark.docker, pytest.mark.root]


def _on_a_terminal(engine: Engine, *arguments: str) -> str:
    """Run ``docker`` as somebody at a terminal does, and give what it showed there."""
    ours, theirs = pty.openpty()
    words = ["docker", *arguments]
    with subprocess.Popen(words, env=engine.environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        data = b""
        with suppress(OSError):  # the terminal is gone when the last process is
            while block := os.read(ours, 65536):
                data += block
        os.close(ours)
    assert process.returncode == 0, data.decode()
    return data.decode()


def _grant(host: SshHost, line: str) -> None:
    """Do what the line does on the host, as somebody who has access there."""
    command = line.partition("'")[2].rpartition("'")[0]
    subprocess.run(["/bin/sh", "-c", command], cwd=host.home, check=True)


@pytest.mark.parametrize("made_by", ["engine", "user"])
def test_the_lines_of_the_documentation(
    engine: Engine, curated: CuratedImages, ssh_host: SshHost, tmp_path: Path, made_by: str
) -> None:
    """``docker run -it --rm -v $PWD/conf/:/conf CLI add-host …`` prints the line, and the keys are for their owner."""
    image = curated.of("cli")
    conf = tmp_path / "conf"
    if made_by == "user":
        conf.mkdir(mode=0o755)
        os.chown(conf, 1000, 1000)
    # The host is this machine, so a container reaches it by this machine's network.
    run = ("run", "--rm", "--network", "host", "-v", f"{conf}/:/conf")
    add = ("add-host", "--alias", "caroline", "--hostname", ssh_host.hostname, "--port", str(ssh_host.port))
    told = _on_a_terminal(engine, run[0], "-it", *run[1:], image, *add, "--user", ssh_host.user)
    line, *rest = told.splitlines()
    assert line.startswith(f"ssh -p {ssh_host.port} {ssh_host.user}@127.0.0.1 '")
    assert all(other.startswith("# ") for other in rest)
    key = conf / "hosts" / "caroline" / "id_ed25519"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (conf, key)] == [0o700, 0o600]
    _grant(ssh_host, line)
    engine_here = ("--engine", str(engine.socket))
    again = engine.run(*run, image, *add, *engine_here)
    assert again.stdout == f"{line.removesuffix(' #')}\n"
    assert "ok       engine        Docker" in again.stderr
    assert engine.output(*run, image, "list-hosts").startswith("caroline  ")
