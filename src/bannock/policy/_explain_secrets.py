"""Secrets in words: where they are from, and what is made of them.

Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

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
from bannock.policy.template import SecretKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bannock.policy._explain_rules import Identity
    from bannock.policy.references import SessionReference
    from bannock.policy.secret_specs import SecretSource
    from bannock.policy.session import Session

__all__ = ["origin_of", "reference_text", "uses_of"]


def reference_text(reference: SessionReference) -> str:
    """Name another session."""
    pinned = "" if reference.digest is None else f" (version {reference.digest} alone)"
    cas = "" if reference.cas is None else f" on CAS {reference.cas.address}"
    return f"session {reference.name}{pinned}{cas}"


def origin_of(source: SecretSource, kind: SecretKind | None) -> str:
    """Say where the value of a secret is from."""
    match source:
        case ExplicitValue() | ExplicitCertificate() | FragmentValue():
            origin = "in the document"
        case GeneratedValue():
            origin = f"made by CAS, {source.size} {'characters' if kind is SecretKind.ASCII else 'bytes'}"
        case GeneratedPrivateKey():
            origin = f"made by CAS, {source.key_type}"
        case GeneratedCertificate():
            signed = "self-signed" if source.issuer is None else f"signed by {source.issuer}"
            renewed = "" if source.valid_for is None else f", valid for {source.valid_for} and renewed before"
            origin = f"made by CAS, {signed}{renewed}"
        case GeneratedPgpKey() | SessionCertificate():
            origin = "made by CAS"
        case ImportedValue():
            origin = f"imported: {source.secret} of {reference_text(source.session)}"
        case VaultValue():
            origin = f"imported: {source.secret_name} of vault {source.vault}"
        case AadToken():
            origin = f"fetched from Azure Active Directory for client {source.client_id}"
        case _:
            assert_never(source)
    return origin


def uses_of(session: Session, identities: Iterable[Identity]) -> dict[str, list[str]]:
    """Find what of the session is made of which secrets, services apart."""
    found: dict[str, list[str]] = {}
    for secret, use in (*_in_secrets(session), *_in_security(session), *_in_access(identities)):
        uses = found.setdefault(secret, [])
        if use not in uses:
            uses.append(use)
    return found


def _in_secrets(session: Session) -> Iterator[tuple[str, str]]:
    for spec in session.secrets:
        match spec.source:
            case GeneratedCertificate() | ExplicitCertificate():
                if spec.source.private_key is not None:
                    yield spec.source.private_key, f"key of certificate {spec.name}"
                if spec.source.issuer is not None:
                    yield spec.source.issuer, f"signs certificate {spec.name}"
            case VaultValue():
                yield spec.source.token, f"opens vault {spec.source.vault}"
    if session.secret_store is not None:
        yield session.secret_store.token, f"opens vault {session.secret_store.vault}"


def _in_security(session: Session) -> Iterator[tuple[str, str]]:
    names = {spec.name for spec in session.secrets}
    of_services = [(service.one_time_password_secret, f" of service {service.name}") for service in session.services]
    for template, whose in [(session.security.one_time_password_secret, ""), *of_services]:
        for placeholder in template.placeholders if template is not None else ():
            yield placeholder.within(names).name, f"shared secret of one-time passwords{whose}"


def _in_access(identities: Iterable[Identity]) -> Iterator[tuple[str, str]]:
    for identity in identities:
        if identity.secret is not None:
            for operation in [name for name, answer in identity.may.items() if answer != "no"]:
                yield identity.secret, f"says who may {operation.replace('_', ' ')}"
