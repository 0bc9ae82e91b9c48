"""The wire form of the session language: which keys there are, and of which form their values.

Pure. Models hold a checked document in the spellings that users have; what it means is the business of
:mod:`bannock.policy._build`, whether its references hold that of :mod:`bannock.policy._references`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Self, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from bannock.policy import _fields as fields
from bannock.policy import _reference_fields as reference_fields
from bannock.policy import _secret_fields as secret_fields
from bannock.policy import _service_fields as service_fields
from bannock.policy._versions import FIRST, VERSIONS
from bannock.policy._wire_base import (
    AnyName,
    Bindable,
    FspfKeyField,
    FspfTagField,
    Measurements,
    Model,
    Name,
    Number16,
    OneMeasurement,
    PathBelowRoot,
    PathField,
    Tags,
    Truth,
)
from bannock.policy._wire_credentials import RaTlsWire, TokenFileWire
from bannock.policy._wire_machines import MachineWire
from bannock.policy._wire_references import LocalReferenceWire, VolumeExports, VolumeImport, VolumeUpdatePolicy
from bannock.policy._wire_secrets import SecretConfigWire, SecretWire
from bannock.policy.configuration import UpdatePolicy
from bannock.policy.session import AttestationMode, Toleration
from bannock.policy.template import Placeholder, Template
from bannock.values import FspfKey, Secret

__all__ = ["SessionWire"]

INJECTED_MODE: Final = 0o700

_FspfUpdatePolicy: TypeAlias = Annotated[
    UpdatePolicy,
    BeforeValidator(
        fields.one_of(
            UpdatePolicy.REINITIALIZABLE,
            UpdatePolicy.NO_ROLLBACK_PROTECTION,
            UpdatePolicy.EPHEMERAL,
            # By its letters it is nearer to the other one, which protects nothing.
            slips={UpdatePolicy.ROLLBACK_PROTECTED: UpdatePolicy.REINITIALIZABLE},
        )
    ),
]
_Template: TypeAlias = Annotated[Template, BeforeValidator(fields.template)]
_AttesterKeys: TypeAlias = Annotated[
    list[Bindable[Annotated[str, BeforeValidator(fields.attester_key)]]], BeforeValidator(fields.items)
]
_SharedSecret: TypeAlias = Annotated[Template, BeforeValidator(service_fields.one_time_password_secret)]
#: None: every session.
_Importer: TypeAlias = Annotated[
    LocalReferenceWire | None,
    BeforeValidator(lambda value: None if value == "*" else reference_fields.as_mapping(value)),
]
_PartImport: TypeAlias = Annotated[LocalReferenceWire, BeforeValidator(reference_fields.as_mapping)]
_DOCUMENT_SLIPS: Final = {"acess_policy": "access_policy", "access_policies": "access_policy", "varsion": "version"}


class SignerWire(Model):
    """``signer`` of an attestation variant."""

    slips: ClassVar[Mapping[str, str]] = {"mrsinger": "mrsigner"}

    mrsigner: Bindable[OneMeasurement]
    isvprodid: Bindable[Number16]
    isvsvn: Bindable[Number16] | None = None
    isvsvn_min: Bindable[Number16] | None = None
    isvsvn_max: Bindable[Number16] | None = None

    @model_validator(mode="after")
    def _one_way_to_bound(self) -> Self:
        low, high = self.isvsvn_min, self.isvsvn_max
        if self.isvsvn is not None and (low is not None or high is not None):
            raise PydanticCustomError(fields.CONFLICT, "expected isvsvn or isvsvn_min and isvsvn_max, not both")
        if isinstance(low, int) and isinstance(high, int) and low > high:
            raise PydanticCustomError(fields.CONFLICT, "expected isvsvn_min to be at most isvsvn_max")
        return self


class VariantWire(Model):
    """One entry of ``attestation``."""

    slips: ClassVar[Mapping[str, str]] = {"mrenclaves": "mrenclave"}

    mrenclave: Bindable[Measurements] | None = None
    signer: Bindable[SignerWire] | None = None

    @model_validator(mode="after")
    def _some_factor(self) -> Self:
        if self.mrenclave is None and self.signer is None:
            raise PydanticCustomError(fields.CONFLICT, "expected mrenclave, signer or both")
        return self


_Variants: TypeAlias = Annotated[list[Bindable[VariantWire]], BeforeValidator(fields.as_list), Field(min_length=1)]


class ServiceWire(Model):
    """One entry of ``services``."""

    slips: ClassVar[Mapping[str, str]] = {
        "env": "environment",
        "image": "image_name",
        "cmd": "command",
        "cwd": "pwd",
        "mrenclave": "attestation",
    }

    name: Name
    command: (
        Annotated[
            list[Annotated[Template, BeforeValidator(service_fields.argument)]],
            BeforeValidator(service_fields.words),
            AfterValidator(service_fields.host_arguments),
        ]
        | None
    ) = None
    environment: Annotated[
        dict[Annotated[str, BeforeValidator(service_fields.variable_name)], _Template],
        BeforeValidator(fields.absent_as_empty_mapping),
    ] = {}
    pwd: PathField = "/"  # noqa: S105 - a directory
    image_name: AnyName | None = None
    fspf_path: PathBelowRoot | None = None
    fspf_key: FspfKeyField | None = None
    fspf_tag: FspfTagField | None = None
    fspf_update_policy: _FspfUpdatePolicy = UpdatePolicy.REINITIALIZABLE
    mrenclaves: Measurements | None = None
    attestation: Bindable[_Variants] | None = None
    platforms: Bindable[_AttesterKeys] = []
    one_time_password_shared_secret: _SharedSecret | None = None
    attestation_token: TokenFileWire | None = None
    ra_tls: RaTlsWire | None = None
    tags: Tags = []
    import_: _PartImport | None = Field(default=None, alias="import")
    persistency: Annotated[None, BeforeValidator(service_fields.no_persistency)] = None

    @model_validator(mode="after")
    def _one_spelling(self) -> Self:
        if self.mrenclaves is not None and self.attestation is not None:
            raise PydanticCustomError(fields.CONFLICT, "expected attestation or (deprecated) mrenclaves, not both")
        return self


class ImageVolumeWire(Model):
    """One entry of ``volumes`` of an image."""

    name: AnyName
    path: PathBelowRoot
    update_policy: VolumeUpdatePolicy = UpdatePolicy.ROLLBACK_PROTECTED


class ImageFileWire(Model):
    """One entry of ``injection_files``."""

    slips: ClassVar[Mapping[str, str]] = {"mode": "permission", "permissions": "permission"}

    path: PathBelowRoot
    content: _Template | None = None
    permission: Annotated[int, BeforeValidator(fields.mode)] = INJECTED_MODE


class ImageWire(Model):
    """One entry of ``images``."""

    name: AnyName
    volumes: Annotated[list[ImageVolumeWire], BeforeValidator(fields.absent_as_empty_list)] = []
    injection_files: Annotated[
        list[Annotated[ImageFileWire, BeforeValidator(service_fields.injection_file)]],
        BeforeValidator(fields.absent_as_empty_list),
    ] = []
    mrenclaves: Measurements | None = None
    tags: Tags = []
    import_: _PartImport | None = Field(default=None, alias="import")


class VolumeWire(Model):
    """One entry of ``volumes``."""

    name: AnyName
    fspf_key: FspfKeyField | None = None
    fspf_tag: FspfTagField | None = None
    export: VolumeExports | None = None
    import_: VolumeImport | None = Field(default=None, alias="import")

    @model_validator(mode="after")
    def _key_and_tag(self) -> Self:
        if self.import_ is not None and (self.fspf_key or self.fspf_tag or self.export):
            raise PydanticCustomError(
                fields.CONFLICT, "expected no fspf_key, fspf_tag and export beside import: the other session has them"
            )
        if isinstance(self.fspf_key, FspfKey) and self.fspf_tag is None:
            raise PydanticCustomError(fields.CONFLICT, "expected fspf_tag beside fspf_key, or neither of them")
        if self.fspf_key is None and self.fspf_tag is not None:
            raise PydanticCustomError(fields.CONFLICT, "expected fspf_key beside fspf_tag, or neither of them")
        return self


class AttestationSecurityWire(Model):
    """``attestation`` of ``security``."""

    mode: Bindable[Annotated[AttestationMode, BeforeValidator(fields.one_of(*AttestationMode))]] = (
        AttestationMode.HARDWARE
    )
    tolerate: Bindable[
        Annotated[
            list[Bindable[Annotated[Toleration, BeforeValidator(service_fields.toleration)]]],
            BeforeValidator(fields.items),
        ]
    ] = []
    ignore_advisories: Bindable[
        Annotated[
            list[Bindable[Annotated[str, BeforeValidator(service_fields.advisory)]]], BeforeValidator(fields.items)
        ]
    ] = []
    trusted_scone_qe_pubkeys: Bindable[_AttesterKeys] = []
    machines: Bindable[Annotated[list[Bindable[MachineWire]], BeforeValidator(fields.items)]] = []
    one_time_password_shared_secret: _SharedSecret | None = None
    url: Bindable[Annotated[str, BeforeValidator(service_fields.maa_url)]] | None = None
    certificates: Bindable[
        Annotated[list[Annotated[str, BeforeValidator(secret_fields.certificates)]], BeforeValidator(fields.items)]
    ] = []
    min_rsa_signing_key_size: Bindable[Annotated[int, BeforeValidator(fields.number)]] | None = None

    @model_validator(mode="after")
    def _provider(self) -> Self:
        if self.mode is not AttestationMode.MAA:
            return self
        if self.url is None:
            raise PydanticCustomError(fields.CONFLICT, "expected url, the attestation provider, beside mode maa")
        if isinstance(self.tolerate, list) and not any(
            isinstance(one, Placeholder) or one is Toleration.MAA_MANAGED_TCB for one in self.tolerate
        ):
            raise PydanticCustomError(
                fields.CONFLICT, "expected maa-managed-tcb in tolerate beside mode maa: the provider judges the TCB"
            )
        return self


class SecurityWire(Model):
    """``security``."""

    slips: ClassVar[Mapping[str, str]] = {
        "tolerate": "attestation",
        "mode": "attestation",
        "ignore_advisories": "attestation",
        "machines": "attestation",
    }

    attestation: Bindable[AttestationSecurityWire] = AttestationSecurityWire()
    singleton_enclaves: Bindable[Truth] = False
    service_access_token: Bindable[Annotated[Secret, BeforeValidator(service_fields.service_access_token)]] | None = (
        None
    )


class PartExportWire(Model):
    """One entry of ``exports`` (language version 0.1)."""

    namespace: Annotated[str, BeforeValidator(fields.one_of("service", "image"))]
    name: AnyName
    export: Annotated[list[_Importer], BeforeValidator(fields.as_list), Field(min_length=1)]


class SessionWire(Model):
    """A session document."""

    slips: ClassVar[Mapping[str, str]] = _DOCUMENT_SLIPS

    name: Annotated[str, BeforeValidator(fields.session_name)]
    version: Annotated[str, BeforeValidator(fields.one_of(*VERSIONS))] = FIRST
    predecessor: Annotated[str | None, BeforeValidator(fields.predecessor)] = None
    digest: Annotated[str | None, BeforeValidator(fields.digest)] = None
    creator: Annotated[str, BeforeValidator(fields.text)] | None = None
    board_members: Annotated[None, BeforeValidator(service_fields.no_board)] = None
    board_policy: Annotated[None, BeforeValidator(service_fields.no_board)] = None
    services: Annotated[list[ServiceWire], BeforeValidator(fields.absent_as_empty_list)] = []
    images: Annotated[list[ImageWire], BeforeValidator(fields.absent_as_empty_list)] = []
    volumes: Annotated[list[VolumeWire], BeforeValidator(fields.absent_as_empty_list)] = []
    secrets: Annotated[list[SecretWire], BeforeValidator(fields.absent_as_empty_list)] = []
    exports: Annotated[list[PartExportWire], BeforeValidator(fields.absent_as_empty_list)] = []
    #: Read by :mod:`bannock.policy._access`.
    access_policy: Any = None
    security: Annotated[Bindable[SecurityWire], BeforeValidator(fields.absent_as_empty_mapping)] = SecurityWire()
    secret_config: SecretConfigWire | None = None

    @model_validator(mode="after")
    def _one_predecessor(self) -> Self:
        if self.predecessor is not None and self.digest is not None:
            raise PydanticCustomError(fields.CONFLICT, "expected predecessor or (of version 0.1) digest, not both")
        return self
