"""The session as a value: what a session document says, typed, checked and closed.

Pure; knows nothing of YAML. Sessions come from :func:`bannock.policy.parse.parse_session` alone, which has
checked every reference in them. ``repr`` shows neither keys nor secrets, nor the text of templates.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias

from bannock.errors import NotFoundError
from bannock.policy.configuration import UpdatePolicy
from bannock.values import KeyHash

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.policy.template import SecretKind, Template
    from bannock.values import FspfKey, FspfTag, Measurement, Secret

__all__ = [
    "AccessEntry",
    "AccessPolicy",
    "AttestationMode",
    "AttestationVariant",
    "ExplicitKey",
    "ExplicitValue",
    "GeneratedKey",
    "GeneratedValue",
    "Image",
    "ImageFile",
    "ImageVolume",
    "Keyword",
    "SecretKey",
    "SecretSpec",
    "Security",
    "Service",
    "ServiceFspf",
    "Session",
    "SignerRule",
    "Toleration",
    "Volume",
]


class AttestationMode(StrEnum):
    """How services of a session prove what they are."""

    HARDWARE = "hardware"
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
    SIMULATION = "simulation"


class Keyword(StrEnum):
    """Entries of an access policy that are not one key."""

    CREATOR = "CREATOR"
    ANY = "ANY"
    NONE = "NONE"


AccessEntry: TypeAlias = Keyword | KeyHash


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
    """A program of the session: what it is run with, and which enclaves may be it."""

    name: str
    command: tuple[Template, ...]
    environment: Mapping[str, Template]
    working_directory: str
    image_name: str | None
    attestation: tuple[AttestationVariant, ...]
    fspf: ServiceFspf | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageVolume:
    """Where a volume is seen in an image, and what becomes of new states of it."""

    name: str
    path: str
    update_policy: UpdatePolicy = UpdatePolicy.ROLLBACK_PROTECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFile:
    """A file that is injected into an image."""

    path: str
    content: Template
    mode: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """Volumes and injected files that services share by name."""

    name: str
    volumes: tuple[ImageVolume, ...] = ()
    files: tuple[ImageFile, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A protected directory."""

    name: str
    key: ExplicitKey | SecretKey | GeneratedKey


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplicitValue:
    """The document holds the value."""

    value: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedValue:
    """CAS makes the value: ``size`` characters of an ascii secret, or bytes of a binary one."""

    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSpec:
    """A secret that the session defines; ``export_public`` makes it readable to everybody."""

    name: str
    kind: SecretKind
    source: ExplicitValue | GeneratedValue
    export_public: bool = False


_CREATOR_ALONE: Final[tuple[AccessEntry, ...]] = (Keyword.CREATOR,)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessPolicy:
    """Who may do what; ``create_sessions`` None means whoever may update."""

    read: tuple[AccessEntry, ...] = _CREATOR_ALONE
    update: tuple[AccessEntry, ...] = _CREATOR_ALONE
    create_sessions: tuple[AccessEntry, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """How far the session trusts platforms; ``ignored_advisories`` None means all of them (``"*"``)."""

    mode: AttestationMode = AttestationMode.HARDWARE
    tolerated: frozenset[Toleration] = frozenset()
    ignored_advisories: frozenset[str] | None = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One session document.

    Attributes:
        name: with its namespace, for example ``my-company/hello-world``.
        version: of the session language.
        predecessor: hash of the session that this one replaces, or None for the first.
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
