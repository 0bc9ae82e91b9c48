"""From a checked document in wire form to the session as a value: every spelling becomes the one meaning.

Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bannock.policy._bound import all_of, is_unbound, one
from bannock.policy._build_machines import build_machines
from bannock.policy._build_secrets import build_secrets, build_store
from bannock.policy.session import (
    AttestationVariant,
    ExplicitKey,
    GeneratedKey,
    Image,
    ImageFile,
    ImageVolume,
    ImportedVolume,
    PartExport,
    SecretKey,
    Section,
    Security,
    Service,
    ServiceFspf,
    Session,
    SignerRule,
    Volume,
    VolumeExport,
)
from bannock.values import FspfKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bannock.errors import Issue
    from bannock.policy import _wire as wire
    from bannock.policy._access import AccessReading
    from bannock.policy.canonical import JsonValue
    from bannock.policy.template import Template
    from bannock.values import FspfTag

__all__ = ["build_session"]


def build_session(
    document: wire.SessionWire,
    access: AccessReading,
    *,
    plain: JsonValue,
    digest: str,
    implied: Sequence[str] = (),
    warnings: tuple[Issue, ...] = (),
) -> Session:
    """Build the session of a document that has no issues.

    Args:
        document: in wire form.
        access: its access policy.
        plain: its tree.
        digest: its hash.
        implied: names of certificates of the session that it refers to without defining them.
        warnings: about it.
    """
    images = tuple(_image(item) for item in document.images)
    return Session(
        name=document.name,
        version=document.version,
        predecessor=document.predecessor or document.digest,
        services=tuple(_service(item, images) for item in document.services),
        images=images,
        volumes=tuple(_volume(item) for item in document.volumes),
        secrets=build_secrets(document.secrets, implied=implied),
        access_policy=access.policy,
        security=Security() if is_unbound(document.security) else _security(one(document.security)),
        exports=tuple(
            PartExport(kind=item.namespace, name=item.name, to=None if to is None else to.reference())
            for item in document.exports
            for to in item.export
        ),
        secret_store=build_store(document.secret_config, document.secrets),
        creator=document.creator,
        unbound=frozenset(_unbound(document, access)),
        warnings=warnings,
        document=plain,
        digest=digest,
    )


def _unbound(document: wire.SessionWire, access: AccessReading) -> set[Section]:
    found: set[Section] = set()
    if any(is_unbound((item.attestation, item.mrenclaves)) for item in document.services):
        found.add(Section.ATTESTATION)
    if any(is_unbound(item.mrenclaves) for item in document.images):
        found.add(Section.ATTESTATION)
    if any(is_unbound(item.platforms) for item in document.services):
        found.add(Section.PLATFORMS)
    if is_unbound(document.security):
        found.add(Section.SECURITY)
    if access.unbound:
        found.add(Section.ACCESS_POLICY)
    return found


def _service(item: wire.ServiceWire, images: tuple[Image, ...]) -> Service:
    return Service(
        name=item.name,
        command=tuple(item.command or ()),
        environment=dict(item.environment),
        working_directory=item.pwd,
        image_name=item.image_name,
        attestation=_variants(item, images),
        fspf=_fspf(item),
        platforms=() if is_unbound(item.platforms) else all_of(item.platforms),
        one_time_password_secret=item.one_time_password_shared_secret,
        attestation_token=None if item.attestation_token is None else item.attestation_token.built(),
        ra_tls=None if item.ra_tls is None else item.ra_tls.built(),
        tags=tuple(item.tags),
        imported=None if item.import_ is None else item.import_.reference(),
    )


def _variants(item: wire.ServiceWire, images: tuple[Image, ...]) -> tuple[AttestationVariant, ...]:
    """Give the ways to be trusted; none while secrets stand for some of them."""
    if is_unbound((item.attestation, item.mrenclaves)):
        return ()
    if item.mrenclaves is not None:
        return (AttestationVariant(measurements=all_of(item.mrenclaves)),)
    if item.attestation is not None:
        return tuple(_variant(variant) for variant in all_of(item.attestation))
    # In language version 0.1 an image may say which enclaves may use it.
    measurements = next((image.measurements for image in images if image.name == item.image_name), ())
    return (AttestationVariant(measurements=measurements),) if measurements else ()


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
    # It has no format, as was checked, so what looks like one (".key") is the end of the name.
    return SecretKey(secret_name=placeholder.name + placeholder.format, tag=tag)


def _variant(item: wire.VariantWire) -> AttestationVariant:
    return AttestationVariant(
        measurements=() if item.mrenclave is None else all_of(item.mrenclave),
        signer=None if item.signer is None else _signer(one(item.signer)),
    )


def _signer(item: wire.SignerWire) -> SignerRule:
    low, high = (item.isvsvn_min, item.isvsvn_max) if item.isvsvn is None else (item.isvsvn, item.isvsvn)
    return SignerRule(
        signer=one(item.mrsigner),
        product_id=one(item.isvprodid),
        svn_min=None if low is None else one(low),
        svn_max=None if high is None else one(high),
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
        measurements=() if item.mrenclaves is None or is_unbound(item.mrenclaves) else all_of(item.mrenclaves),
        tags=tuple(item.tags),
        imported=None if item.import_ is None else item.import_.reference(),
    )


def _volume(item: wire.VolumeWire) -> Volume:
    if item.import_ is not None:
        volume = item.import_.volume or item.name
        return Volume(name=item.name, key=ImportedVolume(session=item.import_.reference(), volume=volume))
    key = GeneratedKey() if item.fspf_key is None else _given_key(item.fspf_key, item.fspf_tag)
    exports = tuple(
        VolumeExport(to=each.to.reference(), update_policy=each.update_policy, alias=each.volume_alias)
        for each in item.export or ()
    )
    return Volume(name=item.name, key=key, export=exports)


def _security(item: wire.SecurityWire) -> Security:
    attestation = one(item.attestation)
    advisories = all_of(attestation.ignore_advisories)
    return Security(
        mode=one(attestation.mode),
        tolerated=frozenset(all_of(attestation.tolerate)),
        ignored_advisories=None if "*" in advisories else frozenset(advisories),
        trusted_attesters=all_of(attestation.trusted_scone_qe_pubkeys),
        machines=build_machines(all_of(attestation.machines)),
        one_time_password_secret=attestation.one_time_password_shared_secret,
        singleton_enclaves=one(item.singleton_enclaves),
        service_access_token=None if item.service_access_token is None else one(item.service_access_token),
        maa_url=None if attestation.url is None else one(attestation.url),
        maa_certificates=all_of(attestation.certificates),
    )
