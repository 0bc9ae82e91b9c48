"""Services from their manifests, on a real engine: built, measured, started with a session, pushed, and changed."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.containers import BaseImages, Registry
    from tests.e2e.mesh_site import MeshSite

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


def _written(directory: Path, files: dict[str, str], **values: Any) -> Path:
    directory.mkdir(exist_ok=True)
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if text.startswith("#!") else 0o644)
    (directory / "service.yaml").write_text(_MANIFEST.format(**values))
    return directory


def test_a_python_service(mesh_site: MeshSite, bases: BaseImages, registry: Registry) -> None:
    """Its image is pushed, measures what it runs, shows no secret, and a changed file is another MRENCLAVE."""
    image = f"{registry.address}/{mesh_site.engine.prefix}/hello:1"
    directory = _written(
        mesh_site.base / "python",
        {"print_env.py": _PROGRAM, "lib/names.py": "HELLO = 'hello'\n", "beside": "is not sent"},
        kind="python",
        to=image,
        base=bases.python(),
        command="python3 -B print_env.py",
        copy="print_env.py, lib",
    )
    done = mesh_site.apply(directory)
    assert done.stdout == f"{image}\n"
    assert "pushed as sha256:" in done.stderr
    first = mesh_site.facts(f"docker://{image}", directory / "target")
    assert first.command == ("python3", "-B", "print_env.py")
    assert first.required == ("API_USER",)
    told = mesh_site.engine.output("inspect", image)
    assert "canary-secret-8811" not in told
    assert "canary-local-5512" not in told
    assert first.local["DB_PASSWORD"] == "canary-local-5512"
    assert all(path.stat().st_mode & 0o77 == 0 for path in (directory / "target").rglob("*"))
    mesh_site.session("python-1", first, API_USER="me")
    ran = mesh_site.run(image, "python-1")
    expected = "hello me canary-secret-8811 !#what!$# /app\nbuilt ['lib', 'note', 'print_env.py'] False\n"
    assert (ran.stdout, ran.returncode) == (expected, 0), ran.stderr

    (directory / "lib" / "names.py").write_text("HELLO = 'changed'\n")
    mesh_site.apply(directory)
    assert mesh_site.facts(image, directory / "target").mrenclave != first.mrenclave
    refused = mesh_site.run(image, "python-1")
    assert refused.returncode != 0
    assert "canary" not in refused.stdout + refused.stderr
    assert first.mrenclave in refused.stderr


def test_a_program_without_an_interpreter(mesh_site: MeshSite, bases: BaseImages) -> None:
    """A script that the image's own shell runs; the same sources make the same image, and --no-push pushes nothing."""
    image = mesh_site.engine.name("mesh-script")
    directory = _written(
        mesh_site.base / "script",
        {"start.sh": _SCRIPT},
        kind="binary",
        to=image,
        base=bases.busybox(),
        command="./start.sh word",
        copy="start.sh",
    )
    assert "not pushed" in mesh_site.apply(directory, "--no-push").stderr
    facts = mesh_site.facts(image, directory / "target")
    mesh_site.session("script-1", facts, API_USER="me")
    ran = mesh_site.run(image, "script-1")
    assert ran.stdout == "me canary-secret-8811 /app built word\n", ran.stderr


def test_a_failing_step_is_told(mesh_site: MeshSite, bases: BaseImages) -> None:
    """The engine's own words say what failed; nothing is made."""
    image = mesh_site.engine.name("mesh-failing")
    directory = _written(
        mesh_site.base / "failing",
        {"start.sh": _SCRIPT},
        kind="binary",
        to=image,
        base=bases.busybox(),
        command="./start.sh",
        copy="start.sh",
    )
    text = (directory / "service.yaml").read_text().replace("echo built > note", "exit 3")
    (directory / "service.yaml").write_text(text)
    assert "returned a non-zero code: 3" in mesh_site.apply(directory, "--no-push", code=2).stderr
    (directory / "start.sh").unlink()
    assert "there is no start.sh" in mesh_site.apply(directory, "--no-push", code=2).stderr


def test_ctrl_c_while_the_engine_builds(mesh_site: MeshSite, bases: BaseImages) -> None:
    """It ends at once, whatever the engine is doing, and the engine stops as well."""
    directory = _written(
        mesh_site.base / "interrupted",
        {"start.sh": _SCRIPT},
        kind="binary",
        to=mesh_site.engine.name("mesh-interrupted"),
        base=bases.busybox(),
        command="./start.sh",
        copy="start.sh",
    )
    text = (directory / "service.yaml").read_text().replace("echo built > note", "sleep 87654")
    (directory / "service.yaml").write_text(text)
    with mesh_site.applying(directory, "--no-push", "-v") as process:
        assert process.stderr is not None
        assert any("Running in" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    end = time.monotonic() + 30
    while "sleep 87654" in mesh_site.engine.output("ps", "--no-trunc", "--format", "{{.Command}}"):
        assert time.monotonic() < end
        time.sleep(0.2)
