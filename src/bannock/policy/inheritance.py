"""Services and images of other sessions, as language version 0.1 imports them.

Pure. Whose a part is decides whose secrets its templates name: the exporting session's values stay its own, and the
importing one's too; the attested application gets both. So what an importing session may say beside ``import`` is
little: it could otherwise have the exporter's program hand out what it was given.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from bannock.errors import DeniedError
from bannock.policy.decide import decide_enclave
from bannock.policy.session import AttestationVariant, Image
from bannock.policy.sharing import Importer, is_exported_part

if TYPE_CHECKING:
    from collections.abc import Callable

    from bannock.policy.claims import Claims
    from bannock.policy.references import SessionReference
    from bannock.policy.session import Service, Session

__all__ = ["Parts", "decide_parts", "parts_of"]

_SERVICE: Final = "service"
_IMAGE: Final = "image"
_ROOT: Final = "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A service as it runs: what is its own, and what it has from other sessions.

    Attributes:
        session: that the enclave wants to be a service of.
        service: with what it has inherited.
        service_of: the session whose secrets the service names.
        image: with what it has inherited, but its volumes are those of ``session``.
        image_of: the session whose secrets the files of the image name.
    """

    session: Session
    service: Service
    service_of: Session
    image: Image
    image_of: Session

    @property
    def sessions(self) -> tuple[Session, ...]:
        """Every session that has a part in it, each once."""
        found = {one.name: one for one in (self.session, self.service_of, self.image_of)}
        return tuple(found.values())


def parts_of(session: Session, service_name: str, find: Callable[[SessionReference], Session]) -> Parts:
    """Put a service together.

    Args:
        session: that it is of.
        service_name: of the service.
        find: gives a session of this CAS, in the version that the reference names.

    Raises:
        NotFoundError: the session has no such service.
        DeniedError: something is imported that is not exported to the session, or changed on the way.
    """
    service = session.service(service_name)
    service_of = session
    if service.imported is not None:
        service_of = find(service.imported)
        service = _inherit_service(session, service, service_of)
    image, image_of = _inherit_image(session, service, find)
    if service_of is not session and service.image_name is not None and image_of.name != service_of.name:
        raise DeniedError(
            f"session {session.name} imports service {service_name} from session {service_of.name}, "
            f"so its image {service.image_name} has to be imported from there too",
            hint=f"write `import: {service_of.name}` in the image",
        )
    return Parts(session=session, service=service, service_of=service_of, image=image, image_of=image_of)


def decide_parts(parts: Parts, claims: Claims) -> None:
    """Accept an enclave as a service, by the word of every session that has a part in it.

    Raises:
        DeniedError: one of them does not trust the enclave.
    """
    decide_enclave(_with(parts.session, parts.service), parts.service.name, claims)
    if parts.service_of is not parts.session:
        decide_enclave(parts.service_of, parts.service.name, claims)
    if parts.image_of is not parts.session and parts.image.measurements:
        wanted = AttestationVariant(measurements=parts.image.measurements)
        decide_enclave(
            _with(parts.image_of, replace(parts.service, attestation=(wanted,))), parts.service.name, claims
        )


def _with(session: Session, service: Service) -> Session:
    return replace(session, services=(service,))


def _inherit_service(session: Session, own: Service, exporter: Session) -> Service:
    found = _exported(session, exporter, _SERVICE, own.name)
    theirs = next((one for one in exporter.services if one.name == own.name), None)
    if theirs is None or theirs.imported is not None or not found:
        raise _not_exported(session, exporter, _SERVICE, own.name)
    security = exporter.security
    if security.service_access_token or security.one_time_password_secret or theirs.one_time_password_secret:
        raise DeniedError(
            f"session {exporter.name} asks for a second factor to start service {own.name}, so no other session can"
        )
    changed = {
        "command": bool(own.command and theirs.command) and own.command != theirs.command,
        "environment": bool(own.environment),
        "pwd": own.working_directory not in (_ROOT, theirs.working_directory),
        "image_name": None not in (own.image_name, theirs.image_name) and own.image_name != theirs.image_name,
        "fspf_path": own.fspf is not None,
        "attestation_token": own.attestation_token is not None,
        "ra_tls": own.ra_tls is not None,
    }
    if any(changed.values()):
        names = ", ".join(name for name, differs in changed.items() if differs)
        raise DeniedError(
            f"session {session.name} imports service {own.name} from session {exporter.name} and changes its {names}",
            hint="leave them out, or write them as the exporting session does",
        )
    return replace(
        theirs,
        command=theirs.command or own.command,
        image_name=theirs.image_name or own.image_name,
        attestation=own.attestation or theirs.attestation,
        platforms=own.platforms,
        one_time_password_secret=own.one_time_password_secret,
    )


def _inherit_image(
    session: Session, service: Service, find: Callable[[SessionReference], Session]
) -> tuple[Image, Session]:
    own = next((image for image in session.images if image.name == service.image_name), Image(name=""))
    if own.imported is None:
        return own, session
    exporter = find(own.imported)
    theirs = next((image for image in exporter.images if image.name == own.name), None)
    if theirs is None or theirs.imported is not None or not _exported(session, exporter, _IMAGE, own.name):
        raise _not_exported(session, exporter, _IMAGE, own.name)
    if own.volumes or own.files:
        raise DeniedError(
            f"session {session.name} imports image {own.name} from session {exporter.name} and changes what is in it",
            hint="leave out its volumes and injection_files: they come with the image",
        )
    volumes = {volume.name for volume in session.volumes}
    missing = [mount.name for mount in theirs.volumes if mount.name not in volumes]
    if missing:
        raise DeniedError(
            f"image {own.name} of session {exporter.name} has volumes that session {session.name} does not define: "
            f"{', '.join(missing)}"
        )
    return theirs, exporter


def _exported(session: Session, exporter: Session, kind: str, name: str) -> bool:
    importer = Importer(name=session.name, digest=session.digest)
    return any(is_exported_part(part, importer) for part in exporter.exports if (part.kind, part.name) == (kind, name))


def _not_exported(session: Session, exporter: Session, kind: str, name: str) -> DeniedError:
    return DeniedError(
        f"session {exporter.name} does not export {kind} {name} to session {session.name}",
        hint=f"list it there under exports: {{namespace: {kind}, name: {name}, export: {session.name}}}",
    )
