"""Sharing: which session may import what from which, checked whenever something imported is used.

Pure. Both sides have their say: the exporting session lists who may import, the importing one may pin the version
that it imports from. Errors name the sessions, and no version that the other side has not told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bannock.errors import DeniedError
from bannock.policy.configuration import UpdatePolicy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bannock.policy.references import RemoteCas, SessionReference
    from bannock.policy.secret_specs import SecretSpec
    from bannock.policy.session import PartExport, Session, VolumeExport
    from bannock.policy.template import SecretKind
    from bannock.values import KeyHash

__all__ = [
    "Importer",
    "find_exported_secret",
    "find_exported_volume",
    "is_exported_part",
    "is_exported_to",
    "limit_update_policy",
    "not_exported",
    "require_kind",
    "require_version",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Importer:
    """A session that imports.

    Attributes:
        name: of the session.
        digest: the hash of its version in force.
        cas: who the CAS is that it is on, by its own key and that of its software; None where that exports.
    """

    name: str
    digest: str
    cas: frozenset[KeyHash] | None = None


def is_exported_to(spec: SecretSpec, importer: Importer) -> bool:
    """Whether a secret is exported to a session, by name or by the namespace that it is in."""
    return any(_is_meant(export.to, importer, nested=export.nested) for export in spec.export)


def find_exported_secret(exporter: Session, secret: str, importer: Importer) -> SecretSpec:
    """Give a secret of a session to a session that may import it.

    Raises:
        DeniedError: it may not, or there is no such secret; which of the two is not told.
    """
    for spec in exporter.secrets:
        if spec.name == secret and (spec.export_public or is_exported_to(spec, importer)):
            return spec
    raise not_exported(exporter.name, secret, importer)


def not_exported(exporter: str, secret: str, importer: Importer) -> DeniedError:
    """Make the one answer for what is not exported and what is not there."""
    return DeniedError(
        f"session {exporter} does not export a secret {secret} to session {importer.name}",
        hint=f"list session {importer.name} under export of the secret; "
        "a hash there has to be that of its version in force",
    )


def find_exported_volume(exporter: Session, volume: str, importer: Importer) -> tuple[str, VolumeExport]:
    """Give the name of a volume that a session may import, and the rules for it.

    Args:
        exporter: the session that has it.
        volume: the name that it is exported under: its alias if it has one, its own otherwise.
        importer: the session that imports it.

    Raises:
        DeniedError: it may not, or there is no such volume; which of the two is not told.
    """
    for one in exporter.volumes:
        for export in one.export:
            if (export.alias or one.name) == volume and _is_meant(export.to, importer):
                return one.name, export
    raise DeniedError(
        f"session {exporter.name} does not export a volume {volume} to session {importer.name}",
        hint=f"list session {importer.name} under export of the volume; where it has an alias, the alias is its name",
    )


def is_exported_part(part: PartExport, importer: Importer) -> bool:
    """Whether a service or image is exported to a session."""
    return part.to is None or _is_meant(part.to, importer)


def require_version(exporter: Session, reference: SessionReference) -> None:
    """Accept the version in force of a session that is imported from.

    Raises:
        DeniedError: the import names another one.
    """
    if reference.digest is not None and reference.digest != exporter.digest:
        raise DeniedError(
            f"session {exporter.name} is not in the version that is imported from, {reference.digest}",
            hint="look at what was changed there, and name the hash of the version that you accept",
        )


def require_kind(spec: SecretSpec, kind: SecretKind) -> None:
    """Accept the kind of an imported value.

    Raises:
        DeniedError: the importing session says another one.
    """
    if spec.kind is not None and spec.kind is not kind:
        raise DeniedError(f"imported secret {spec.name} is of kind {kind}, expected {spec.kind}")


def limit_update_policy(asked: UpdatePolicy, limit: UpdatePolicy) -> UpdatePolicy:
    """Give the update policy of an imported volume, under what its exporter allows.

    Raises:
        DeniedError: the importing session asks for more.
    """
    if limit is UpdatePolicy.EPHEMERAL:
        # Whatever the importing session says (public reference of volume exports).
        return UpdatePolicy.EPHEMERAL
    allowed = {UpdatePolicy.ROLLBACK_PROTECTED, UpdatePolicy.EPHEMERAL, limit}
    if asked not in allowed:
        raise DeniedError(
            f"an imported volume is used with update_policy {asked}, the exporting session allows {_listed(allowed)}"
        )
    return asked


def _is_meant(to: SessionReference, importer: Importer, *, nested: bool = False) -> bool:
    if to.digest is not None and to.digest != importer.digest:
        return False
    if not _is_same_cas(to.cas, importer.cas):
        return False
    return importer.name == to.name or (nested and importer.name.startswith(f"{to.name}/"))


def _is_same_cas(meant: RemoteCas | None, found: frozenset[KeyHash] | None) -> bool:
    if meant is None or found is None:
        return meant is None and found is None
    named = {key for key in (meant.key, meant.software_key) if key is not None}
    # Whoever names no key trusts nobody; whoever names both wants both.
    return bool(named) and named <= found


def _listed(policies: Iterable[UpdatePolicy]) -> str:
    return " or ".join(sorted(policies))
