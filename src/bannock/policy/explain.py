"""What a session means: who may do what to it, who is trusted to be its services, and where each secret goes.

Pure. Nothing is evaluated that the decisions themselves do not evaluate: identities are put to :func:`decide_access`.
Values are never in an explanation; names, places and hashes are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, assert_never

from bannock.policy._explain_notes import notes_of
from bannock.policy._explain_platforms import platforms_of
from bannock.policy._explain_rules import identities_of, rule_lines
from bannock.policy._explain_secrets import origin_of, reference_text, uses_of
from bannock.policy.access import Operation, operation_rules
from bannock.policy.secret_specs import ExplicitCertificate, ExplicitValue, FragmentValue, GeneratedCertificate
from bannock.policy.session import (
    AttestationMode,
    ExplicitKey,
    GeneratedKey,
    ImportedVolume,
    SecretKey,
    Section,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bannock.policy._explain_rules import Identity
    from bannock.policy.secret_specs import SecretSpec
    from bannock.policy.session import AttestationVariant, Service, Session, Volume
    from bannock.policy.template import Template

__all__ = ["OPERATIONS", "Explanation", "Flow", "Mount", "SecretView", "ServiceView", "explain"]

#: In the formats of certificates: what gives their private keys away.
_WITH_KEY: Final = ("key", "pkcs12")
OPERATIONS: Final[tuple[Operation, ...]] = ("read", "update", "create_sessions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """A secret that a service sees: which part of it, and where; ``secret`` is ``*`` where a file may name any."""

    secret: str
    part: str
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A volume that a service sees."""

    volume: str
    path: str
    update_policy: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceView:
    """A service: who may be it, and what it sees then.

    Attributes:
        anybody: attestation is disabled, so every program is trusted to be it.
        trusted: enclaves that are, each line a variant.
        platforms: where they may run, a line for each platform.
        shows: what it shows others of itself.
        needs: what else a start needs.
    """

    name: str
    anybody: bool
    trusted: tuple[str, ...]
    platforms: tuple[str, ...]
    shows: tuple[str, ...]
    needs: tuple[str, ...]
    sees: tuple[Flow, ...]
    mounts: tuple[Mount, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretView:
    """A secret: where its value is from, and who gets it.

    Attributes:
        written: the document has the value, so whoever may read the session may read it.
        services: that see it, or a part of it.
        sessions: that it is exported to.
        uses: what else of the session is made of it.
        public: whether everybody may read it.
    """

    name: str
    kind: str
    origin: str
    written: bool
    services: tuple[str, ...]
    sessions: tuple[str, ...]
    uses: tuple[str, ...]
    public: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A session, explained.

    Attributes:
        rules: operation → lines that say who may do it, indented where they are parts of one rule.
        identities: everybody whom the access policy names, and what each may do.
        exports: further things that other sessions may import, a line each.
        notes: what a person should look at.
    """

    name: str
    version: str
    digest: str
    rules: Mapping[str, tuple[str, ...]]
    identities: tuple[Identity, ...]
    services: tuple[ServiceView, ...]
    secrets: tuple[SecretView, ...]
    exports: tuple[str, ...]
    notes: tuple[str, ...]


def explain(session: Session) -> Explanation:
    """Explain a session."""
    services = tuple(_service(session, service) for service in session.services)
    identities = () if Section.ACCESS_POLICY in session.unbound else identities_of(session)
    uses = uses_of(session, identities)
    secrets = tuple(_secret(spec, services, uses) for spec in session.secrets)
    return Explanation(
        name=session.name,
        version=session.version,
        digest=session.digest,
        rules={operation: _rules(session, operation) for operation in OPERATIONS},
        identities=identities,
        services=services,
        secrets=secrets,
        exports=tuple(_exports(session)),
        notes=tuple(notes_of(session, services, secrets)),
    )


def _rules(session: Session, operation: Operation) -> tuple[str, ...]:
    if Section.ACCESS_POLICY in session.unbound:
        return ("whoever the secrets name that stand here",)
    if operation == "create_sessions" and session.access_policy.create_sessions is None:
        return ("whoever may update",)
    return tuple(rule_lines(operation_rules(session, operation)))


def _service(session: Session, service: Service) -> ServiceView:
    image = session.image_of(service)
    volumes = {volume.name: volume for volume in session.volumes}
    return ServiceView(
        name=service.name,
        anybody=session.security.mode is AttestationMode.NONE,
        trusted=_trusted(session, service),
        platforms=tuple(platforms_of(session)),
        shows=tuple(_shows(service)),
        needs=tuple(_needs(session, service)),
        sees=tuple(dict.fromkeys(_flows(session, service))),
        mounts=tuple(
            Mount(
                volume=mount.name,
                path=mount.path,
                update_policy=str(mount.update_policy),
                key=_volume_key(volumes[mount.name]) if mount.name in volumes else "not in this session",
            )
            for mount in image.volumes
        ),
    )


def _trusted(session: Session, service: Service) -> tuple[str, ...]:
    if not service.attestation and Section.ATTESTATION in session.unbound:
        return ("what the secrets say that stand here",)
    return tuple(_variant(variant) for variant in service.attestation)


def _variant(variant: AttestationVariant) -> str:
    parts = [" or ".join(f"MRENCLAVE {measurement}" for measurement in variant.measurements)]
    rule = variant.signer
    if rule is not None:
        low, high = rule.svn_min, rule.svn_max
        bounds = [f"at least {low}"] * (low is not None) + [f"at most {high}"] * (high is not None)
        version = f", ISVSVN {low if low == high else ' and '.join(bounds)}" if bounds else ""
        parts.append(f"MRSIGNER {rule.signer}, ISVPRODID {rule.product_id}{version}")
    return ", signed by ".join(part for part in parts if part) or "nothing"


def _needs(session: Session, service: Service) -> Iterator[str]:
    security = session.security
    if service.platforms:
        yield f"one of {len(service.platforms)} attesters or machines: {', '.join(service.platforms)}"
    if service.one_time_password_secret is not None or security.one_time_password_secret is not None:
        yield "a one-time password"
    if security.service_access_token is not None:
        yield "the service access token"
    if security.singleton_enclaves:
        yield "an enclave that had no configuration before"
    if security.mode is AttestationMode.MAA:
        yield f"a token of the attestation provider {security.maa_url}"


def _shows(service: Service) -> Iterator[str]:
    token, tls = service.attestation_token, service.ra_tls
    if token is not None:
        yield f"what it is, to {token.audience}: {token.path} holds for {token.lifetime} seconds"
    if tls is not None:
        yield f"what it is, to whoever connects: {tls.certificate} holds for {tls.lifetime} seconds"


def _flows(session: Session, service: Service) -> Iterator[Flow]:
    """Find every secret that a service sees."""
    yield from _in_templates(session, service)
    if service.fspf is not None and isinstance(service.fspf.key, SecretKey):
        yield Flow(secret=service.fspf.key.secret_name, part="", place=f"key of {service.fspf.path}")
    mounted = {mount.name for mount in session.image_of(service).volumes}
    for volume in session.volumes:
        if volume.name in mounted and isinstance(volume.key, SecretKey):
            yield Flow(secret=volume.key.secret_name, part="", place=f"key of volume {volume.name}")


def _in_templates(session: Session, service: Service) -> Iterator[Flow]:
    names = {spec.name for spec in session.secrets}
    keys = {
        spec.name: spec.source.private_key
        for spec in session.secrets
        if isinstance(spec.source, GeneratedCertificate | ExplicitCertificate) and spec.source.private_key
    }
    for template, place in _templates(session, service):
        if template is None:
            yield Flow(secret="*", part="", place=place)  # noqa: S106
            continue
        for placeholder in template.placeholders:
            meant = placeholder.within(names)
            part = meant.format.lstrip(".")
            yield Flow(secret=meant.name, part=part, place=place)
            # Whoever gets a certificate with its private key sees the secret that the key is, too.
            if meant.name in keys and any(word in part for word in _WITH_KEY):
                yield Flow(secret=keys[meant.name], part=f"with certificate {meant.name}", place=place)


def _templates(session: Session, service: Service) -> Iterator[tuple[Template | None, str]]:
    yield from ((template, f"argument {number}") for number, template in enumerate(service.command))
    yield from ((template, f"environment {variable}") for variable, template in service.environment.items())
    for file in session.image_of(service).files:
        yield file.content, f"file {file.path}" + (", as far as it asks for it" if file.content is None else "")


def _volume_key(volume: Volume) -> str:
    match volume.key:
        case ExplicitKey():
            return "in the document"
        case SecretKey():
            return f"secret {volume.key.secret_name}"
        case GeneratedKey():
            return "made by CAS"
        case ImportedVolume():
            return f"imported from {reference_text(volume.key.session)}"
        case _:
            assert_never(volume.key)


def _secret(spec: SecretSpec, services: tuple[ServiceView, ...], uses: Mapping[str, list[str]]) -> SecretView:
    return SecretView(
        name=spec.name,
        kind="unknown kind" if spec.kind is None else str(spec.kind),
        origin=origin_of(spec.source, spec.kind),
        written=isinstance(spec.source, ExplicitValue | ExplicitCertificate | FragmentValue),
        services=tuple(
            service.name for service in services if any(flow.secret in (spec.name, "*") for flow in service.sees)
        ),
        sessions=tuple(
            reference_text(export.to) + (" and the sessions in its namespace" if export.nested else "")
            for export in spec.export
        ),
        uses=tuple(uses.get(spec.name, ())),
        public=spec.export_public,
    )


def _exports(session: Session) -> Iterator[str]:
    for volume in session.volumes:
        for export in volume.export:
            alias = "" if export.alias is None else f" as {export.alias}"
            yield f"volume {volume.name}{alias} to {reference_text(export.to)}, {export.update_policy}"
    for part in session.exports:
        yield f"{part.kind} {part.name} to {'every session' if part.to is None else reference_text(part.to)}"
