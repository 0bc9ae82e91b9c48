"""Hosts with a container engine, and the ``cli`` image: the lines of SCONE's documentation."""

from __future__ import annotations

import os
import pty
import socket
import stat
import subprocess
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bannock.cli import bannock
from tests.ssh_host import added

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.containers import Engine, Registry
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


@pytest.fixture
def las(engine: Engine) -> Iterator[str]:
    """Where a LAS may be on the host; what it leaves is removed."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    yield f"127.0.0.1:{port}"
    engine.run("rm", "-f", f"bannock-las-{port}", check=False)
    engine.run("volume", "rm", "-f", f"bannock-las-{port}", check=False)


def test_a_host_with_everything(
    engine: Engine,
    curated: CuratedImages,
    ssh_host: SshHost,
    private_path: Path,
    las: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A LAS is started on the host from an image, once; then the host has everything; and it is stopped again."""
    book = added(private_path, ssh_host, engine=str(engine.socket))
    book.put(replace(book.get("caroline"), las=las))

    def check(*options: str) -> tuple[int, str, str]:
        code = bannock.main(["check-host", "caroline", "--conf", str(private_path), *options])
        told = capsys.readouterr()
        return code, told.out, told.err

    image = curated.of("las")
    code, out, told = check("--start-las", image)
    assert code == 0, (out, told)
    assert told.startswith("LAS on host caroline: platform sim")
    assert f"ok       las           {las}, platform sim" in out
    assert "ok       engine        Docker" in out
    assert check("--start-las", image)[0] == 0
    names = engine.output("ps", "--format", "{{.Names}}").splitlines()
    assert len([name for name in names if name.endswith(las.partition(":")[2])]) == 1
    code, out, _ = check("--stop-las")
    assert code == 50
    assert "MISSING  las" in out
    assert "there was no LAS" in check("--stop-las")[2]


def test_copy_demo_on_a_host(
    engine: Engine, registry: Registry, curated: CuratedImages, ssh_host: SshHost, tmp_path: Path, las: str
) -> None:
    """``docker run … CLI execute --application copy_demo --host caroline``: a file goes in, and comes back."""
    application = f"{registry.address}/{engine.prefix}:copy_demo"
    engine.run("tag", curated.of("copy_demo"), application)
    engine.run("push", application)
    inputs, outputs, conf = tmp_path / "INPUTS", tmp_path / "OUTPUTS", tmp_path / "conf"
    for path in (inputs, outputs):
        path.mkdir()
    (inputs / "f1.txt").write_text("Hello World\n")
    conf.mkdir(mode=0o700)
    book = added(conf, ssh_host, engine=str(engine.socket))
    book.put(replace(book.get("caroline"), las=las))
    volumes = ("-v", f"{inputs}:/inputs", "-v", f"{outputs}:/decryptedOutputs", "-v", f"{conf}/:/conf")
    run = ("run", "-it", "--rm", "--network", "host", *volumes, curated.of("cli"))
    with_engine = ("-v", f"{engine.socket}:/var/run/docker.sock")
    started = engine.run(
        *("run", "--rm", "--network", "host", "-v", f"{conf}/:/conf", *with_engine, curated.of("cli")),
        *("check-host", "caroline", "--start-las", curated.of("las")),
    )
    assert "platform sim" in started.stderr
    for text in ("Hello World\n", "Hello again\n"):
        (inputs / "f1.txt").write_text(text)
        said = _on_a_terminal(engine, *run, "execute", "--application", application, "--host", "caroline")
        assert (outputs / "f1.txt").read_text() == text, said
    left = engine.output("ps", "-a", "--filter", "label=dev.bannock.run", "--format", "{{.Image}}")
    assert engine.prefix not in left
