"""The secrets of a session as its document has them: where each value comes from, and who else gets it.

Pure. ``repr`` shows no value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import datetime as dt

    from bannock.policy.canonical import JsonValue
    from bannock.policy.references import SessionReference
    from bannock.policy.template import SecretKind
    from bannock.values import Secret

__all__ = [
    "AadToken",
    "Endpoint",
    "ExplicitCertificate",
    "ExplicitValue",
    "FragmentValue",
    "GeneratedCertificate",
    "GeneratedPgpKey",
    "GeneratedPrivateKey",
    "GeneratedValue",
    "ImportedValue",
    "KeyType",
    "SecretExport",
    "SecretSource",
    "SecretSpec",
    "SessionCertificate",
    "VaultValue",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplicitValue:
    """The document holds the value."""

    value: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedValue:
    """CAS makes the value: ``size`` characters of an ascii secret, or bytes of a binary one."""

    size: int


class KeyType(StrEnum):
    """What private keys are made."""

    P256 = "P-256"
    P384 = "P-384"
    ED25519 = "Ed25519"
    RSA2048 = "RSA-2048"
    RSA3072 = "RSA-3072"


class Endpoint(StrEnum):
    """What an end-entity certificate is for; None in its place: no extended key usage is named."""

    SERVER = "server"
    CLIENT = "client"


@dataclass(frozen=True, slots=True, kw_only=True)
class FragmentValue:
    """The document holds a structure (``config-fragment``)."""

    value: JsonValue = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedPrivateKey:
    """CAS makes the key, and keeps it over an update where both versions say ``migrate``."""

    key_type: KeyType = KeyType.P256
    migrate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedCertificate:
    """CAS makes the certificate.

    Attributes:
        private_key: the secret with its key; None (language version 0.2 alone): the key is made with it.
        issuer: the ``x509-ca`` secret that signs it; None: it is self-signed.
        valid_for: None: virtually for ever. Otherwise it is made anew before it expires.
    """

    private_key: str | None
    issuer: str | None = None
    common_name: str | None = None
    endpoint: Endpoint | None = None
    dns_names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    valid_for: dt.timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplicitCertificate:
    """The document holds the certificate, and the session its key, its issuer or both, which complete it."""

    value: Secret
    private_key: str | None = None
    issuer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedPgpKey:
    """CAS makes an OpenPGP key: Ed25519 for signatures, and a Curve25519 subkey for encryption."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCertificate:
    """The certificate that signs the others of the session (``session-ca`` of language version 0.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AadToken:
    """A token of Azure Active Directory, fetched with a shared secret, or a private key and its thumbprint."""

    tenant_id: str
    client_id: str
    application_secret: Secret | None = None
    private_key: Secret | None = None
    certificate_thumbprint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedValue:
    """Another session has the value, under the name ``secret``."""

    session: SessionReference
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultValue:
    """An Azure Key Vault has the value; ``token`` is the ``aad-token`` secret that opens it."""

    vault: str
    secret_name: str
    token: str


SecretSource: TypeAlias = (
    ExplicitValue
    | ExplicitCertificate
    | FragmentValue
    | GeneratedValue
    | GeneratedPrivateKey
    | GeneratedCertificate
    | GeneratedPgpKey
    | SessionCertificate
    | AadToken
    | ImportedValue
    | VaultValue
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretExport:
    """Who may import a secret; ``nested``: the sessions in its namespace too."""

    to: SessionReference
    nested: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSpec:
    """A secret that the session defines or imports.

    Attributes:
        kind: None where it is imported and the document does not say.
        export: who may import it.
        export_public: everybody may read it.
    """

    name: str
    kind: SecretKind | None
    source: SecretSource
    export: tuple[SecretExport, ...] = ()
    export_public: bool = False
