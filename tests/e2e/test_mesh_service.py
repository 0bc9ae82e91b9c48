"""Services from their manifests, on a real engine: built, measured, started with a session, pushed, and changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bannock.images.originals import measured_program
from bannock.images.places import Places
from bannock.images.tree import Tree
from bannock.mesh.facts import ServiceFacts
from bannock.mesh.withheld import complete
from tests.integration.shield.kills.services import CasProcess, start_las

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.containers import BaseImages, Engine, Registry

pytestmark = [pytest.mark.docker, pytest.mark.root]

_MANIFEST = """\
apiVersion: scone/5.8
kind: genservice
environment:
  local:
    - name: SCONE_HEAP
      value: 512M
    - name: API_PASSWORD
      value: "$$SCONE::password$$"
    - name: DB_PASSWORD
      value: canary-local-5512
    - name: EXCLAIM
      value: "!#what!$#"
  global:
    - name: API_USER
secrets:
  global:
  - name: password
    kind: ascii
    value: canary-secret-8811
build:
  name: hello
  kind: {kind}
  to: {to}
  from: {base}
  pwd: /app
  command: {command}
  copy: [{copy}]
  run:
    - echo built > note
"""
_PROGRAM = """\
import os, ssl
from lib import names
print(names.HELLO, os.environ["API_USER"], os.environ["API_PASSWORD"], os.environ["EXCLAIM"], os.getcwd())
print(open("note").read().strip(), sorted(os.listdir("/app")), os.path.exists("/usr/bin/env"))
"""
_SCRIPT = "#!/bin/sh\necho $API_USER $API_PASSWORD $(pwd) $(cat note) $1\n"
_SESSION = """\
name: {session}
version: "0.3.11"
services:
  - name: service
    image_name: image
    attestation: [{{mrenclave: [{mrenclave}]}}]
    command: {command}
    environment: {environment}
    pwd: {directory}
images:
  - name: image
secrets: {secrets}
security:
  attestation:
    tolerate: [simulation]
