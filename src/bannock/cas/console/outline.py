"""The outline of a session: what a page may show of it, picked field by field.

Pure. What is not named here does not reach a page: values, commands, arguments, environments and files may hold
secrets in clear, so an outline has their names and numbers at most.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, assert_never

from bannock.policy.rules import CertificateHash, Keyword, SecretRule, Signer, Threshold
from bannock.policy.secret_specs import (
    AadToken,
    ExplicitCertificate,
    ExplicitValue,
    FragmentValue,
    GeneratedCertificate,
    GeneratedPgpKey,
    GeneratedPrivateKey,
    GeneratedValue,
    ImportedValue,
    SessionCertificate,
    VaultValue,
)
from bannock.policy.session import ExplicitKey, GeneratedKey, ImportedVolume, SecretKey, Section
from bannock.values import KeyHash

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.policy.rules import AccessRule
    from bannock.policy.secret_specs import SecretSource
    from bannock.policy.session import Security, Service, Session, Volume

__all__ = ["Outline", "SecretOutline", "ServiceOutline", "VolumeOutline", "outline_of"]

_HEX_SHOWN: Final = 64
_RULES_DEPTH_MAX: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOutline:
    """What is shown of a service: its image, and which programs may be it."""

    name: str
    image: str | None
    programs: tuple[str, ...]
    signers: tuple[str, ...]
    platforms: tuple[str, ...]
    volumes: tuple[str, ...]
    protection_file: bool
    imported: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeOutline:
    """What is shown of a volume: where its key comes from, never the key."""

    name: str
    key: str
    shared_with: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretOutline:
    """What is shown of a secret: its kind and where its value comes from, never the value."""

    name: str
    kind: str
    source: str
    shared_with: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What is shown of one version of a session.

    Attributes:
        access: operation → who may do it, a line each.
        security: how far platforms are trusted, a line each.
        simulation: whether it accepts platform ``sim``.
    """

    name: str
    digest: str
    generation: int
    creator: str
    language: str
    predecessor: str | None
    services: tuple[ServiceOutline, ...]
    volumes: tuple[VolumeOutline, ...]
    secrets: tuple[SecretOutline, ...]
    access: tuple[tuple[str, tuple[str, ...]], ...]
    security: tuple[str, ...]
    simulation: bool

    @property
    def namespace(self) -> str:
        """Name of the session in whose namespace this one is; empty for none."""
        return self.name.rpartition("/")[0]


def outline_of(session: Session, *, generation: int, creator: KeyHash) -> Outline:
    """Pick what may be shown of a session."""
    return Outline(
        name=session.name,
        digest=session.digest,
        generation=generation,
        creator=str(creator),
        language=session.version,
        predecessor=session.predecessor,
        services=tuple(_service(session, each) for each in session.services),
        volumes=tuple(_volume(each) for each in session.volumes),
        secrets=tuple(
            SecretOutline(
                name=spec.name,
                kind=spec.kind or "as it is exported",
                source=_source(spec.source),
                shared_with=(
                    *(f"{export.to.name}{' and its namespace' if export.nested else ''}" for export in spec.export),
                    *(("everybody",) if spec.export_public else ()),
                ),
            )
            for spec in session.secrets
        ),
        access=tuple(_access(session)),
        security=tuple(_security(session)),
        simulation=_accepts_simulation(session.security),
    )


def _service(session: Session, service: Service) -> ServiceOutline:
    variants = service.attestation
    image = session.image_of(service)
    return ServiceOutline(
        name=service.name,
        image=service.image_name,
        programs=tuple(dict.fromkeys(str(each) for variant in variants for each in variant.measurements)),
        signers=tuple(dict.fromkeys(str(each.signer.signer) for each in variants if each.signer is not None)),
        platforms=service.platforms,
        volumes=tuple(f"{each.name} at {each.path}" for each in image.volumes),
        protection_file=service.fspf is not None,
        imported=None if service.imported is None else service.imported.name,
    )


