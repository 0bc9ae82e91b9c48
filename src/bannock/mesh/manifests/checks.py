"""What the parts of a manifest ask of each other. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bannock.mesh.manifests.model import BuildKind
from bannock.policy.documents import Mapping, Sequence, issue_at, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bannock.errors import Issue
    from bannock.mesh.manifests.model import Build, MeshManifest, ServiceManifest
    from bannock.policy.documents import Node

__all__ = ["mesh_issues", "service_issues"]


def service_issues(manifest: ServiceManifest, root: Mapping) -> Iterator[Issue]:
    """Yield what does not go together in the manifest of a service."""
    names = [(f"environment.local[{index}]", each.name) for index, each in enumerate(manifest.environment.local)]
    names += [(f"environment.global[{index}]", each.name) for index, each in enumerate(manifest.environment.global_)]
    yield from _unique(names, root, "variable")
    secrets = [(f"secrets.global[{index}]", each.name) for index, each in enumerate(manifest.secrets.global_)]
    secrets += [(f"secrets.import[{index}]", name) for index, name in enumerate(manifest.secrets.import_)]
    yield from _unique(secrets, root, "secret")
    build = manifest.build
    if build.kind.is_image and build.from_ is None:
        yield _at(root, "build", f"kind {build.kind} needs from: the image that is to be protected")
    if build.requirements is not None and build.kind is not BuildKind.PYTHON:
        yield _at(root, "build.requirements", f"requirements are of python, and this is of kind {build.kind}")
    if len(build.binaries) > 1:
        yield _at(root, "build.binaries", f"expected one program, found {len(build.binaries)}: make an image of each")
    yield from _not_taken(build, root)
    for index, volume in enumerate(build.volumes):
        if volume.import_ is not None and volume.export:
            yield _at(root, f"build.volumes[{index}]", "a volume that is imported cannot be exported")
    yield from _unique([(f"build.volumes[{i}]", each.name) for i, each in enumerate(build.volumes)], root, "volume")


def _not_taken(build: Build, root: Mapping) -> Iterator[Issue]:
    """Yield what manifests may have, and another way has taken the place of."""
    if build.dirs:
        message = "directories are not encrypted in an image whose code is measured"
        yield _at(root, "build.dirs", message, "keep what is confidential in secrets, injection_files and volumes")
    if build.stable is not None:
        message = "the version before is not named: policies remember it"
        yield _at(root, "build.stable", message, "apply the mesh with --rolling, and once more without it")
    if build.gen_policy is not None and build.gen_policy.policy is not None:
        message = "policies are made of manifests, without templates"
        yield _at(root, "build.gen_policy", message, "image_policy in the mesh says what one is to say besides")


def mesh_issues(manifest: MeshManifest, root: Mapping) -> Iterator[Issue]:
    """Yield what does not go together in the manifest of a mesh."""
    services = [(f"services[{index}]", each.name) for index, each in enumerate(manifest.services)]
    yield from _unique(services, root, "service")
    known = ["global", "helm", *(name for _, name in services)]
    for index, entry in enumerate(manifest.env):
        if entry.service not in known:
            message = f"there is no service {entry.service!r}, known: {', '.join(known)}"
            yield _at(root, f"env[{index}].service", message, nearest(entry.service, known))
        yield from _unique([(f"env[{index}].env[{i}]", each.name) for i, each in enumerate(entry.env)], root, "value")
    for index, each in enumerate(manifest.services):
        if each.name in known[:2]:
            yield _at(root, f"services[{index}]", f"a service cannot be called {each.name}: that means all services")
    roles = [(f"cas[{index}]", role) for index, cas in enumerate(manifest.cas) for role in (cas.name, *cas.alias)]
    yield from _unique(roles, root, "CAS")


def _unique(named: Iterable[tuple[str, str]], root: Mapping, what: str) -> Iterator[Issue]:
    first: dict[str, str] = {}
    for path, name in named:
        if name in first:
            yield _at(root, path, f"there is a {what} {name} already, at {first[name]}")
        first.setdefault(name, path)


def _at(root: Mapping, path: str, message: str, hint: str | None = None) -> Issue:
    node: Node = root
    for step in path.replace("[", ".[").split("."):
        below: Node | None = None
        if step.startswith("[") and isinstance(node, Sequence):
            below = node.items[int(step[1:-1])]
        elif isinstance(node, Mapping):
            below = node.get(step)
        node = below or node
    return issue_at(node, path, message, hint)