"""


@dataclass(frozen=True)
class Site:
    """An engine, a CAS and a LAS, and directories with manifests."""

    engine: Engine
    base: Path
    cas: CasProcess
    las: Path

    @property
    def environment(self) -> dict[str, str]:
        """What commands are started with."""
        cache = {"XDG_CACHE_HOME": str(self.base / "cache"), "HOME": str(self.base)}
        return {**self.engine.environment, **cache, "PATH": os.environ["PATH"]}

    def apply(self, directory: Path, *options: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run ``sconectl apply`` as a user does."""
        command = [sys.executable, "-m", "bannock.cli.sconectl", "apply", "-f", "service.yaml", *options]
        done = subprocess.run(
            command, cwd=directory, env=self.environment, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == code, done.stderr
        return done

    def facts(self, image: str, target: Path) -> ServiceFacts:
        """Read what an image says, and see that it is true."""
        with Places.prepared(cache=self.base / "places", environment=self.environment) as places:
            found = places.open(image)
            facts = ServiceFacts.from_labels(found.config.labels, image=image)
            measured = measured_program(facts.program, Tree.of(found), dict(found.config.env))
            assert str(measured.root) == facts.mrenclave
        return complete(target, facts)

    def session(self, name: str, facts: ServiceFacts, **variables: str) -> None:
        """Make the session of a service, as a mesh would."""
        local = {key: value for key, value in facts.local.items() if value is not None}
        text = _SESSION.format(
            session=name,
            mrenclave=facts.mrenclave,
            command=json.dumps(list(facts.command)),
            environment=json.dumps({**facts.environment, **local, **variables}),
            directory=facts.directory,
            secrets=json.dumps(list(facts.secrets)),
        )
        self.cas.make_session(text)

    def run(self, image: str, session: str) -> subprocess.CompletedProcess[str]:
        """Start a container of the image."""
        host, port = self.cas.enclaves
        options = [
            "--network", "host", "-v", f"{self.las}:/las", "--security-opt", "seccomp=unconfined",
            "-e", f"SCONE_CAS_ADDR={host}:{port}", "-e", "SCONE_LAS_ADDR=unix:/las/las.sock",
            "-e", f"SCONE_CONFIG_ID={session}/service", "-e", "API_USER=attacker",
        ]  # fmt: skip
        return self.engine.in_container(image, options=options, check=False)


@pytest.fixture(scope="module")
def site(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Start the services."""
    base = tmp_path_factory.mktemp("mesh-service")
    cas = CasProcess(base / "cas")
    las, address = start_las(base / "las")
    yield Site(engine, base, cas, Path(address.removeprefix("unix:")).parent)
    las.close()
    cas.kill()


def _written(directory: Path, files: dict[str, str], **values: Any) -> Path:
    directory.mkdir(exist_ok=True)
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if text.startswith("#!") else 0o644)
    (directory / "service.yaml").write_text(_MANIFEST.format(**values))
    return directory


def test_a_python_service(site: Site, bases: BaseImages, registry: Registry) -> None:
    """Its image is pushed, measures what it runs, shows no secret, and a changed file is another MRENCLAVE."""
    image = f"{registry.address}/{site.engine.prefix}/hello:1"
    directory = _written(
        site.base / "python",
        {"print_env.py": _PROGRAM, "lib/names.py": "HELLO = 'hello'\n", "beside": "is not sent"},
        kind="python",
        to=image,
        base=bases.python(),
        command="python3 -B print_env.py",
        copy="print_env.py, lib",
    )
    done = site.apply(directory)
    assert done.stdout == f"{image}\n"
    assert "pushed as sha256:" in done.stderr
    first = site.facts(f"docker://{image}", directory / "target")
    assert first.command == ("python3", "-B", "print_env.py")
    assert first.required == ("API_USER",)
    told = site.engine.output("inspect", image)
    assert "canary-secret-8811" not in told
    assert "canary-local-5512" not in told
    assert first.local["DB_PASSWORD"] == "canary-local-5512"
    assert all(path.stat().st_mode & 0o77 == 0 for path in (directory / "target").rglob("*"))
    site.session("python-1", first, API_USER="me")
    ran = site.run(image, "python-1")
    expected = "hello me canary-secret-8811 !#what!$# /app\nbuilt ['lib', 'note', 'print_env.py'] False\n"
    assert (ran.stdout, ran.returncode) == (expected, 0), ran.stderr

    (directory / "lib" / "names.py").write_text("HELLO = 'changed'\n")
    site.apply(directory)
    assert site.facts(image, directory / "target").mrenclave != first.mrenclave
    refused = site.run(image, "python-1")
    assert refused.returncode != 0
    assert "canary" not in refused.stdout + refused.stderr
    assert first.mrenclave in refused.stderr


def test_a_program_without_an_interpreter(site: Site, bases: BaseImages) -> None:
    """A script that the image's own shell runs; the same sources make the same image, and --no-push pushes nothing."""
    image = site.engine.name("mesh-script")
    directory = _written(
        site.base / "script",
        {"start.sh": _SCRIPT},
        kind="binary",
        to=image,
        base=bases.busybox(),
        command="./start.sh word",
        copy="start.sh",
    )
    assert "not pushed" in site.apply(directory, "--no-push").stderr
    facts = site.facts(image, directory / "target")
    site.session("script-1", facts, API_USER="me")
    ran = site.run(image, "script-1")
    assert ran.stdout == "me canary-secret-8811 /app built word\n", ran.stderr


def test_a_failing_step_is_told(site: Site, bases: BaseImages) -> None:
    """The engine's own words say what failed; nothing is made."""
    image = site.engine.name("mesh-failing")
    directory = _written(
        site.base / "failing",
        {"start.sh": _SCRIPT},
        kind="binary",
        to=image,
        base=bases.busybox(),
        command="./start.sh",
        copy="start.sh",
    )
    text = (directory / "service.yaml").read_text().replace("echo built > note", "exit 3")
    (directory / "service.yaml").write_text(text)
    assert "returned a non-zero code: 3" in site.apply(directory, "--no-push", code=2).stderr
    (directory / "start.sh").unlink()
    assert "there is no start.sh" in site.apply(directory, "--no-push", code=2).stderr
