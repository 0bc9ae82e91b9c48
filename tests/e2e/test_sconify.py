"""Protected images on a real engine: started with their sessions, and looked at by whoever rules the host."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.shield.kills.services import CasProcess, start_las

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.containers import BaseImages, Engine, Registry

pytestmark = [pytest.mark.docker, pytest.mark.root]

_SERVER = """\
import os, sys, secretlib
print(secretlib.ALGORITHM, os.environ["API_PASSWORD"], sys.argv[1:], os.getcwd(), sorted(os.listdir("/app")))
print(open("/tls/key").read().startswith("-----BEGIN PRIVATE KEY-----"))
open("/app/out", "w").write("kept nowhere")
"""
_FILES = """\
   injection_files:
      - path: /tls/key
        content: $$SCONE::key$$
        permission: 0o444
"""
_CODE = "canary-algorithm-7131"
_PASSWORD = "canary-password-8424"
_DOCKERFILE = f"""\
ENV API_PASSWORD={_PASSWORD}
COPY app /app
RUN rm /app/old.py
WORKDIR /app
CMD python3 -B server.py one
"""
#: An image as small as they come, whose command is a script of the shell that is protected.
_SCRIPT = """\
#!/bin/sh -e
read -r line < /app/secret
echo "$line $API_PASSWORD $* $(pwd) $(ls /app | tr '\\n' ' ')"
grep -c 'BEGIN PRIVATE KEY' /tls/key
echo kept nowhere > /app/out
"""
_SMALL = f"""\
ENV API_PASSWORD={_PASSWORD}
COPY app /app
RUN rm /app/old.py
WORKDIR /app
CMD ["/app/server.sh", "one"]
"""
_PRINTED = f"{_CODE} {_PASSWORD} one /app secret server.sh \n1\n"
_EXPECTED = f"{_CODE} {_PASSWORD} ['one'] /app ['secretlib.py', 'server.py']\nTrue\n"
_FUSE = ("--device", "/dev/fuse", "--cap-add", "SYS_ADMIN")
_MEMORY = ("--security-opt", "seccomp=unconfined")


@dataclass(frozen=True)
class Site:
    """A small native image, an engine, a CAS and a LAS."""

    engine: Engine
    base: Path
    small: str
    cas: CasProcess
    las: Path

    @property
    def of_small(self) -> tuple[str, str]:
        """Options for the small image."""
        return f"--from={self.small}", "--binary=/bin/busybox"

    def sconify(self, target: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Run ``sconify_image`` as a user does, with parts of the session in the environment."""
        environment = {
            **self.engine.environment,
            "XDG_CACHE_HOME": str(self.base / "cache"),
            "SCONE_CLI_CONFIG": str(self.base / "cli.json"),
            "SECRETS": "secrets:\n    - name: key\n      kind: private-key\n",
            "INJECTED_FILES": _FILES,
        }
        command = [
            sys.executable, "-m", "bannock.cli.sconify_image", f"--to={target}",
            f"--cas={self.cas.clients}", f"--cas-in-image={self.cas.enclaves}", "--las=unix:/las/las.sock",
            "--disable-attestation", "--allow-debug-mode", *options,
        ]  # fmt: skip
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        return done

    def run(self, image: str, *options: str) -> str:
        """Start a container, and give what its program prints."""
        place = ("--network", "host", "-v", f"{self.las}:/las")
        done = self.engine.in_container(image, options=(*place, *options), check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def native(engine: Engine, bases: BaseImages, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image with Python, and an application with modules."""
    app = tmp_path_factory.mktemp("native") / "app"
    app.mkdir()
    (app / "server.py").write_text(_SERVER)
    (app / "secretlib.py").write_text(f"ALGORITHM = {_CODE!r}\n")
    (app / "old.py").write_text(f"OLD = {_CODE!r} * 2\n")
    (app.parent / "Dockerfile").write_text(f"FROM {bases.python()}\n{_DOCKERFILE}")
    return engine.built("sconify-native", app.parent)


@pytest.fixture(scope="module")
def site(engine: Engine, bases: BaseImages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Make the small image, and start the services."""
    base = tmp_path_factory.mktemp("sconify")
    app = base / "context" / "app"
    app.mkdir(parents=True)
    (app / "secret").write_text(f"{_CODE}\n")
    (app / "old.py").write_text(f"OLD = {_CODE!r} * 2\n")
    (app / "server.sh").write_text(_SCRIPT)
    (app / "server.sh").chmod(0o755)
    (app.parent / "Dockerfile").write_text(f"FROM {bases.busybox()}\n{_SMALL}")
    small = engine.built("sconify-small", app.parent)
    cas = CasProcess(base / "cas")
    las, address = start_las(base / "las")
    socket = Path(address.removeprefix("unix:"))
    yield Site(engine, base, small, cas, socket.parent)
    las.close()
    cas.kill()


def test_a_protected_image_runs_and_shows_nothing(site: Site, native: str) -> None:
    """With FUSE, in memory, on a read-only root; without its session it is ciphertext in files, layers and history."""
    image = site.engine.name("sconified")
    options = ("--dir=/app", "--namespace=ns-shown", "--create-namespace", "--name=flask")
    done = site.sconify(image, f"--from={native}", "--binary=/usr/bin/python3", *options)
    assert done.stdout == "ns-shown/flask\n"
    assert _CODE not in done.stderr
    assert _PASSWORD not in done.stderr
    assert site.run(image, *_FUSE) == _EXPECTED
    assert site.run(image, *_MEMORY) == _EXPECTED
    assert site.run(image, *_FUSE, "--read-only", "--tmpfs", "/tmp") == _EXPECTED  # noqa: S108 # in the container
    saved = site.base / "saved.tar"
    site.engine.run("save", "-o", str(saved), image)
    for canary in (_CODE, _PASSWORD):
        assert canary.encode() not in saved.read_bytes()
        assert canary not in site.engine.output("inspect", image) + site.engine.output("history", "--no-trunc", image)
    shell = ("--entrypoint", "sh")
    listed = site.engine.in_container(image, "-c", "env; cat /app/*; ls /app", options=shell).stdout
    assert _CODE not in listed
    assert _PASSWORD not in listed
    assert "server.py" in listed
    assert "old.py" not in listed


def test_a_changed_image_is_refused(site: Site) -> None:
    """Ciphertext or program that somebody exchanged keeps the service from starting, and gives no secret."""
    image = site.engine.name("sconified-changed")
    site.sconify(image, *site.of_small, "--dir=/app", "--name=changed")
    assert site.run(image, *_MEMORY) == _PRINTED
    for number, change in enumerate(("echo x > /app/secret", "echo >> /opt/bannock/programs/bin/busybox")):
        context = site.base / f"changed{number}"
        context.mkdir()
        # Every program of this image is the one that is protected, so that nothing else can change it.
        shutil.copy("/bin/busybox", context / "sh")
        lines = f'FROM {image}\nCOPY sh /sh\nSHELL ["/sh", "-c"]\nRUN {change}\n'
        (context / "Dockerfile").write_text(lines)
        changed = site.engine.built(f"changed-{number}", context)
        place = ("--network", "host", "-v", f"{site.las}:/las", *_FUSE)
        done = site.engine.in_container(changed, options=place, check=False)
        assert done.returncode != 0
        assert _CODE not in done.stdout + done.stderr
        assert _PASSWORD not in done.stdout + done.stderr


def test_a_measured_root(site: Site) -> None:
    """With --binary-fs, the application sees the files that were measured, and nothing is encrypted."""
    image = site.engine.name("sconified-measured")
    measured = ("--binary-fs", "--fs-dir=/app", "--fs-dir=/bin", "--host-path=/etc/hosts", "--name=measured")
    site.sconify(image, *site.of_small, *measured)
    assert site.run(image, *_MEMORY) == _PRINTED


def test_from_a_registry_to_a_registry(site: Site, registry: Registry) -> None:
    """No engine is needed for the images; what was encrypted is not encrypted again."""
    name = f"{registry.address}/{site.engine.prefix}/native:1"
    site.engine.run("tag", site.small, name)
    site.engine.run("push", name)
    target = f"{registry.address}/{site.engine.prefix}/made:1"
    words = (f"--from=docker://{name}", "--binary=/bin/sh", "--dir=/app", "--name=registry")
    done = [site.sconify(f"docker://{target}", *words).stderr for _ in range(2)]
    assert re.search(r"([0-9]) layers are encrypted, \1 of them as before", done[1]), done
    site.engine.run("rmi", name)
    assert site.run(target, *_FUSE) == _PRINTED
