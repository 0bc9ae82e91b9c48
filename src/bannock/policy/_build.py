"""From a checked document in wire form to the session as a value: every spelling becomes the one meaning.

Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bannock.policy.rules import AccessPolicy
from bannock.policy.secret_specs import ExplicitValue, GeneratedValue, SecretSpec
from bannock.policy.session import (
    AttestationVariant,
    ExplicitKey,
    GeneratedKey,
    Image,
    ImageFile,
    ImageVolume,
    SecretKey,
    Security,
    Service,
    ServiceFspf,
    Session,
    SignerRule,
    Volume,
)
from bannock.policy.template import SecretKind
from bannock.values import FspfKey

if TYPE_CHECKING:
    from bannock.policy import _wire as wire
    from bannock.policy.template import Template
    from bannock.values import FspfTag

__all__ = ["build_session"]

#: The default of the session language for ascii and binary secrets.
SECRET_SIZE: Final = 20


def build_session(document: wire.SessionWire, digest: str) -> Session:
    """Build the session of a document that has no issues."""
    access = document.access_policy
    return Session(
        name=document.name,
        version=document.version,
        predecessor=document.predecessor,
        services=tuple(_service(item) for item in document.services),
        images=tuple(_image(item) for item in document.images),
        volumes=tuple(_volume(item) for item in document.volumes),
        secrets=tuple(_secret(item) for item in document.secrets),
        access_policy=AccessPolicy(
            read=tuple(access.read),
            update=tuple(access.update),
            create_sessions=None if access.create_sessions is None else tuple(access.create_sessions),
        ),
        security=_security(document.security.attestation),
        digest=digest,
    )


def _service(item: wire.ServiceWire) -> Service:
    variants = tuple(_variant(variant) for variant in item.attestation or ())
    if item.mrenclaves is not None:
        variants = (AttestationVariant(measurements=tuple(item.mrenclaves)),)
    return Service(
        name=item.name,
        command=tuple(item.command),
        environment=dict(item.environment),
        working_directory=item.pwd,
        image_name=item.image_name,
        attestation=variants,
        fspf=_fspf(item),
    )


def _fspf(item: wire.ServiceWire) -> ServiceFspf | None:
    if item.fspf_path is None or item.fspf_key is None:  # both or neither, as was checked
        return None
    return ServiceFspf(
        path=item.fspf_path,
        key=_given_key(item.fspf_key, item.fspf_tag),
        update_policy=item.fspf_update_policy,
    )


def _given_key(key: FspfKey | Template, tag: FspfTag | None) -> ExplicitKey | SecretKey:
    if isinstance(key, FspfKey):
        return ExplicitKey(key=key, tag=tag)
    (placeholder,) = key.placeholders
    return SecretKey(secret_name=placeholder.name, tag=tag)


def _variant(item: wire.VariantWire) -> AttestationVariant:
    return AttestationVariant(
        measurements=tuple(item.mrenclave or ()), signer=None if item.signer is None else _signer(item.signer)
    )


def _signer(item: wire.SignerWire) -> SignerRule:
    exact = item.isvsvn
    return SignerRule(
        signer=item.mrsigner,
        product_id=item.isvprodid,
        svn_min=item.isvsvn_min if exact is None else exact,
        svn_max=item.isvsvn_max if exact is None else exact,
    )


def _image(item: wire.ImageWire) -> Image:
    return Image(
        name=item.name,
        volumes=tuple(
            ImageVolume(name=volume.name, path=volume.path, update_policy=volume.update_policy)
            for volume in item.volumes
        ),
        files=tuple(
            ImageFile(path=file.path, content=file.content, mode=file.permission) for file in item.injection_files
        ),
    )


def _volume(item: wire.VolumeWire) -> Volume:
    key = GeneratedKey() if item.fspf_key is None else _given_key(item.fspf_key, item.fspf_tag)
    return Volume(name=item.name, key=key)


def _secret(item: wire.AsciiSecretWire | wire.BinarySecretWire) -> SecretSpec:
    return SecretSpec(
        name=item.name,
        kind=SecretKind(item.kind),
        source=GeneratedValue(size=item.size or SECRET_SIZE)
        if item.value is None
        else ExplicitValue(value=item.value),
        export_public=item.export_public,
    )


def _security(item: wire.AttestationSecurityWire) -> Security:
    return Security(
        mode=item.mode,
        tolerated=frozenset(item.tolerate),
        ignored_advisories=None if "*" in item.ignore_advisories else frozenset(item.ignore_advisories),
    )
