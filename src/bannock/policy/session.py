"""The session as a value: what a session document says, typed, checked and closed.

Pure; knows nothing of YAML. Sessions come from :func:`bannock.policy.parse.parse_session` alone, which has
checked every reference in them. ``repr`` shows neither keys nor secrets, nor the text of templates.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from bannock.errors import NotFoundError
from bannock.policy.configuration import UpdatePolicy
from bannock.policy.rules import AccessPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.errors import Issue
    from bannock.policy.canonical import JsonValue
    from bannock.policy.credentials import RaTlsFiles, TokenFile
    from bannock.policy.machines import MachineRule
    from bannock.policy.references import SessionReference
    from bannock.policy.secret_specs import SecretSpec
    from bannock.policy.template import Template
    from bannock.values import FspfKey, FspfTag, Measurement, Secret

__all__ = [
    "AttestationMode",
    "AttestationVariant",
    "ExplicitKey",
    "GeneratedKey",
    "Image",
    "ImageFile",
    "ImageVolume",
    "ImportedVolume",
    "PartExport",
    "SecretKey",
    "Section",
    "Security",
    "Service",
    "ServiceFspf",
    "Session",
    "SignerRule",
    "Toleration",
    "VaultStore",
    "Volume",
    "VolumeExport",
]


class AttestationMode(StrEnum):
    """How services of a session prove what they are."""

    HARDWARE = "hardware"
    MAA = "maa"
    NONE = "none"


class Toleration(StrEnum):
    """Weaknesses that a session accepts; ``simulation`` is Bannock's own, the others are SCONE's."""

    DEBUG_MODE = "debug-mode"
    HYPERTHREADING = "hyperthreading"
    INSECURE_IGPU = "insecure-igpu"
    SOFTWARE_HARDENING_NEEDED = "software-hardening-needed"
    AEPIC_LEAK = "aepic-leak"
    INSECURE_CONFIGURATION = "insecure-configuration"
    OUTDATED_TCB = "outdated-tcb"
    MAA_MANAGED_TCB = "maa-managed-tcb"
    SIMULATION = "simulation"


class Section(StrEnum):
    """Sections that secrets can stand in for; :func:`bannock.policy.binding.bind_session` puts them in."""

    ATTESTATION = "attestation"
    PLATFORMS = "platforms"
    SECURITY = "security"
    ACCESS_POLICY = "access_policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerRule:
    """Who has to have signed an enclave; a bound that is None is not checked, bounds are inclusive."""

    signer: Measurement
    product_id: int
    svn_min: int | None = None
    svn_max: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttestationVariant:
    """One way to be trusted: one of the measurements (unless there are none) and the signer (unless it is None)."""

    measurements: tuple[Measurement, ...] = ()
    signer: SignerRule | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplicitKey:
    """The document holds the key, and the first state; None where any state will do."""

    key: FspfKey
    tag: FspfTag | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretKey:
    """A binary secret is the key; the state is None where any will do, and for a volume that is not initialised."""

    secret_name: str
    tag: FspfTag | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedKey:
    """CAS makes the key, and the first user initialises the volume."""

    @property
    def tag(self) -> None:
        """There is no state yet."""
        return


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFspf:
    """The main protection file of a service: where it is, its key and first state, and what becomes of new ones."""

    path: str
    key: ExplicitKey | SecretKey
    update_policy: UpdatePolicy = UpdatePolicy.REINITIALIZABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A program of the session: what it is run with, and which enclaves may be it.

    Attributes:
        platforms: keys of the attesters, or identities of the machines, that are accepted, 64 hexadecimal digits each;
            none means all.
        one_time_password_secret: the shared secret in base32 that a start has to prove (RFC 6238).
        attestation_token: where it finds an attestation result for others.
        ra_tls: where it finds a certificate with evidence of itself.
        tags: of language version 0.1.
        imported: the session that gives the rest of the service (language version 0.1).
    """

    name: str
    command: tuple[Template, ...]
    environment: Mapping[str, Template]
    working_directory: str
    image_name: str | None
    attestation: tuple[AttestationVariant, ...]
    fspf: ServiceFspf | None = None
    platforms: tuple[str, ...] = ()
    one_time_password_secret: Template | None = field(default=None, repr=False)
    attestation_token: TokenFile | None = None
    ra_tls: RaTlsFiles | None = None
    tags: tuple[str, ...] = ()
    imported: SessionReference | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageVolume:
    """Where a volume is seen in an image, and what becomes of new states of it."""

    name: str
    path: str
    update_policy: UpdatePolicy = UpdatePolicy.ROLLBACK_PROTECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFile:
    """A file that is injected into an image; without content, the one that is at its path, with its secrets put in."""

    path: str
    content: Template | None
    mode: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """Volumes and injected files that services share by name."""

    name: str
    volumes: tuple[ImageVolume, ...] = ()
    files: tuple[ImageFile, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    tags: tuple[str, ...] = ()
    imported: SessionReference | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedVolume:
    """Another session has the volume, under the name (or alias) ``volume``."""

    session: SessionReference
    volume: str

    @property
    def tag(self) -> None:
        """Its state is kept by the session that has it."""
        return


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeExport:
    """Who may import a volume, how far it may change it, and under which name if not its own."""

    to: SessionReference
    update_policy: UpdatePolicy = UpdatePolicy.ROLLBACK_PROTECTED
    alias: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartExport:
    """A service or image that others may import (language version 0.1); ``to`` None means every session."""

    kind: str
    name: str
    to: SessionReference | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A protected directory."""

    name: str
    key: ExplicitKey | SecretKey | GeneratedKey | ImportedVolume
    export: tuple[VolumeExport, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultStore:
    """``secret_config: store_in: !akv``: values are kept, encrypted by CAS, in an Azure Key Vault."""

    vault: str
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """How far the session trusts platforms.

    Attributes:
        ignored_advisories: None means all of them (``"*"``).
        trusted_attesters: keys of quoting enclaves that are trusted beside the built-in ones, 64 digits each.
        machines: what a machine that vouches for enclaves has to be; any of the rules suffices.
        one_time_password_secret: as for a service, which may have one of its own.
        service_access_token: what a start of a service, and the CAS to it, has to know.
        maa_url: the attestation provider, with mode ``maa``.
        maa_certificates: PEM of the authorities that vouch for it; none: the usual ones.
    """

    mode: AttestationMode = AttestationMode.HARDWARE
    tolerated: frozenset[Toleration] = frozenset()
    ignored_advisories: frozenset[str] | None = frozenset()
    trusted_attesters: tuple[str, ...] = ()
    machines: tuple[MachineRule, ...] = ()
    one_time_password_secret: Template | None = field(default=None, repr=False)
    singleton_enclaves: bool = False
    service_access_token: Secret | None = None
    maa_url: str | None = None
    maa_certificates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One session document.

    Attributes:
        name: with its namespace, for example ``my-company/hello-world``.
        version: of the session language.
        predecessor: hash of the session that this one replaces, or None for the first.
        exports: services and images that others may import (language version 0.1).
        secret_store: where values are kept if not in the database.
        creator: what the document says of who created it; who did is the matter of whoever keeps it.
        warnings: what is accepted, but probably not meant; :func:`~bannock.policy.parse.parse_session` finds it.
        unbound: sections in which secrets stand; nothing may be decided by them before they are bound.
        document: the plain tree that the session was built from, for binding.
        digest: SHA-256 over the canonical JSON of the document, in hexadecimal.
    """

    name: str
    version: str
    predecessor: str | None = None
    services: tuple[Service, ...] = ()
    images: tuple[Image, ...] = ()
    volumes: tuple[Volume, ...] = ()
    secrets: tuple[SecretSpec, ...] = ()
    access_policy: AccessPolicy = field(default_factory=AccessPolicy)
    security: Security = field(default_factory=Security)
    exports: tuple[PartExport, ...] = ()
    secret_store: VaultStore | None = None
    creator: str | None = None
    unbound: frozenset[Section] = frozenset()
    warnings: tuple[Issue, ...] = field(default=(), repr=False, compare=False)
    document: JsonValue = field(default=None, repr=False, compare=False)
    digest: str

    @property
    def namespace(self) -> str | None:
        """Name of the session in whose namespace this one is, or None."""
        return self.name.rpartition("/")[0] or None

    def service(self, name: str) -> Service:
        """Find a service.

        Raises:
            NotFoundError: the session has none of that name.
        """
        for service in self.services:
            if service.name == name:
                return service
        raise NotFoundError(f"session {self.name} has no service {name[:128]!r}")

    def image_of(self, service: Service) -> Image:
        """Give the image of a service; an empty one where it names none."""
        return next((image for image in self.images if image.name == service.image_name), Image(name=""))
