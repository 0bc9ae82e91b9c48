"""From a mesh to its policies: a session for each service, one for what they share, one for each namespace. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

import yaml

from bannock.errors import InputError, PolicySyntaxError
from bannock.mesh.manifests.placeholders import fill, fill_all
from bannock.mesh.meshed import variables_of
from bannock.mesh.parts import with_parts
from bannock.mesh.replacing import replaced
from bannock.mesh.sharing import share
from bannock.policy.canonical import canonical_json
from bannock.policy.documents import LATEST
from bannock.policy.parse import parse_session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bannock.mesh.meshed import MeshedService, Terms

__all__ = ["Policy", "PolicyKind", "policies_of", "void_policy"]

#: What the image of a service is called in its own session.
_IMAGE: Final = "image"


class PolicyKind(Enum):
    """What a session of a mesh is for."""

    NAMESPACE = "namespace"
    SHARED = "shared"
    SERVICE = "service"
    EXTRA = "extra"
    #: Of a service that the mesh has no more: nobody starts by it.
    VOID = "void"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A session of a mesh, without the hash of its predecessor.

    Attributes:
        name: of the session.
        kind: what it is for.
        text: the document; it may hold values of secrets.
        digest: of it.
        config_id: by which a container asks for its configuration; empty unless it is of a service.
    """

    name: str
    kind: PolicyKind
    text: str = field(repr=False)
    digest: str
    config_id: str = ""


def policies_of(
    services: Sequence[MeshedService], terms: Terms, extra: Sequence[Mapping[str, Any]] = ()
) -> tuple[Policy, ...]:
    """Make the policies, in the order that a CAS takes them: what others are in comes first.

    Args:
        services: of the mesh.
        terms: of its policies.
        extra: further sessions of the mesh; one with the name of a namespace takes its place.

    Raises:
        InputError: a value or a secret is missing, or what comes of it is no session.
    """
    secrets = share(services, terms)
    namespaces = accumulate(terms.namespace.split("/"), lambda above, name: f"{above}/{name}")
    made = [_policy({"name": name, "version": LATEST}, PolicyKind.NAMESPACE, "") for name in namespaces]
    shared: dict[str, Any] = {"name": terms.shared, "version": LATEST}
    if secrets.kept:
        shared["secrets"] = list(secrets.kept)
    made.append(_policy(with_parts(shared, terms.parts), PolicyKind.SHARED, ""))
    for service in services:
        document = _session(service, terms, secrets.of_services[service.name])
        made.append(_policy(document, PolicyKind.SERVICE, f"{document['name']}/{service.program}"))
    return _with_extra(made, extra)


def void_policy(name: str) -> Policy:
    """Make the policy of a service that the mesh has no more: nobody starts by it, and it has no secret."""
    return _policy({"name": name, "version": LATEST}, PolicyKind.VOID, "")


def _with_extra(made: Sequence[Policy], extra: Sequence[Mapping[str, Any]]) -> tuple[Policy, ...]:
    found = {policy.name: policy for policy in made}
    for document in extra:
        name = document.get("name")
        if not isinstance(name, str):
            raise InputError("a further policy of the mesh (extra_policies) has no name")
        before = found.get(name)
        if before is not None and before.kind is not PolicyKind.NAMESPACE:
            raise InputError(
                f"a further policy of the mesh is called {name}, as one that the mesh makes, or another one of them",
                hint="give it another name; image_policy of a service changes the policy of that",
            )
        found[name] = _policy(dict(document), PolicyKind.EXTRA, "")
    return tuple(found.values())


def _session(service: MeshedService, terms: Terms, secrets: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    facts = service.facts
    where = f"service {service.name}"
    image: dict[str, Any] = {"name": _IMAGE}
    volumes = [fill_all(dict(volume), service.values, where=f"a volume of {where}") for volume in facts.volumes]
    if volumes:
        image["volumes"] = [{"name": volume["name"], "path": volume["path"]} for volume in volumes]
    if facts.injection_files:
        image["injection_files"] = [
            {
                "path": each["path"],
                "content": fill(each["content"], service.values, where=f"{each['path']} of {where}"),
            }
            for each in facts.injection_files
        ]
    started: dict[str, Any] = {
        "name": service.program,
        "image_name": _IMAGE,
        "attestation": [{"mrenclave": list(service.measurements)}],
        "command": [fill(word, service.values, where=f"the command of {where}") for word in facts.command],
        "environment": variables_of(service),
        "pwd": facts.directory,
    }
    document: dict[str, Any] = {
        "name": terms.session(service.name),
        "version": LATEST,
        "services": [started],
        "images": [image],
    }
    if volumes:
        document["volumes"] = [_volume(volume) for volume in volumes]
    if secrets:
        document["secrets"] = list(secrets)
    if security := _security(terms):
        document["security"] = {"attestation": security}
    document = with_parts(document, terms.parts)
    if service.policy is not None:
        named = {"session": document["name"], "service": service.name, "mrenclave": service.measurements[0]}
        given = fill_all(dict(service.policy), {**service.values, **named}, where=f"the policy of {where}")
        document = replaced(document, given, where=f"the policy of {where}")
        if all(each.get("name") != service.program for each in document["services"]):
            raise InputError(f"the policy of {where} has no service {service.program}, which is what its image starts")
    return document


def _volume(volume: Mapping[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {"name": volume["name"]}
    if "import" in volume:
        described["import"] = volume["import"]
    if "export" in volume:
        described["export"] = [
            {
                "to": {"session": each["session"], **_some(each, "session_hash")},
                **_some(each, "update_policy", "volume_alias"),
            }
            for each in volume["export"]
        ]
    return described


def _some(mapping: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: mapping[key] for key in keys if key in mapping}


def _security(terms: Terms) -> dict[str, Any]:
    security: dict[str, Any] = {}
    if any(part.role != "access" for part in terms.parts):
        return security
    if terms.maa is not None:
        security |= {"mode": "maa", "url": terms.maa}
    if terms.tolerate:
        security["tolerate"] = list(terms.tolerate)
    if terms.advisories:
        security["ignore_advisories"] = "*" if terms.all_advisories else list(terms.advisories)
    return security


def _policy(document: dict[str, Any], kind: PolicyKind, config_id: str) -> Policy:
    """Write a session as a person would, and as a CAS reads it."""
    name = str(document["name"])
    exact = canonical_json(document).decode()
    try:
        digest = parse_session(exact, variables=None).digest
    except PolicySyntaxError as error:
        told = "; ".join(str(issue) for issue in error.issues)
        raise InputError(f"the policy {name} that the manifests ask for is none: {told}") from None
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
    try:
        same = parse_session(text, variables=None).digest == digest
    except PolicySyntaxError:
        # Anchors stand for what comes twice; the session language follows them, and other texts it may not.
        same = False
    return Policy(name=name, kind=kind, text=text if same else exact, digest=digest, config_id=config_id)
