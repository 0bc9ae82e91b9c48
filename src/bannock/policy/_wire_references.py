"""The wire form of references to other sessions: imports and exports, in every spelling.

Pure. Relative names are made absolute here, because only here is it known whose they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Self, TypeAlias

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from bannock.policy import _fields as fields
from bannock.policy import _reference_fields as reference_fields
from bannock.policy._wire_base import AnyName, Digest, Model, Name
from bannock.policy.configuration import UpdatePolicy
from bannock.policy.references import RemoteCas, SessionReference
from bannock.values import KeyHash

__all__ = [
    "LocalReferenceWire",
    "SecretExportWire",
    "SecretExports",
    "SecretImport",
    "SecretImportWire",
    "VolumeExportWire",
    "VolumeExports",
    "VolumeImport",
    "VolumeImportWire",
]

_SessionName: TypeAlias = Annotated[str, BeforeValidator(reference_fields.session)]
_CasKey: TypeAlias = Annotated[KeyHash, BeforeValidator(reference_fields.cas_key)]

#: Update policies of exported volumes, as of those of images.
VolumeUpdatePolicy: TypeAlias = Annotated[
    UpdatePolicy,
    BeforeValidator(
        fields.one_of(UpdatePolicy.ROLLBACK_PROTECTED, UpdatePolicy.EPHEMERAL, UpdatePolicy.NO_ROLLBACK_PROTECTION)
    ),
]

_OTHER_CAS: Final = ("cas_url", "cas_key", "cas_software_key")
_TARGET: Final = frozenset({"session", "session_hash", "namespace", *_OTHER_CAS})


def _local(value: Any) -> Any:
    """Refuse what leads to another CAS, or to more than one session."""
    value = reference_fields.as_mapping(value)
    if isinstance(value, dict) and any(key in value for key in _OTHER_CAS):
        raise PydanticCustomError(fields.CONFLICT, "a volume can be shared with sessions of the same CAS only")
    if isinstance(value, dict) and "namespace" in value:
        raise PydanticCustomError(fields.CONFLICT, "a volume can be shared with sessions, not with namespaces")
    return value


def _one_session(value: Any) -> Any:
    value = reference_fields.as_mapping(value)
    if isinstance(value, dict) and "namespace" in value:
        raise PydanticCustomError(fields.CONFLICT, "a secret is imported from a session, not from a namespace")
    return value


class LocalReferenceWire(Model):
    """A session of the same CAS."""

    session: _SessionName
    session_hash: Digest | None = None

    def reference(self) -> SessionReference:
        """Give what is referred to."""
        return SessionReference(name=self.session, digest=self.session_hash)


class _RemoteWire(Model):
    """What names another CAS."""

    session_hash: Digest | None = None
    cas_url: Annotated[str, BeforeValidator(reference_fields.cas_address)] | None = None
    cas_key: _CasKey | None = None
    cas_software_key: _CasKey | None = None

    @model_validator(mode="after")
    def _cas_with_key(self) -> Self:
        keyed = self.cas_key is not None or self.cas_software_key is not None
        if self.cas_url is not None and not keyed:
            raise PydanticCustomError(
                fields.CONFLICT, "expected cas_key or cas_software_key beside cas_url: the key is who the CAS is"
            )
        if self.cas_url is None and keyed:
            raise PydanticCustomError(fields.CONFLICT, "expected cas_url beside the key of a CAS")
        return self

    def cas(self) -> RemoteCas | None:
        """Give the other CAS; None for this one."""
        if self.cas_url is None:
            return None
        return RemoteCas(address=self.cas_url, key=self.cas_key, software_key=self.cas_software_key)


class SecretImportWire(_RemoteWire):
    """``import`` of a secret."""

    session: _SessionName
    secret: Name | None = None

    def reference(self) -> SessionReference:
        """Give the session that has the secret."""
        return SessionReference(name=self.session, digest=self.session_hash, cas=self.cas())


class SecretExportWire(_RemoteWire):
    """One entry of ``export`` of a secret."""

    session: _SessionName | None = None
    namespace: _SessionName | None = None

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if (self.session is None) == (self.namespace is None):
            raise PydanticCustomError(fields.CONFLICT, "expected session or namespace, one of them")
        if self.namespace is not None and self.session_hash is not None:
            raise PydanticCustomError(
                fields.CONFLICT, "expected no session_hash beside namespace: its sessions have many"
            )
        return self

    def reference(self) -> SessionReference:
        """Give the session that may import, or whose namespace may."""
        return SessionReference(name=self.session or self.namespace or "", digest=self.session_hash, cas=self.cas())


class VolumeImportWire(LocalReferenceWire):
    """``import`` of a volume."""

    volume: AnyName | None = None


class VolumeExportWire(Model):
    """One entry of ``export`` of a volume."""

    slips: ClassVar[Mapping[str, str]] = {"alias": "volume_alias"}

    to: Annotated[LocalReferenceWire, BeforeValidator(_local)]
    update_policy: VolumeUpdatePolicy = UpdatePolicy.ROLLBACK_PROTECTED
    volume_alias: AnyName | None = None


def _volume_export(value: Any) -> Any:
    """Take a reference for an export to it without restrictions."""
    if isinstance(value, str):
        return {"to": value}
    if (
        isinstance(value, dict)
        and "to" not in value
        and not {"session", "session_hash", "namespace", *_OTHER_CAS}.isdisjoint(value)
    ):
        beside = next((key for key in ("update_policy", "volume_alias") if key in value), None)
        if beside is not None:
            raise PydanticCustomError(
                fields.CONFLICT, "expected the session below a key to, beside {beside}", {"beside": beside}
            )
        return {"to": value}
    return value


SecretImport: TypeAlias = Annotated[SecretImportWire, BeforeValidator(_one_session)]
SecretExports: TypeAlias = Annotated[
    list[Annotated[SecretExportWire, BeforeValidator(reference_fields.as_mapping)]],
    BeforeValidator(fields.as_list),
    Field(min_length=1),
]
VolumeImport: TypeAlias = Annotated[VolumeImportWire, BeforeValidator(_local)]
VolumeExports: TypeAlias = Annotated[
    list[Annotated[VolumeExportWire, BeforeValidator(_volume_export)]],
    BeforeValidator(fields.as_list),
    Field(min_length=1),
]
