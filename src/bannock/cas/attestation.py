"""Attestation: from a nonce over evidence and policy to a configuration.

Thread-safe. What a connection has proven is kept in the state of its peer, and ends with the connection. Every
decision is an audit entry, and a configuration is not given before its entry is on the disk.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bannock.cas.commits import ATTESTED, Attested, Held, attested_of
from bannock.errors import ConflictError, DeniedError, EvidenceError, InputError, NotFoundError, causes
from bannock.evidence.report import NONCE_BYTES, report_data
from bannock.evidence.verifier import verify
from bannock.policy.access_token import Side, prove_access_token, verify_access_token
from bannock.policy.decide import decide_enclave
from bannock.policy.resolve import service_configuration
from bannock.policy.template import Placeholder

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping, Sequence

    from bannock.cas.records import FspfState, StoredSession
    from bannock.cas.sessions import Sessions
    from bannock.cas.store import Store
    from bannock.cas.transaction import Change
    from bannock.evidence.verifier import Appraisal
    from bannock.net.peer import Peer
    from bannock.policy.configuration import Configuration, VolumeMount
    from bannock.policy.resolved import ResolvedSecrets
    from bannock.policy.session import ServiceFspf, Session

__all__ = ["Attestation", "Released", "Start"]

_log = logging.getLogger(__name__)

_NONCE: Final = "nonce"
#: A service may rest this long between commits before it has to be attested anew.
_ATTESTED_IDLE_SECONDS: Final = 24 * 3600.0
#: Warnings that were logged are not logged again, as long as there are not too many of them to remember.
_WARNINGS_MAX: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What an enclave wants to be, and what it shows for it.

    Attributes:
        evidence: the envelope.
        access_proof: that it knows the service access token (:mod:`bannock.policy.access_token`).
    """

    session: str
    service: str
    evidence: bytes = field(repr=False)
    access_proof: bytes | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"service {self.service} of session {self.session}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """What an enclave gets: its configuration, and the proof that this CAS knows the service access token too."""

    configuration: Configuration
    access_proof: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """A protection file of a service, and where its state is kept: another session may have it."""

    session: str
    name: str
    state: FspfState

    def held(self, mount: VolumeMount) -> Held:
        return Held(since=self.state.since, update_policy=mount.update_policy, session=self.session, name=self.name)


class Attestation:
    """Decides which enclave gets which configuration."""

    def __init__(
        self,
        store: Store,
        sessions: Sessions,
        *,
        random: Callable[[int], bytes],
        clock: Callable[[], dt.datetime],
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._random = random
        self._clock = clock
        self._warned: set[tuple[str, str]] = set()

    def nonce(self, peer: Peer) -> bytes:
        """Give a connection a nonce for one attestation; an older one is void."""
        nonce = self._random(NONCE_BYTES)
        peer.state[_NONCE] = nonce
        return nonce

    def attest(self, peer: Peer, start: Start) -> Released:
        """Appraise evidence, and give the configuration of a service to an enclave that is that service.

        Raises:
            DeniedError: the evidence does not hold, the policy does not trust the enclave, or the start lacks what the
                session asks for besides; its causes say why.
            NotFoundError: there is no such session, or it has no such service.
        """
        # A connection is one service from now on, or none: not the one that it was before.
        peer.state.pop(ATTESTED, None)
        nonce = peer.state.pop(_NONCE, None)
        try:
            appraisal = self._appraise(peer, nonce, start.evidence)
            released = self._release(peer, start, appraisal)
        except (DeniedError, EvidenceError) as error:
            self._record_refusal(peer, start, error)
            if isinstance(error, NotFoundError):
                raise
            raise DeniedError(f"this enclave does not get the configuration of {start}") from error
        peer.idle_seconds = _ATTESTED_IDLE_SECONDS
        for warning in appraisal.warnings:
            self._warn(start, f"{warning}, attester {appraisal.attester}")
        return released

    def secrets(self, peer: Peer, placeholders: Sequence[str]) -> dict[str, bytes]:
        """Give what placeholders stand for that an attested enclave has found in files of its image.

        Args:
            peer: whose connection was attested as a service that has such files.
            placeholders: each as it stands between ``$$SCONE::`` and ``$$``.

        Raises:
            DeniedError: the connection was not attested so, or the session has no such secret.
            ConflictError: the session was changed since; what the enclave has is of its older version.
            InputError: a placeholder is none, or has a format that its secret has not.
        """
        attested = attested_of(peer)
        if not attested.injects:
            raise DeniedError(
                f"service {attested.service} of session {attested.session} has no files to put secrets in"
            )
        wanted = {body: Placeholder.parse(body) for body in placeholders}
        with self._store.reading() as view:
            _, session = self._sessions.newest(view, attested.session)
        fetched = self._sessions.secrets.fetch(session)
        with self._store.changing() as change:
            stored, session = self._sessions.newest(change, attested.session)
            if stored.digest != attested.digest:
                raise ConflictError(
                    f"session {attested.session} was changed meanwhile", hint="start the service again"
                )
            resolved = self._sessions.secrets.values(change, session, fetched)
            return {body: _rendered(resolved, placeholder, attested) for body, placeholder in wanted.items()}

    def _appraise(self, peer: Peer, nonce: object, evidence: bytes) -> Appraisal:
        if not isinstance(nonce, bytes):
            raise EvidenceError("no nonce is open on this connection: each is good for one attestation")
        if peer.key_hash is None or peer.exporter is None:
            raise EvidenceError(
                "the enclave showed no certificate, so there is no key that evidence could be bound to"
            )
        expected = report_data(nonce, peer.exporter, peer.key_hash)
        return verify(evidence, expected_report_data=expected, at=self._clock())

    def _release(self, peer: Peer, start: Start, appraisal: Appraisal) -> Released:
        with self._store.reading() as view:
            _, session = self._sessions.newest(view, start.session)
        decide_enclave(session, start.service, appraisal.claims)
        fetched = self._sessions.secrets.fetch(session)
        with self._store.changing() as change:
            stored, session = self._sessions.newest(change, start.session)
            decide_enclave(session, start.service, appraisal.claims)
            proof = _prove(session, start, peer)
            resolved = self._sessions.secrets.values(change, session, fetched)
            attested, configuration = self._configure(change, stored, session, start, resolved)
            change.audit(
                "service_attested",
                {
                    "session": start.session,
                    "service": start.service,
                    "hash": stored.digest,
                    "platform": appraisal.claims.platform,
                    "mrenclave": str(appraisal.claims.measurement),
                    "attester": str(appraisal.attester),
                    "enclave": str(peer.key_hash),
                },
            )
        peer.state[ATTESTED] = attested
        return Released(configuration=configuration, access_proof=proof)

    def _configure(
        self, change: Change, stored: StoredSession, session: Session, start: Start, resolved: ResolvedSecrets
    ) -> tuple[Attested, Configuration]:
        """Give what a service runs with, and what it may do on its connection."""
        volumes = _volumes(change, session, start.service, resolved)
        fspf = change.fspf(start.session, start.service)
        configuration = service_configuration(
            session,
            start.service,
            resolved,
            {name: kept.state.tag for name, kept in volumes.items() if kept.state.tag is not None},
            None if fspf is None else fspf.tag,
        )
        attested = Attested(
            session=start.session,
            service=start.service,
            digest=stored.digest,
            volumes={mount.name: volumes[mount.name].held(mount) for mount in configuration.volumes},
            fspf=_held(session.service(start.service).fspf, fspf),
            injects=any(file.content is None for file in configuration.files),
        )
        return attested, configuration

    def _warn(self, start: Start, warning: str) -> None:
        key = str(start), warning
        if key in self._warned:
            return
        if len(self._warned) < _WARNINGS_MAX:
            self._warned.add(key)
        _log.warning("%s: %s", start, warning)

    def _record_refusal(self, peer: Peer, start: Start, error: DeniedError | EvidenceError) -> None:
        if isinstance(error, NotFoundError):  # whoever makes names up does not fill the audit log
            return
        reasons = [
            line
            for cause in causes(error)
            for line in (str(cause), *getattr(cause, "reasons", ()), *getattr(cause, "withheld", ()))
        ]
        facts: dict[str, str | list[str] | None] = {
            "session": start.session,
            "service": start.service,
            "enclave": None if peer.key_hash is None else str(peer.key_hash),
            "reasons": reasons,
        }
        with self._store.changing() as change:
            change.audit("service_refused", facts)


def _prove(session: Session, start: Start, peer: Peer) -> bytes | None:
    """Check the proof of the service access token, if the session has one, and give our own."""
    token = session.security.service_access_token
    if token is None or peer.exporter is None:
        return None
    verify_access_token(token, Side.SERVICE, peer.exporter, start.access_proof)
    return prove_access_token(token, Side.CAS, peer.exporter)


def _volumes(change: Change, session: Session, service: str, resolved: ResolvedSecrets) -> Mapping[str, _Kept]:
    """Find the state of each volume that a service mounts, with the session that it is of."""
    kept: dict[str, _Kept] = {}
    for mount in session.image_of(session.service(service)).volumes:
        imported = resolved.volume(mount.name)
        owner, name = (session.name, mount.name) if imported is None else (imported.session, imported.name)
        state = change.volume(owner, name)
        if state is None:
            raise DeniedError(f"session {owner} has no volume {name}")
        kept[mount.name] = _Kept(session=owner, name=name, state=state)
    return kept


def _rendered(resolved: ResolvedSecrets, placeholder: Placeholder, attested: Attested) -> bytes:
    if placeholder.within(resolved.secrets).name not in resolved.secrets:
        raise InputError(
            f"session {attested.session} has no secret {placeholder.name[:128]!r}, which an injected file names"
        )
    return resolved.render(placeholder)


def _held(written: ServiceFspf | None, state: FspfState | None) -> Held | None:
    if written is None or state is None:
        return None
    return Held(since=state.since, update_policy=written.update_policy, first=written.key.tag)