def _volume(volume: Volume) -> VolumeOutline:
    key: str
    match volume.key:
        case ExplicitKey():
            key = "in the document"
        case SecretKey(secret_name=name):
            key = f"secret {name}"
        case GeneratedKey():
            key = "made by the CAS"
        case ImportedVolume(session=reference, volume=name):
            key = f"imported: {name} of {reference.name}"
        case _:
            assert_never(volume.key)
    return VolumeOutline(name=volume.name, key=key, shared_with=tuple(each.to.name for each in volume.export))


def _source(source: SecretSource) -> str:  # noqa: PLR0911 - a table, with values in some rows
    match source:
        case ExplicitValue() | ExplicitCertificate() | FragmentValue():
            return "in the document"
        case GeneratedValue() | GeneratedPgpKey() | SessionCertificate():
            return "made by the CAS"
        case GeneratedPrivateKey(key_type=kind):
            return f"made by the CAS, {kind}"
        case GeneratedCertificate(issuer=None):
            return "made by the CAS, self-signed"
        case GeneratedCertificate(issuer=issuer):
            return f"made by the CAS, signed by {issuer}"
        case AadToken():
            return "fetched from Azure Active Directory"
        case ImportedValue(session=reference, secret=name):
            where = "" if reference.cas is None else f" on the CAS at {reference.cas.address}"
            return f"imported: {name} of {reference.name}{where}"
        case VaultValue(secret_name=name):
            return f"in a key vault: {name}"
        case _:
            assert_never(source)


def _access(session: Session) -> Iterator[tuple[str, tuple[str, ...]]]:
    policy = session.access_policy
    if Section.ACCESS_POLICY in session.unbound:
        yield "all", ("whoever secrets of the session say",)
        return
    yield "read", _rules(policy.read)
    yield "update", _rules(policy.update)
    if policy.create_sessions is not None:
        yield "create sessions in its namespace", _rules(policy.create_sessions)


def _rules(rules: tuple[AccessRule, ...]) -> tuple[str, ...]:
    return tuple(_rule(each) for each in rules) or ("nobody",)


def _rule(rule: AccessRule, depth: int = 0) -> str:  # noqa: PLR0911 - a table
    match rule:
        case Keyword.CREATOR:
            return "its creator"
        case Keyword.ANY:
            return "anybody with a certificate"
        case Keyword.NONE:
            return "nobody"
        case KeyHash():
            return str(rule)
        case CertificateHash():
            return f"certificate {rule.value}"
        case Signer():
            return f"signer {KeyHash(hashlib.sha256(rule.public_key).digest())}"
        case SecretRule():
            return f"whoever secret {rule.name} names"
        case Threshold():
            within = "…" if depth > _RULES_DEPTH_MAX else "; ".join(_rule(each, depth + 1) for each in rule.rules)
            return f"{rule.required} of {len(rule.rules)}: ({within})"
        case _:
            assert_never(rule)


def _accepts_simulation(security: Security) -> bool:
    return security.mode == "none" or "simulation" in security.tolerated


def _security(session: Session) -> Iterator[str]:
    security = session.security
    if Section.SECURITY in session.unbound or Section.ATTESTATION in session.unbound:
        yield "partly in secrets of the session"
    yield f"attestation: {security.mode}"
    if security.tolerated:
        yield f"tolerates {', '.join(sorted(security.tolerated))}"
    if security.ignored_advisories is None:
        yield "ignores all advisories"
    elif security.ignored_advisories:
        yield f"ignores {', '.join(sorted(security.ignored_advisories))}"
    for number, rule in enumerate(security.machines, start=1):
        names = ", ".join([*rule.values, *rule.at_least, *rule.without])
        yield f"machine {number}: {rule.platform} with given {names}"
    if security.trusted_attesters:
        yield f"trusts {len(security.trusted_attesters)} attesters by their keys"
    if security.singleton_enclaves:
        yield "each start of an enclave gets one configuration"
    if security.one_time_password_secret is not None:
        yield "asks for a one-time password"
    if security.service_access_token is not None:
        yield "asks for a service access token"
