"""Pages for new users that need a container engine: whoever follows them gets what they say."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from tests.documentation import COMMANDS, MASKS, Reader, page, tools
from tests.e2e.machine import REPOSITORY
from tests.ssh_host import running_ssh_host

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.containers import BaseImages, Engine
    from tests.curated_images import CuratedImages
    from tests.ssh_host import SshHost

pytestmark = [pytest.mark.docker, pytest.mark.root]

_LAS_PORT: Final = 18766
#: What containers reach their host by.
_BRIDGE: Final = "172.17.0.1"
_OTHERS_SECONDS: Final = 300.0
#: A user's own way to the host, which is not Bannock's: that takes no file of settings, and says so first.
_SSH: Final = """\
#!/bin/sh
[ "$1" = -F ] || set -- -i {key} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR "$@"
exec {ssh} "$@"
"""


@pytest.fixture
def host(engine: Engine, tmp_path: Path) -> Iterator[SshHost]:
    """A machine that the reader can log in to, with an engine."""
    directory = tmp_path / "host"
    directory.mkdir()
    with running_ssh_host(directory, f"SetEnv DOCKER_HOST={engine.host}") as running:
        key = tmp_path / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)], check=True)
        running.grant(key.with_suffix(".pub").read_text())
        yield running


@pytest.fixture
def reader(engine: Engine, host: SshHost, tmp_path: Path) -> Reader:
    """Somebody with a host and an engine."""
    somebody = _reader(engine, tmp_path)
    ssh = tmp_path / "tools" / "ssh"
    ssh.write_text(_SSH.format(key=tmp_path / "key", ssh=shutil.which("ssh")))
    ssh.chmod(0o755)
    there = {"HOST": host.hostname, "LOGIN": getpass.getuser(), "PORT": str(host.port)}
    return replace(somebody, variables={**somebody.variables, **there})


def test_secure_remote_execution(reader: Reader, engine: Engine, curated: CuratedImages) -> None:
    """A host is added, runs the copy application on ciphertext, and is refused when it runs another one."""
    for image in ("copy_demo", "las"):
        curated.of(image)
    _wait_until_free("127.0.0.1")
    try:
        reader.follow(page("tutorials/remote.md"))
    finally:
        _remove(engine, f"ancestor={engine.name('las')}")


@pytest.mark.fuse
def test_blender(engine: Engine, curated: CuratedImages, tmp_path: Path) -> None:
    """A scene with a module of its own is rendered; the maker's session goes along."""
    maker = curated.session_of_maker("blender_python")
    reader = _reader(engine, tmp_path)
    reader.directory.mkdir()
    (reader.directory / "blender_python.yaml").write_text(maker)
    reader.follow(page("tutorials/blender.md"))


@pytest.mark.fuse
def test_hello_world_and_an_existing_image(
    engine: Engine, bases: BaseImages, curated: CuratedImages, tmp_path: Path
) -> None:
    """Two pages, the second with the services of the first."""
    for image in ("python", "las", "cas"):
        curated.of(image)
    _wait_until_free(_BRIDGE)
    hello = _reader(engine, tmp_path)
    example = tmp_path / "flask"
    shutil.copytree(REPOSITORY / "examples" / "flask", example, ignore=shutil.ignore_patterns("tls", "__pycache__"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    more = {"BASE_IMAGE": bases.python(), "PORT": str(port), "COMPOSE_PROJECT_NAME": engine.name("flask")}
    try:
        hello.follow(page("tutorials/kubernetes.md"))
        replace(hello, directory=example, variables={**hello.variables, **more}).follow(page("tutorials/sconify.md"))
    finally:
        for name in ("hello", "flask"):
            _remove(engine, f"name={engine.name(name)}")


def _reader(engine: Engine, place: Path) -> Reader:
    variables = {
        **engine.environment,
        "PATH": tools(place / "tools", list(COMMANDS)),
        "HOME": str(place / "home"),
        "IMAGES": engine.prefix,
    }
    return Reader(place / "home", variables, masks=(*MASKS, (r"\d+\.\d s", "<seconds>")))


def _remove(engine: Engine, which: str) -> None:
    for name in engine.output("ps", "-aq", "--filter", which).split():
        engine.run("rm", "-f", "-v", name)


def _wait_until_free(address: str) -> None:
    """Wait while somebody else on this machine has the LAS that is the page's; another run of these tests, say."""
    end = time.monotonic() + _OTHERS_SECONDS
    while True:
        try:
            socket.create_server((address, _LAS_PORT)).close()
        except OSError:
            assert time.monotonic() < end, f"{address}:{_LAS_PORT} is taken"
            time.sleep(1)
        else:
            return
