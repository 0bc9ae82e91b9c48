"""What a service is given that was found to be one: its configuration, and the states of its protection files.

Used by the thread that opened the transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bannock.cas.commits import Attested, Held
from bannock.cas.records import FspfState
from bannock.errors import DeniedError
from bannock.policy.resolve import parts_configuration
from bannock.policy.session import AttestationMode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.cas.transaction import Change
    from bannock.policy.configuration import Configuration, VolumeMount
    from bannock.policy.inheritance import Parts
    from bannock.policy.resolved import ResolvedSecrets
    from bannock.policy.session import ServiceFspf

__all__ = ["configure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """A protection file of a service, and where its state is kept: another session may have it."""

    session: str
    name: str
    state: FspfState

    def held(self, mount: VolumeMount) -> Held:
        return Held(since=self.state.since, update_policy=mount.update_policy, session=self.session, name=self.name)


def configure(change: Change, parts: Parts, resolved: Mapping[str, ResolvedSecrets]) -> tuple[Attested, Configuration]:
    """Give what a service runs with, and what it may do on its connection.

    Args:
        change: the transaction.
        parts: the service.
        resolved: the secrets of each session that has a part in it.

    Raises:
        BannockError: something that the service needs cannot be had, or not where its session puts it.
    """
    volumes = _volumes(change, parts, resolved[parts.session.name])
    fspf = _fspf(change, parts)
    configuration = parts_configuration(
        parts,
        lambda session: resolved[session.name],
        {name: kept.state.tag for name, kept in volumes.items() if kept.state.tag is not None},
        None if fspf is None else fspf.state.tag,
    )
    attested = Attested(
        session=parts.session.name,
        service=parts.service.name,
        digest=parts.session.digest,
        volumes={mount.name: volumes[mount.name].held(mount) for mount in configuration.volumes},
        fspf=_held(parts.service.fspf, fspf),
        injects=any(file.content is None for file in configuration.files),
        injected_from=parts.image_of.name,
        injected_digest=parts.image_of.digest,
        decided=parts.session.security.mode is not AttestationMode.NONE,
    )
    return attested, configuration


def _volumes(change: Change, parts: Parts, resolved: ResolvedSecrets) -> Mapping[str, _Kept]:
    """Find the state of each volume that a service mounts, with the session that it is of."""
    kept: dict[str, _Kept] = {}
    for mount in parts.image.volumes:
        imported = resolved.volume(mount.name)
        owner, name = (parts.session.name, mount.name) if imported is None else (imported.session, imported.name)
        state = change.volume(owner, name)
        if state is None:
            raise DeniedError(f"session {owner} has no volume {name}")
        kept[mount.name] = _Kept(session=owner, name=name, state=state)
    return kept


def _fspf(change: Change, parts: Parts) -> _Kept | None:
    """Find the state of the main protection file of a service.

    One that is imported has a line of states for each session that imports it, and for each version of the session
    that it is from: what one owner's runs leave behind is never what another owner's runs begin with.
    """
    session, written = parts.session, parts.service.fspf
    if written is None:
        return None
    name = parts.service.name
    if parts.service_of is not session:
        name = f"{name}\0{parts.service_of.digest}"
    state = change.fspf(session.name, name)
    if state is None:
        stored = change.session(session.name)
        state = FspfState(tag=written.key.tag, since=0 if stored is None else stored.generation)
        change.put_fspf(session.name, name, state)
    return _Kept(session=session.name, name=name, state=state)


def _held(written: ServiceFspf | None, kept: _Kept | None) -> Held | None:
    if written is None or kept is None:
        return None
    return Held(
        since=kept.state.since,
        update_policy=written.update_policy,
        first=written.key.tag,
        session=kept.session,
        name=kept.name,
    )
