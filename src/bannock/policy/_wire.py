"""The wire form of the session language: which keys there are, and of which form their values.

Pure. Models hold a checked document in the spellings that users have; what it means is the business of
:mod:`bannock.policy._build`, whether its references hold that of :mod:`bannock.policy._references`.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, model_validator
from pydantic_core import PydanticCustomError

from bannock.policy import _fields as fields
from bannock.policy.configuration import UpdatePolicy
from bannock.policy.rules import AccessRule, Keyword
from bannock.policy.session import AttestationMode, Toleration
from bannock.policy.template import Template
from bannock.values import FspfKey, FspfTag, Measurement, Secret

__all__ = ["KINDS_LATER", "KINDS_NOW", "Model", "SessionWire"]

VERSIONS: Final = ("0.2", "0.3", *(f"0.3.{minor}" for minor in range(12)))
SECRET_SIZE_MAX: Final = 65_536
INJECTED_MODE: Final = 0o700
#: Kinds of secrets that the language has and this version does not.
KINDS_LATER: Final = frozenset(
    {"private-key", "x509", "x509-ca", "session-ca", "aad-token", "config-fragment", "pgp-key"}
)
KINDS_NOW: Final = ("ascii", "binary")

_Name: TypeAlias = Annotated[str, BeforeValidator(fields.name)]
_Path: TypeAlias = Annotated[str, BeforeValidator(fields.path)]
_PathBelowRoot: TypeAlias = Annotated[str, BeforeValidator(fields.path_below_root)]
_Number: TypeAlias = Annotated[int, BeforeValidator(fields.number)]
_Size: TypeAlias = Annotated[int, BeforeValidator(fields.number), Field(ge=1, le=SECRET_SIZE_MAX)]
_Measurement: TypeAlias = Annotated[Measurement, BeforeValidator(fields.measurement)]
_Measurements: TypeAlias = Annotated[list[_Measurement], BeforeValidator(fields.as_list), Field(min_length=1)]
_Key: TypeAlias = Annotated[FspfKey | Template, BeforeValidator(fields.fspf_key)]
_Tag: TypeAlias = Annotated[FspfTag, BeforeValidator(fields.tag)]
_FspfUpdatePolicy: TypeAlias = Annotated[
    UpdatePolicy,
    BeforeValidator(
        fields.one_of(
            UpdatePolicy.REINITIALIZABLE,
            UpdatePolicy.NO_ROLLBACK_PROTECTION,
            # By its letters it is nearer to the other one, which protects nothing.
            slips={UpdatePolicy.ROLLBACK_PROTECTED: UpdatePolicy.REINITIALIZABLE},
        )
    ),
]
_VolumeUpdatePolicy: TypeAlias = Annotated[
    UpdatePolicy,
    BeforeValidator(
        fields.one_of(UpdatePolicy.ROLLBACK_PROTECTED, UpdatePolicy.EPHEMERAL, UpdatePolicy.NO_ROLLBACK_PROTECTION)
    ),
]
_SessionHash: TypeAlias = Annotated[str, BeforeValidator(fields.session_hash)]
_AccessEntries: TypeAlias = Annotated[
    list[Annotated[AccessRule, BeforeValidator(fields.access)]],
    BeforeValidator(fields.as_list),
    Field(min_length=1),
]


class Model(BaseModel):
    """A mapping of the language: unknown keys are errors.

    Attributes:
        later: keys that the language has and this version does not; they are refused, never ignored.
        slips: what users write for a key of this mapping.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True)

    later: ClassVar[frozenset[str]] = frozenset()
    slips: ClassVar[dict[str, str]] = {}


class SignerWire(Model):
    """``signer`` of an attestation variant."""

    mrsigner: _Measurement
    isvprodid: _Number = Field(le=0xFFFF)
    isvsvn: _Number | None = Field(default=None, le=0xFFFF)
    isvsvn_min: _Number | None = Field(default=None, le=0xFFFF)
    isvsvn_max: _Number | None = Field(default=None, le=0xFFFF)

    @model_validator(mode="after")
    def _one_way_to_bound(self) -> Self:
        low, high = self.isvsvn_min, self.isvsvn_max
        if self.isvsvn is not None and (low is not None or high is not None):
            raise PydanticCustomError(fields.CONFLICT, "expected isvsvn or isvsvn_min and isvsvn_max, not both")
        if low is not None and high is not None and low > high:
            raise PydanticCustomError(fields.CONFLICT, "expected isvsvn_min to be at most isvsvn_max")
        return self


class VariantWire(Model):
    """One entry of ``attestation``."""

    slips: ClassVar[dict[str, str]] = {"mrenclaves": "mrenclave"}

    mrenclave: _Measurements | None = None
    signer: SignerWire | None = None

    @model_validator(mode="after")
    def _some_factor(self) -> Self:
        if self.mrenclave is None and self.signer is None:
            raise PydanticCustomError(fields.CONFLICT, "expected mrenclave, signer or both")
        return self


