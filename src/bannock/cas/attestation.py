"""Attestation: from a nonce over evidence and policy to a configuration.

Thread-safe. What a connection has proven is kept in the state of its peer, and ends with the connection. Every
decision is an audit entry, and a configuration is not given before its entry is on the disk.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from bannock.cas.commits import ATTESTED, Attested, Held
from bannock.errors import DeniedError, EvidenceError, NotFoundError, causes
from bannock.evidence.report import NONCE_BYTES, report_data
from bannock.evidence.verifier import verify
from bannock.policy.decide import decide_enclave
from bannock.policy.resolve import service_configuration

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    from bannock.cas.records import FspfState
    from bannock.cas.sessions import Sessions
    from bannock.cas.store import Store
    from bannock.evidence.verifier import Appraisal
    from bannock.net.peer import Peer
    from bannock.policy.configuration import Configuration
    from bannock.policy.session import ServiceFspf

__all__ = ["Attestation"]

_log = logging.getLogger(__name__)

_NONCE: Final = "nonce"
#: A service may rest this long between commits before it has to be attested anew.
_ATTESTED_IDLE_SECONDS: Final = 24 * 3600.0


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
        peer.state.pop(ATTESTED, None)
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
        with self._store.reading() as view:
            _, session = self._sessions.newest(view, session_name)
        decide_enclave(session, service_name, appraisal.claims)
        fetched = self._sessions.secrets.fetch(session)
        with self._store.changing() as change:
            stored, session = self._sessions.newest(change, session_name)
            decide_enclave(session, service_name, appraisal.claims)
            states = {
                volume.name: state
                for volume in session.volumes
                if (state := change.volume(session_name, volume.name)) is not None
            }
            fspf = change.fspf(session_name, service_name)
            configuration = service_configuration(
                session,
                service_name,
                self._sessions.secrets.values(change, session, fetched),
                {name: state.tag for name, state in states.items() if state.tag is not None},
                None if fspf is None else fspf.tag,
            )
            change.audit(
                "service_attested",
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
        peer.state[ATTESTED] = Attested(
            session=session_name,
            service=service_name,
            volumes={
                mount.name: Held(since=states[mount.name].since, update_policy=mount.update_policy)
                for mount in configuration.volumes
            },
            fspf=_held(session.service(service_name).fspf, fspf),
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
            change.audit("service_refused", facts)


def _held(written: ServiceFspf | None, state: FspfState | None) -> Held | None:
    if written is None or state is None:
        return None
    return Held(since=state.since, update_policy=written.update_policy, first=written.key.tag)
