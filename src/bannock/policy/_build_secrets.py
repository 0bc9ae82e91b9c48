"""From secrets in wire form to secrets as values.

Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bannock.policy import _wire_secrets as wire
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
    KeyType,
    SecretExport,
    SecretSpec,
    SessionCertificate,
    VaultValue,
)
from bannock.policy.session import VaultStore
from bannock.policy.template import SecretKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bannock.policy._wire_references import SecretExportWire
    from bannock.policy.secret_specs import SecretSource

__all__ = ["build_secrets", "build_store"]

#: The default of the session language for ascii and binary secrets.
SECRET_SIZE: Final = 20


def build_secrets(items: Sequence[wire.SecretWire], *, implied: Sequence[str] = ()) -> tuple[SecretSpec, ...]:
    """Build the secrets of a document that has no issues, and those certificates that it has without saying so."""
    token = _sole_token(items)
    certificates = [SecretSpec(name=name, kind=SecretKind.SESSION_CA, source=SessionCertificate()) for name in implied]
    return (*(_secret(item, token) for item in items), *certificates)


def build_store(config: wire.SecretConfigWire | None, items: Sequence[wire.SecretWire]) -> VaultStore | None:
    """Build where secrets are kept."""
    if config is None or config.store_in is None:
        return None
    return VaultStore(vault=config.store_in.vault, token=config.store_in.token or _sole_token(items))


def _sole_token(items: Sequence[wire.SecretWire]) -> str:
    """Give the token that is meant where none is named; that there is one was checked."""
    return next((item.name for item in items if item.kind == "aad-token"), "")


def _secret(item: wire.SecretWire, token: str) -> SecretSpec:
    if isinstance(item, wire.ImportedSecretWire):
        source = ImportedValue(session=item.import_.reference(), secret=item.import_.secret or item.name)
        return SecretSpec(name=item.name, kind=item.kind, source=source)
    return SecretSpec(
        name=item.name,
        kind=item.kind,
        source=_vault(item, token) if isinstance(item, wire.VaultSecretWire) else _source(item),
        export=_exports(item.export),
        export_public=item.export_public,
    )


def _vault(item: wire.VaultSecretWire, token: str) -> VaultValue:
    vault = item.import_akv
    return VaultValue(vault=vault.vault, secret_name=vault.secret_name or item.name, token=vault.token or token)


def _source(item: wire.OwnSecretWire) -> SecretSource:
    source: SecretSource = SessionCertificate()
    match item:
        case wire.AsciiSecretWire() | wire.BinarySecretWire():
            source = GeneratedValue(size=item.size or SECRET_SIZE)
            source = source if item.value is None else ExplicitValue(value=item.value)
        case wire.PrivateKeyWire():
            source = GeneratedPrivateKey(key_type=item.key_type or KeyType.P256, migrate=item.migrate)
            source = source if item.value is None else ExplicitValue(value=item.value)
        case wire.AuthorityWire():
            source = _certificate(item)
        case wire.FragmentWire():
            source = FragmentValue(value=item.value)
        case wire.AadTokenWire():
            source = AadToken(
                tenant_id=item.tenant_id,
                client_id=item.client_id,
                application_secret=item.application_secret,
                private_key=item.private_key,
                certificate_thumbprint=item.certificate_thumbprint,
            )
        case wire.PgpKeyWire():
            source = GeneratedPgpKey()
    return source


def _certificate(item: wire.AuthorityWire) -> SecretSource:
    if item.value is not None:
        if item.private_key is None and item.issuer is None:
            return ExplicitValue(value=item.value)
        return ExplicitCertificate(value=item.value, private_key=item.private_key, issuer=item.issuer)
    names = item.san if isinstance(item, wire.CertificateWire) else []
    dns = item.dns if isinstance(item, wire.CertificateWire) else []
    return GeneratedCertificate(
        private_key=item.private_key,
        issuer=item.issuer,
        common_name=item.common_name,
        endpoint=item.endpoint if isinstance(item, wire.CertificateWire) else None,
        dns_names=tuple(dict.fromkeys([*dns, *(name for kind, name in names if kind == "dns")])),
        addresses=tuple(dict.fromkeys(name for kind, name in names if kind == "ip")),
        valid_for=item.valid_for,
    )


def _exports(items: Sequence[SecretExportWire] | None) -> tuple[SecretExport, ...]:
    return tuple(SecretExport(to=item.reference(), nested=item.namespace is not None) for item in items or ())
