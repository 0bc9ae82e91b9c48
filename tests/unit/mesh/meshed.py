"""Meshes whose images were read, for tests."""

from __future__ import annotations

from typing import Any

from bannock.mesh.facts import ServiceFacts
from bannock.mesh.manifests import parse_mesh
from bannock.mesh.meshed import MeshedService, built_in_values, terms_of

__all__ = ["FIRST", "MANIFEST", "SECOND", "facts", "manifest", "service", "terms"]

FIRST = "1" * 64
SECOND = "2" * 64
MANIFEST = """\
apiVersion: scone/5.8
kind: mesh
cas:
  - name: cas
    alias: [image, security]
    cas_url: cas.scone-system
policy:
  namespace: my/app
  tolerate: "outdated-tcb, hyperthreading"
  ignore_advisories: "*"
env:
  - service: global
    env:
      - name: API_USER
        value: myself
      - name: imagePullSecrets
        value: sconeapps
      - name: RELEASE
        value: pythonapp
services:
  - name: pythonservice
    image: registry.example.com/hello:1
"""


def facts(**others: Any) -> ServiceFacts:
    """Return what the image of the tutorial's service says."""
    described: dict[str, Any] = {
        "name": "python-hello-user", "kind": "python", "mode": "production", "program": "/usr/local/bin/python3",
        "mrenclave": FIRST, "mrsigner": "", "command": ("/usr/local/bin/python3", "print_env.py"),
        "directory": "/python", "environment": {"PATH": "/usr/bin"},
        "local": {"API_PASSWORD": "$$SCONE::password$$", "EXCLAIM": "!#what!$#"}, "global_": {"API_USER": None},
        "secrets": ({"name": "password", "kind": "ascii", "size": "10"},),
    }  # fmt: skip
    return ServiceFacts(**{**described, **others})


def manifest(text: str = MANIFEST) -> Any:
    """Read a mesh."""
    return parse_mesh(text)


def terms(text: str = MANIFEST, **others: Any) -> Any:
    """Return the terms of a mesh."""
    given: dict[str, Any] = {"release": None, "namespace": None, "maa": None, "debug": False, **others}
    return terms_of(manifest(text), **given)


def service(text: str = MANIFEST, name: str = "pythonservice", **others: Any) -> MeshedService:
    """Return a service of a mesh, with the values that the mesh has for it."""
    described: dict[str, Any] = {
        "name": name, "image": "registry.example.com/hello:1", "facts": facts(), "measurements": (FIRST,),
        "values": {**built_in_values(manifest(text), terms(text)), **manifest(text).values(name)},
    }  # fmt: skip
    return MeshedService(**{**described, **others})