class ServiceWire(Model):
    """One entry of ``services``."""

    later: ClassVar[frozenset[str]] = frozenset(
        {
            "platforms",
            "one_time_password_shared_secret",
            "tags",
            "import",
        }
    )
    slips: ClassVar[dict[str, str]] = {"env": "environment", "image": "image_name", "cmd": "command", "cwd": "pwd"}

    name: _Name
    command: Annotated[list[Annotated[Template, BeforeValidator(fields.argument)]], BeforeValidator(fields.words)]
    environment: Annotated[
        dict[
            Annotated[str, BeforeValidator(fields.variable_name)],
            Annotated[Template, BeforeValidator(fields.template)],
        ],
        BeforeValidator(fields.absent_as_empty_mapping),
    ] = {}
    pwd: _Path = "/"  # noqa: S105 - a directory
    image_name: _Name | None = None
    fspf_path: _PathBelowRoot | None = None
    fspf_key: _Key | None = None
    fspf_tag: _Tag | None = None
    fspf_update_policy: _FspfUpdatePolicy = UpdatePolicy.REINITIALIZABLE
    mrenclaves: _Measurements | None = None
    attestation: Annotated[list[VariantWire], BeforeValidator(fields.as_list), Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one_spelling(self) -> Self:
        if self.mrenclaves is not None and self.attestation is not None:
            raise PydanticCustomError(fields.CONFLICT, "expected attestation or (deprecated) mrenclaves, not both")
        return self


class ImageVolumeWire(Model):
    """One entry of ``volumes`` of an image."""

    name: _Name
    path: _PathBelowRoot
    update_policy: _VolumeUpdatePolicy = UpdatePolicy.ROLLBACK_PROTECTED


class ImageFileWire(Model):
    """One entry of ``injection_files``."""

    slips: ClassVar[dict[str, str]] = {"mode": "permission", "permissions": "permission"}

    path: _PathBelowRoot
    content: Annotated[Template, BeforeValidator(fields.template)]
    permission: Annotated[int, BeforeValidator(fields.mode)] = INJECTED_MODE


class ImageWire(Model):
    """One entry of ``images``."""

    later: ClassVar[frozenset[str]] = frozenset({"mrenclaves", "tags"})

    name: _Name
    volumes: Annotated[list[ImageVolumeWire], BeforeValidator(fields.absent_as_empty_list)] = []
    injection_files: Annotated[
        list[Annotated[ImageFileWire, BeforeValidator(fields.injection_file)]],
        BeforeValidator(fields.absent_as_empty_list),
    ] = []


class VolumeWire(Model):
    """One entry of ``volumes``."""

    later: ClassVar[frozenset[str]] = frozenset({"import", "export"})

    name: _Name
    fspf_key: _Key | None = None
    fspf_tag: _Tag | None = None

    @model_validator(mode="after")
    def _key_and_tag(self) -> Self:
        if isinstance(self.fspf_key, FspfKey) and self.fspf_tag is None:
            raise PydanticCustomError(fields.CONFLICT, "expected fspf_tag beside fspf_key, or neither of them")
        if self.fspf_key is None and self.fspf_tag is not None:
            raise PydanticCustomError(fields.CONFLICT, "expected fspf_key beside fspf_tag, or neither of them")
        return self


class SecretWire(Model):
    """What all kinds of secrets have."""

    later: ClassVar[frozenset[str]] = frozenset({"import", "export", "import_akv"})

    name: _Name
    size: _Size | None = None
    value: Annotated[Secret, BeforeValidator(fields.secret_text)] | None = None
    export_public: Annotated[bool, BeforeValidator(fields.boolean)] = False

    @model_validator(mode="after")
    def _size_or_value(self) -> Self:
        if self.size is not None and self.value is not None:
            raise PydanticCustomError(
                fields.CONFLICT, "expected size (for a generated value) or value (an explicit one), not both"
            )
        return self


class AsciiSecretWire(SecretWire):
    """A secret of kind ``ascii``."""

    kind: Literal["ascii"]


class BinarySecretWire(SecretWire):
    """A secret of kind ``binary``; its explicit value is hexadecimal."""

    kind: Literal["binary"]
    value: Annotated[Secret, BeforeValidator(fields.secret_hex)] | None = None


class AccessPolicyWire(Model):
    """``access_policy``."""

    read: _AccessEntries = [Keyword.CREATOR]
    update: _AccessEntries = [Keyword.CREATOR]
    create_sessions: _AccessEntries | None = None


class AttestationSecurityWire(Model):
    """``attestation`` of ``security``."""

    later: ClassVar[frozenset[str]] = frozenset(
        {
            "trusted_scone_qe_pubkeys",
            "one_time_password_shared_secret",
            "url",
            "certificates",
            "min_rsa_signing_key_size",
        }
    )

    mode: Annotated[AttestationMode, BeforeValidator(fields.attestation_mode)] = AttestationMode.HARDWARE
    tolerate: Annotated[
        list[Annotated[Toleration, BeforeValidator(fields.toleration)]], BeforeValidator(fields.absent_as_empty_list)
    ] = []
    ignore_advisories: Annotated[
        list[Annotated[str, BeforeValidator(fields.advisory)]], BeforeValidator(fields.items)
    ] = []


class SecurityWire(Model):
    """``security``."""

    later: ClassVar[frozenset[str]] = frozenset({"singleton_enclaves", "service_access_token"})

    attestation: AttestationSecurityWire = AttestationSecurityWire()


class SessionWire(Model):
    """A session document."""

    later: ClassVar[frozenset[str]] = frozenset({"secret_config", "digest", "exports", "creator"})

    name: Annotated[str, BeforeValidator(fields.session_name)]
    version: Annotated[str, BeforeValidator(fields.one_of(*VERSIONS))]
    predecessor: _SessionHash | None = None
    services: Annotated[list[ServiceWire], BeforeValidator(fields.absent_as_empty_list)] = []
    images: Annotated[list[ImageWire], BeforeValidator(fields.absent_as_empty_list)] = []
    volumes: Annotated[list[VolumeWire], BeforeValidator(fields.absent_as_empty_list)] = []
    secrets: Annotated[
        list[Annotated[AsciiSecretWire | BinarySecretWire, Discriminator("kind")]],
        BeforeValidator(fields.absent_as_empty_list),
    ] = []
    access_policy: AccessPolicyWire = AccessPolicyWire()
    security: SecurityWire = SecurityWire()
