"""Parts of a mesh's policies that sessions of somebody else have: who may change them, and whom they trust. Pure.

Such a session exports fragments of the session language. The policies of a mesh name them, and the CAS puts them in
whenever it decides: what changes there counts at once, for all meshes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bannock.errors import InputError

if TYPE_CHECKING:
    from bannock.mesh.manifests.model import Cas, MeshManifest

__all__ = ["PolicyPart", "parts_of", "with_parts"]

_ACCESS: Final = "access"
_ATTESTATION: Final = "attestation"
_SECURITY: Final = "security"
_READ: Final = "access_read"
_UPDATE: Final = "access_update"
#: Role of a CAS → the key of the manifest, and what the session exports.
_ROLES: Final = {
    _ACCESS: ("access_policy_name", (_READ, _UPDATE)),
    _ATTESTATION: ("attestation_policy_name", (_ATTESTATION,)),
    _SECURITY: ("security_policy_name", (_SECURITY,)),
}
#: What secrets of a policy are called that are imported for this.
_PREFIX: Final = "mesh_"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPart:
    """A session that has a part of policies.

    Attributes:
        role: of the part: ``access``, ``attestation`` or ``security``.
        session: that exports it.
        cas: address and key of the CAS that has it; empty for the CAS of the mesh itself.
    """

    role: str
    session: str
    cas: tuple[str, str] = ("", "")

    @property
    def exported(self) -> tuple[str, ...]:
        """Names of what the session has to export."""
        return _ROLES[self.role][1]

    def secrets(self) -> list[dict[str, Any]]:
        """Return the secrets of a policy that import it."""
        url, key = self.cas
        other = {"cas_url": url, "cas_key": key} if url else {}
        return [
            {
                "name": f"{_PREFIX}{name}",
                "kind": "config-fragment",
                "import": {"session": self.session, "secret": name, **other},
            }
            for name in self.exported
        ]


def parts_of(manifest: MeshManifest) -> tuple[PolicyPart, ...]:
    """Find which parts of policies a mesh leaves to others.

    Raises:
        InputError: it says them itself, too, or the key of the CAS is not known that has them.
    """
    policy = manifest.policy
    named = [role for role, (key, _) in _ROLES.items() if getattr(policy, key) is not None]
    for role in (_ATTESTATION, _SECURITY):
        own = [each for each in ("tolerate", "ignore_advisories", "maa") if getattr(policy, each)]
        if role in named and (own or {_ATTESTATION, _SECURITY} <= set(named)):
            key, other = _ROLES[role][0], own[0] if own else _ROLES[_SECURITY][0]
            raise InputError(
                f"policy.{key} names who decides how services are attested, and policy.{other} says it, too",
                hint="leave one of them out",
            )
    main = manifest.cas_for("cas")
    playing = {role: next((cas for cas in manifest.cas if cas.plays(role)), main) for role in named}
    return tuple(
        PolicyPart(role=role, session=getattr(policy, _ROLES[role][0]), cas=_elsewhere(playing[role], main, role))
        for role in named
    )


def with_parts(document: dict[str, Any], parts: tuple[PolicyPart, ...]) -> dict[str, Any]:
    """Return a policy in which parts of others stand; one without services attests nobody."""
    made = dict(document)
    for part in parts:
        if part.role != _ACCESS and "services" not in document:
            continue
        made["secrets"] = [*made.get("secrets", ()), *part.secrets()]
        if part.role == _ACCESS:
            made["access_policy"] = {"read": [_named(_READ)], "update": [_named(_UPDATE)]}
        elif part.role == _ATTESTATION:
            made["security"] = {"attestation": _named(_ATTESTATION)}
        else:
            made["security"] = _named(_SECURITY)
    return made


def _named(name: str) -> str:
    return f"$$SCONE::{_PREFIX}{name}$$"


def _elsewhere(cas: Cas, main: Cas, role: str) -> tuple[str, str]:
    if cas is main:
        return "", ""
    if not cas.cas_key:
        raise InputError(
            f"the CAS {cas.name} of the role {role} needs cas_key: the CAS of the mesh fetches from it by its key"
        )
    return cas.cas_url.removeprefix("https://").rstrip("/"), cas.cas_key
