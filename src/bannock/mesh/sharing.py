"""Secrets of a mesh: defined by services, kept in one session, and exported to those that use them. Pure.

A secret is exported to the sessions of the services that define or import it, and beside them only to whom the
manifest itself names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bannock.errors import InputError
from bannock.mesh.manifests.placeholders import fill_all
from bannock.mesh.meshed import secrets_in_force
from bannock.policy.documents import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bannock.mesh.meshed import MeshedService, Terms

__all__ = ["SharedSecrets", "share"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedSecrets:
    """What sessions say of the secrets of a mesh.

    Attributes:
        kept: entries of the session that has them.
        of_services: service → entries of its session, which import them.
    """

    kept: tuple[Mapping[str, Any], ...]
    of_services: Mapping[str, tuple[Mapping[str, Any], ...]]


def share(services: Sequence[MeshedService], terms: Terms) -> SharedSecrets:
    """Decide which session has what.

    Raises:
        InputError: two services define a secret differently, or one imports what none defines.
    """
    defined, users = _defined(services)
    _add_importers(services, defined, users)
    of_services: dict[str, list[Mapping[str, Any]]] = {service.name: [] for service in services}
    kept = []
    for name, entry in defined.items():
        if "import" not in entry:
            kept.append(_exported(entry, [terms.session(user) for user in users[name]]))
        for user in users[name]:
            # What comes from elsewhere comes straight from there: a session exports what it has itself.
            imported = {"name": name, "import": {"session": terms.shared, "secret": name}}
            of_services[user].append(entry if "import" in entry else imported)
    return SharedSecrets(kept=tuple(kept), of_services={name: tuple(entries) for name, entries in of_services.items()})


def _defined(services: Sequence[MeshedService]) -> tuple[dict[str, dict[str, Any]], dict[str, list[str]]]:
    """Return the secrets by their names, and who defines each."""
    defined: dict[str, dict[str, Any]] = {}
    users: dict[str, list[str]] = {}
    for service in services:
        for entry in secrets_in_force(service):
            name = str(entry["name"])
            filled = fill_all(dict(entry), service.values, where=f"the secret {name} of service {service.name}")
            if defined.setdefault(name, filled) != filled:
                raise InputError(
                    f"the services {users[name][0]} and {service.name} define the secret {name}, and not as the same",
                    hint="define it in one of them, and name it in secrets.import of the other one",
                )
            users.setdefault(name, []).append(service.name)
    return defined, users


def _add_importers(
    services: Sequence[MeshedService], defined: Mapping[str, dict[str, Any]], users: Mapping[str, list[str]]
) -> None:
    for service in services:
        for name in service.facts.imports:
            if name not in defined:
                raise InputError(
                    f"service {service.name} imports the secret {name}, which no service of the mesh defines",
                    hint=nearest(name, defined) or f"defined are: {', '.join(sorted(defined)) or 'none'}",
                )
            if service.name not in users[name]:
                users[name].append(service.name)


def _exported(entry: Mapping[str, Any], sessions: Sequence[str]) -> dict[str, Any]:
    own = entry.get("export") or []
    listed = own if isinstance(own, list) else [own]
    return {**entry, "export": [*listed, *({"session": session} for session in sessions)]}
