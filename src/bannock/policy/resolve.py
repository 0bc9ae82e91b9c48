"""Resolution: from a session, its secret values and the states of its volumes to what one service runs with.

Pure, and light to import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from bannock.errors import Bug, InputError
from bannock.policy.configuration import Configuration, InjectedFile, VolumeMount
from bannock.policy.session import ExplicitKey, GeneratedKey, SecretKey
from bannock.values import FspfKey, Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.policy.secret_values import SecretValue, SecretValues
    from bannock.policy.session import Session, Volume
    from bannock.policy.template import Placeholder, Template
    from bannock.values import FspfTag

__all__ = ["first_tag", "service_configuration"]


def service_configuration(
    session: Session, service_name: str, secrets: SecretValues, volume_tags: Mapping[str, FspfTag]
) -> Configuration:
    """Put secrets in place of placeholders, and keys and states beside volumes.

    Args:
        session: that the service belongs to.
        service_name: of the service.
        secrets: what :func:`~bannock.policy.secret_values.generate_secrets` made for this session.
        volume_tags: the confirmed state of each volume that has changed or was initialised since the session was made.

    Raises:
        NotFoundError: the session has no such service.
        InputError: a value cannot stand where the session puts it.
    """
    service = session.service(service_name)
    image = session.image_of(service)
    volumes = {volume.name: volume for volume in session.volumes}
    return Configuration(
        argv=tuple(_text(template, secrets) for template in service.command),
        environment={name: _text(template, secrets) for name, template in service.environment.items()},
        working_directory=service.working_directory,
        volumes=tuple(
            VolumeMount(
                name=mount.name,
                path=mount.path,
                key=_key(volumes[mount.name], secrets),
                tag=volume_tags.get(mount.name, first_tag(volumes[mount.name])),
            )
            for mount in image.volumes
        ),
        files=tuple(
            InjectedFile(path=file.path, content=Secret(_fill(file.content, secrets)), mode=file.mode)
            for file in image.files
        ),
    )


def _fill(template: Template, secrets: SecretValues) -> bytes:
    def render(placeholder: Placeholder) -> bytes:
        found = _find(placeholder.name, secrets)
        return placeholder.render(found.kind, found.value)

    return template.fill(render)


def _text(template: Template, secrets: SecretValues) -> str:
    try:
        return _fill(template, secrets).decode("utf-8")
    except UnicodeDecodeError:
        raise InputError("a secret in an argument or environment variable is not text") from None


def _find(name: str, secrets: SecretValues) -> SecretValue:
    if name not in secrets.secrets:
        raise Bug(f"secret {name!r} has no value, although its session defines it")
    return secrets.secrets[name]


def _key(volume: Volume, secrets: SecretValues) -> FspfKey:
    match volume.key:
        case ExplicitKey(key=key):
            return key
        case SecretKey(secret_name=name):
            return FspfKey(_find(name, secrets).value.reveal())
        case GeneratedKey():
            if volume.name not in secrets.volume_keys:
                raise Bug(f"volume {volume.name!r} has no key, although its session asks for one")
            return secrets.volume_keys[volume.name]
        case _:
            assert_never(volume.key)


def first_tag(volume: Volume) -> FspfTag | None:
    """Return the state that a session says its volume is in; None for one that is initialised on first use."""
    match volume.key:
        case ExplicitKey(tag=tag) | SecretKey(tag=tag):
            return tag
        case GeneratedKey():
            return None
        case _:
            assert_never(volume.key)
