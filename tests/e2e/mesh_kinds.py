"""Services of a kind, from their sources: made, started with a session, and changed."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.e2e.mesh_site import MeshSite

__all__ = ["SAID", "named", "refused", "runs", "service"]

#: What services say of their variables.
SAID = "hello me canary-secret-8811"
_MANIFEST = """\
apiVersion: scone/5.8
kind: genservice
environment:
  local:
    - name: API_PASSWORD
      value: "$$SCONE::password$$"
  global:
    - name: API_USER
secrets:
  global:
  - name: password
    kind: ascii
    value: canary-secret-8811
build:
"""


@contextmanager
def named(site: MeshSite, base: str, repository: str, *names: str) -> Iterator[None]:
    """Give an image the names that images to build on have in a repository."""
    images = [f"{repository}/{name}:latest" for name in names]
    for image in images:
        site.engine.run("tag", base, image)
    try:
        yield
    finally:
        site.engine.run("rmi", *images, check=False)


def service(site: MeshSite, name: str, files: Mapping[str, str], **build: Any) -> Path:
    """Write a manifest, and the files beside it."""
    directory = site.base / f"kind-{name}"
    directory.mkdir(exist_ok=True)
    for place, text in files.items():
        path = directory / place
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    described = {"name": name, "to": site.engine.name(f"kind-{name}"), **build}
    lines = [f"  {key}: {json.dumps(value)}\n" for key, value in described.items()]
    (directory / "service.yaml").write_text(_MANIFEST + "".join(lines))
    return directory


def runs(site: MeshSite, directory: Path, *, name: str, said: str, repository: str = "") -> str:
    """Make a service, see what it says with its session, and return its image."""
    done = site.apply(directory, "--no-push", SCONECTL_REPO=repository)
    image = done.stdout.strip()
    facts = site.facts(image, directory / "target")
    site.session(name, facts, API_USER="me")
    ran = site.run(image, name)
    assert (ran.stdout, ran.returncode) == (f"{said}\n", 0), ran.stderr
    return image


def refused(site: MeshSite, directory: Path, *, name: str, repository: str = "") -> None:
    """See that the session does not let a service in that was made of changed sources."""
    image = site.apply(directory, "--no-push", SCONECTL_REPO=repository).stdout.strip()
    ran = site.run(image, name)
    assert ran.returncode != 0
    assert "canary" not in ran.stdout + ran.stderr
    assert "Unexpected enclave measurement" in ran.stderr
