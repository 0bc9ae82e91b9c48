"""Resolution: from a session, its secret values and the states of its volumes to what one service runs with.

Pure, and light to import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, assert_never

from bannock.errors import DeniedError, InputError
from bannock.policy.configuration import Configuration, InjectedFile, MainFspf, UpdatePolicy, VolumeMount
from bannock.policy.host_arguments import host_name, host_position
from bannock.policy.inheritance import parts_of
from bannock.policy.session import ExplicitKey, GeneratedKey, ImportedVolume, SecretKey
from bannock.values import FspfKey, Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bannock.policy.inheritance import Parts
    from bannock.policy.references import SessionReference
    from bannock.policy.resolved import ResolvedVolume
    from bannock.policy.secret_values import SecretValue
    from bannock.policy.session import ImageVolume, ServiceFspf, Session, Volume
    from bannock.policy.template import Placeholder, Template
    from bannock.values import FspfTag

__all__ = ["Secrets", "parts_configuration", "service_configuration"]


class Secrets(Protocol):
    """What a session has: :class:`~bannock.policy.resolved.ResolvedSecrets`."""

    def find(self, name: str) -> SecretValue:
        """Give a secret."""
        ...

    def render(self, placeholder: Placeholder) -> bytes:
        """Give what stands for a placeholder."""
        ...

    def volume_key(self, name: str) -> FspfKey:
        """Give the key of a volume that the session does not write down."""
        ...

    def volume(self, name: str) -> ResolvedVolume | None:
        """Give an imported volume."""
        ...


def service_configuration(
    session: Session,
    service_name: str,
    secrets: Secrets,
    volume_tags: Mapping[str, FspfTag],
    fspf_tag: FspfTag | None = None,
) -> Configuration:
    """Give what a service runs with that has no part in another session (:func:`parts_configuration`).

    Raises:
        NotFoundError: the session has no such service.
        DeniedError: it has a part in another session.
        BannockError: as :func:`parts_configuration`.
    """
    parts = parts_of(session, service_name, _nowhere)
    return parts_configuration(parts, lambda _: secrets, volume_tags, fspf_tag)


def parts_configuration(
    parts: Parts,
    secrets: Callable[[Session], Secrets],
    volume_tags: Mapping[str, FspfTag],
    fspf_tag: FspfTag | None = None,
) -> Configuration:
    """Put secrets in place of placeholders, and keys and states beside volumes.

    Args:
        parts: the service.
        secrets: what each session that has a part in it has now.
        volume_tags: the confirmed state of each volume that has changed or was initialised since the session was made.
        fspf_tag: the confirmed state of the service's main protection file, if it has changed since.

    Raises:
        InputError: a value cannot stand where the session puts it.
        BannockError: something that the service needs cannot be had: it is not exported, for example.
    """
    service, image = parts.service, parts.image
    own, of_service, of_image = secrets(parts.session), secrets(parts.service_of), secrets(parts.image_of)
    volumes = {volume.name: volume for volume in parts.session.volumes}
    return Configuration(
        argv=tuple(_text(template, of_service) for template in service.command),
        environment={
            name: _text(template, of_service)
            for name, template in service.environment.items()
            if host_name(name) is None
        },
        working_directory=service.working_directory,
        volumes=tuple(
            VolumeMount(
                name=mount.name,
                path=mount.path,
                key=_key(_defined(mount, volumes, parts), own),
                tag=volume_tags.get(mount.name, _defined(mount, volumes, parts).key.tag),
                update_policy=_update_policy(mount, own),
            )
            for mount in image.volumes
        ),
        files=tuple(
            InjectedFile(
                path=file.path,
                content=None if file.content is None else Secret(_fill(file.content, of_image)),
                mode=file.mode,
            )
            for file in image.files
        ),
        fspf=None if service.fspf is None else _fspf(service.fspf, of_service, fspf_tag),
        attestation_token=service.attestation_token,
        ra_tls=service.ra_tls,
        host_arguments=tuple(index for index, word in enumerate(service.command) if _is_left_to_host(word)),
        host_environment=tuple(name for name in map(host_name, service.environment) if name is not None),
    )


def _nowhere(reference: SessionReference) -> Session:
    raise DeniedError(f"there is no session {reference.name} here")


def _is_left_to_host(word: Template) -> bool:
    """Whether the session itself says so; a secret that looks like a host argument is none."""
    return not any(word.placeholders) and host_position(word.literal) is not None


def _fspf(fspf: ServiceFspf, secrets: Secrets, confirmed: FspfTag | None) -> MainFspf:
    if fspf.update_policy is UpdatePolicy.NO_ROLLBACK_PROTECTION:
        tags: tuple[FspfTag, ...] = ()
    else:
        tags = tuple(dict.fromkeys(tag for tag in (confirmed, fspf.key.tag) if tag is not None))
    return MainFspf(path=fspf.path, key=_given_key(fspf.key, secrets), tags=tags, update_policy=fspf.update_policy)


def _defined(mount: ImageVolume, volumes: Mapping[str, Volume], parts: Parts) -> Volume:
    if mount.name not in volumes:
        raise InputError(
            f"image {parts.image.name} has a volume {mount.name} that session {parts.session.name} does not define",
            hint="a session that imports the image defines its volumes",
        )
    return volumes[mount.name]


def _update_policy(mount: ImageVolume, secrets: Secrets) -> UpdatePolicy:
    imported = secrets.volume(mount.name)
    return mount.update_policy if imported is None else imported.update_policy(mount.update_policy)


def _fill(template: Template, secrets: Secrets) -> bytes:
    return template.fill(secrets.render)


def _text(template: Template, secrets: Secrets) -> str:
    try:
        return _fill(template, secrets).decode("utf-8")
    except UnicodeDecodeError:
        raise InputError("a secret in an argument or environment variable is not text") from None


def _key(volume: Volume, secrets: Secrets) -> FspfKey:
    match volume.key:
        case ExplicitKey() | SecretKey():
            return _given_key(volume.key, secrets)
        case GeneratedKey() | ImportedVolume():
            return secrets.volume_key(volume.name)
        case _:
            assert_never(volume.key)


def _given_key(key: ExplicitKey | SecretKey, secrets: Secrets) -> FspfKey:
    match key:
        case ExplicitKey(key=given):
            return given
        case SecretKey(secret_name=name):
            return FspfKey(secrets.find(name).value.reveal())
        case _:
            assert_never(key)
