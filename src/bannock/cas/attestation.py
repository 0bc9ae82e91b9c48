"""Attestation: from a nonce over evidence and policy to a configuration; and the volumes of who was attested.

Thread-safe. What a connection has proven is kept in the state of its peer, and ends with the connection. Every
decision is an audit entry, and a configuration is not given before its entry is on the disk.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock.cas.records import VolumeState
from bannock.errors import ConflictError, DeniedError, EvidenceError, NotFoundError, causes
from bannock.evidence.report import NONCE_BYTES, report_data
from bannock.evidence.verifier import verify
from bannock.policy.decide import decide_enclave
from bannock.policy.resolve import service_configuration

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping

    from bannock.cas.sessions import Sessions
    from bannock.cas.store import Store
    from bannock.evidence.verifier import Appraisal
    from bannock.net.peer import Peer
    from bannock.policy.configuration import Configuration
    from bannock.values import FspfTag

__all__ = ["Attestation"]

_log = logging.getLogger(__name__)

_NONCE: Final = "nonce"
_ATTESTED: Final = "attested"
#: A service may rest this long between commits before it has to be attested anew.
_ATTESTED_IDLE_SECONDS: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attested:
    """What a connection has proven: which service is on it, and the generation that each of its volumes is of."""

    session: str
    service: str
    volumes: Mapping[str, int]


class Attestation:
    """Decides which enclave gets which configuration, and keeps the states of volumes for those that did."""

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

    def nonce(self, peer: Peer) -> bytes:
        """Give a connection a nonce for one attestation; an older one is void."""
        nonce = self._random(NONCE_BYTES)
        peer.state[_NONCE] = nonce
        return nonce

    def attest(self, peer: Peer, session_name: str, service_name: str, evidence: bytes) -> Configuration:
        """Appraise evidence, and give the configuration of a service to an enclave that is that service.

        Raises:
            DeniedError: the evidence does not hold, or the policy does not trust the enclave; its causes say why.
            NotFoundError: there is no such session, or it has no such service.
        """
        # A connection is one service from now on, or none: not the one that it was before.
        peer.state.pop(_ATTESTED, None)
        nonce = peer.state.pop(_NONCE, None)
        try:
            appraisal = self._appraise(peer, nonce, evidence)
            return self._release(peer, session_name, service_name, appraisal)
        except (DeniedError, EvidenceError) as error:
            self._record_refusal(peer, session_name, service_name, error)
            if isinstance(error, NotFoundError):
                raise
            raise DeniedError(
                f"this enclave does not get the configuration of service {service_name} of session {session_name}"
            ) from error

    def commit(self, peer: Peer, volume: str, expected: FspfTag | None, tag: FspfTag) -> None:
        """Move a volume from one state to the next, on the disk when this returns; a second try answers the same.

        Raises:
            DeniedError: the connection has not been attested as a service that mounts the volume.
            ConflictError: the volume is in another state than expected, or was replaced by an update of the session.
        """
        attested = peer.state.get(_ATTESTED)
        if not isinstance(attested, _Attested):
            raise DeniedError("this connection has not been attested")
        if volume not in attested.volumes:
            raise DeniedError(f"service {attested.service} of session {attested.session} mounts no such volume")
        with self._store.changing() as change:
            state = change.volume(attested.session, volume)
            if state is None or state.since != attested.volumes[volume]:
                raise ConflictError(
                    f"volume {volume} was replaced by an update of session {attested.session}",
                    hint="start the service again",
                )
            if state.tag == tag:
                return
            if state.tag != expected:
                raise ConflictError(f"volume {volume} is in state {_shown(state.tag)}, expected {_shown(expected)}")
            change.put_volume(attested.session, volume, VolumeState(tag=tag, since=state.since))
            change.audit(
                "volume-committed",
                {
                    "session": attested.session,
                    "service": attested.service,
                    "volume": volume,
                    "from": None if expected is None else str(expected),
                    "to": str(tag),
                },
            )

    def _appraise(self, peer: Peer, nonce: object, evidence: bytes) -> Appraisal:
        if not isinstance(nonce, bytes):
            raise EvidenceError("no nonce is open on this connection: each is good for one attestation")
        if peer.key_hash is None or peer.exporter is None:
            raise EvidenceError(
                "the enclave showed no certificate, so there is no key that evidence could be bound to"
            )
        expected = report_data(nonce, peer.exporter, peer.key_hash)
        return verify(evidence, expected_report_data=expected, at=self._clock())

    def _release(self, peer: Peer, session_name: str, service_name: str, appraisal: Appraisal) -> Configuration:
        with self._store.changing() as change:
            stored, session = self._sessions.newest(change, session_name)
            decide_enclave(session, service_name, appraisal.claims)
            states = {
                volume.name: state
                for volume in session.volumes
                if (state := change.volume(session_name, volume.name)) is not None
            }
            configuration = service_configuration(
                session,
                service_name,
                change.secret_values(session_name),
                {name: state.tag for name, state in states.items() if state.tag is not None},
            )
            change.audit(
                "enclave-attested",
                {
                    "session": session_name,
                    "service": service_name,
                    "hash": stored.digest,
                    "platform": appraisal.claims.platform,
                    "mrenclave": str(appraisal.claims.measurement),
                    "attester": str(appraisal.attester),
                    "enclave": str(peer.key_hash),
                },
            )
        peer.state[_ATTESTED] = _Attested(
            session=session_name,
            service=service_name,
            volumes={mount.name: states[mount.name].since for mount in configuration.volumes},
        )
        peer.idle_seconds = _ATTESTED_IDLE_SECONDS
        for warning in appraisal.warnings:
            _log.warning("service %s of session %s: %s", service_name, session_name, warning)
        return configuration

    def _record_refusal(
        self, peer: Peer, session_name: str, service_name: str, error: DeniedError | EvidenceError
    ) -> None:
        reasons = [line for cause in causes(error) for line in (str(cause), *getattr(cause, "reasons", ()))]
        if isinstance(error, NotFoundError):  # whoever makes names up does not fill the audit log
            return
        facts: dict[str, str | list[str] | None] = {
            "session": session_name,
            "service": service_name,
            "enclave": None if peer.key_hash is None else str(peer.key_hash),
            "reasons": reasons,
        }
        with self._store.changing() as change:
            change.audit("enclave-refused", facts)


def _shown(tag: FspfTag | None) -> str:
    return "not initialised" if tag is None else str(tag)
