"""The wire form of secrets: which keys each kind has, and of which form their values are.

Pure.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Self, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from bannock.policy import _fields as fields
from bannock.policy import _secret_fields as secret_fields
from bannock.policy._wire_base import Model, Name, Truth
from bannock.policy._wire_references import SecretExports, SecretImport
from bannock.policy.secret_specs import Endpoint, KeyType
from bannock.policy.template import SecretKind
from bannock.values import Secret

__all__ = [
    "AadTokenWire",
    "AsciiSecretWire",
    "AuthorityWire",
    "BinarySecretWire",
    "CertificateWire",
    "FragmentWire",
    "ImportedSecretWire",
    "OwnSecretWire",
    "PgpKeyWire",
    "PrivateKeyWire",
    "SecretConfigWire",
    "SecretWire",
    "SessionCertificateWire",
    "VaultSecretWire",
    "VaultStoreWire",
    "VaultWire",
]

SECRET_SIZE_MAX: Final = 65_536

_Size: TypeAlias = Annotated[int, BeforeValidator(fields.number), Field(ge=1, le=SECRET_SIZE_MAX)]
_Kind: TypeAlias = Annotated[SecretKind, BeforeValidator(fields.one_of(*SecretKind))]
_Text: TypeAlias = Annotated[Secret, BeforeValidator(fields.secret_text)]
_PrivateKey: TypeAlias = Annotated[Secret, BeforeValidator(secret_fields.private_key)]
_DnsNames: TypeAlias = Annotated[
    list[Annotated[str, BeforeValidator(secret_fields.dns_name)]], BeforeValidator(fields.items)
]
_Subjects: TypeAlias = Annotated[
    list[Annotated[tuple[str, str], BeforeValidator(secret_fields.subject)]], BeforeValidator(fields.items)
]
_VaultAddress: TypeAlias = Annotated[str, BeforeValidator(secret_fields.vault)]
_Token: TypeAlias = Annotated[str, BeforeValidator(secret_fields.token)]


class OwnSecretWire(Model):
    """What all kinds of secrets have that are not imported."""

    name: Name
    kind: _Kind
    export: SecretExports | None = None
    export_public: Truth = False


class _SizedSecretWire(OwnSecretWire):
    size: _Size | None = None

    @model_validator(mode="after")
    def _size_or_value(self) -> Self:
        if self.size is not None and getattr(self, "value", None) is not None:
            raise PydanticCustomError(
                fields.CONFLICT, "expected size (for a generated value) or value (an explicit one), not both"
            )
        return self


class AsciiSecretWire(_SizedSecretWire):
    """A secret of kind ``ascii``."""

    tag: ClassVar[str] = "ascii"

    value: _Text | None = None


class BinarySecretWire(_SizedSecretWire):
    """A secret of kind ``binary``; its explicit value is hexadecimal."""

    tag: ClassVar[str] = "binary"

    value: Annotated[Secret, BeforeValidator(fields.secret_hex)] | None = None


class PrivateKeyWire(OwnSecretWire):
    """A secret of kind ``private-key``."""

    tag: ClassVar[str] = "private-key"

    key_type: Annotated[KeyType, BeforeValidator(fields.one_of(*KeyType))] | None = None
    migrate: Truth = False
    value: _PrivateKey | None = None


class AuthorityWire(OwnSecretWire):
    """A secret of kind ``x509-ca``."""

    tag: ClassVar[str] = "x509-ca"

    private_key: Name | None = None
    issuer: Name | None = None
    common_name: Annotated[str, BeforeValidator(secret_fields.common_name)] | None = None
    valid_for: Annotated[dt.timedelta, BeforeValidator(secret_fields.duration)] | None = None
    value: Annotated[Secret, BeforeValidator(secret_fields.certificate)] | None = None


class CertificateWire(AuthorityWire):
    """A secret of kind ``x509``."""

    tag: ClassVar[str] = "x509"

    endpoint: Annotated[Endpoint, BeforeValidator(fields.one_of(*Endpoint))] | None = None
    dns: _DnsNames = []
    san: _Subjects = []

    @model_validator(mode="after")
    def _names_of_servers(self) -> Self:
        if self.dns and self.endpoint is Endpoint.CLIENT:
            raise PydanticCustomError(fields.CONFLICT, "expected no dns beside endpoint client")
        return self


class SessionCertificateWire(OwnSecretWire):
    """A secret of kind ``session-ca`` (language version 0.2)."""

    tag: ClassVar[str] = "session-ca"


class PgpKeyWire(OwnSecretWire):
    """A secret of kind ``pgp-key``, which has neither parameters nor values."""

    tag: ClassVar[str] = "pgp-key"


class FragmentWire(OwnSecretWire):
    """A secret of kind ``config-fragment``: any structure."""

    tag: ClassVar[str] = "config-fragment"

    value: Any


class AadTokenWire(OwnSecretWire):
    """A secret of kind ``aad-token``."""

    tag: ClassVar[str] = "aad-token"

    tenant_id: Annotated[str, BeforeValidator(secret_fields.azure_id)]
    client_id: Annotated[str, BeforeValidator(secret_fields.azure_id)]
    application_secret: _Text | None = None
    private_key: _PrivateKey | None = None
    certificate_thumbprint: Annotated[str, BeforeValidator(secret_fields.thumbprint)] | None = None

    @model_validator(mode="after")
    def _one_credential(self) -> Self:
        pair = (self.private_key is not None, self.certificate_thumbprint is not None)
        if pair not in {(True, True), (False, False)} or (self.application_secret is not None) == all(pair):
            raise PydanticCustomError(
                fields.CONFLICT, "expected application_secret, or private_key with certificate_thumbprint"
            )
        return self


_NO_EXPORT: Final = (
    "a secret that is imported cannot be exported again: the session that has it says who may import it"
)
_NO_VALUE: Final = "a secret that is imported has its value from elsewhere"


class ImportedSecretWire(Model):
    """A secret of another session; its own certificate needs no key here, but users name one."""

    tag: ClassVar[str] = "imported"
    foreign: ClassVar[Mapping[str, str]] = {
        "import_akv": "import and import_akv exclude each other",
        "export": _NO_EXPORT,
        "export_public": _NO_EXPORT,
        "value": _NO_VALUE,
        "size": _NO_VALUE,
    }

    name: Name
    kind: _Kind | None = None
    import_: SecretImport = Field(alias="import")
    private_key: Name | None = None
    issuer: Name | None = None


class VaultWire(Model):
    """``import_akv``."""

    vault: _VaultAddress
    secret_name: Annotated[str, BeforeValidator(secret_fields.vault_secret)] | None = None
    token: _Token | None = None


class SecretConfigWire(Model):
    """``secret_config``: where values are kept; None for the database of the CAS."""

    store_in: Annotated[VaultStoreWire | None, BeforeValidator(secret_fields.store)] = None


class VaultStoreWire(Model):
    """``store_in: !akv``."""

    vault: _VaultAddress
    token: _Token | None = None


class VaultSecretWire(Model):
    """A secret of an Azure Key Vault."""

    tag: ClassVar[str] = "vault"
    foreign: ClassVar[Mapping[str, str]] = {"value": _NO_VALUE, "size": _NO_VALUE}

    name: Name
    kind: _Kind | None = None
    import_akv: VaultWire
    export: SecretExports | None = None
    export_public: Truth = False


def _tag(value: Any) -> str | None:
    """Say which model a secret is of; None where its kind does not say."""
    if not isinstance(value, dict):
        return AsciiSecretWire.tag  # whose complaint is that it is no mapping
    if "import" in value:
        return ImportedSecretWire.tag
    if "import_akv" in value:
        return VaultSecretWire.tag
    kind = value.get("kind")
    return kind if isinstance(kind, str) and kind in set(SecretKind) else None


SecretWire: TypeAlias = Annotated[
    Annotated[AsciiSecretWire, Tag("ascii")]
    | Annotated[BinarySecretWire, Tag("binary")]
    | Annotated[PrivateKeyWire, Tag("private-key")]
    | Annotated[CertificateWire, Tag("x509")]
    | Annotated[AuthorityWire, Tag("x509-ca")]
    | Annotated[SessionCertificateWire, Tag("session-ca")]
    | Annotated[PgpKeyWire, Tag("pgp-key")]
    | Annotated[FragmentWire, Tag("config-fragment")]
    | Annotated[AadTokenWire, Tag("aad-token")]
    | Annotated[ImportedSecretWire, Tag("imported")]
    | Annotated[VaultSecretWire, Tag("vault")],
    Discriminator(_tag),
]
