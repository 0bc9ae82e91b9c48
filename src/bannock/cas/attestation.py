"""Attestation: from a nonce over evidence and policy to a configuration.

Thread-safe. What a connection has proven is kept in the state of its peer, and ends with the connection. Every
decision is an audit entry, and a configuration is not given before its entry is on the disk.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bannock.cas.appraised import appraised_facts
from bannock.cas.commits import ATTESTED, attested_of
from bannock.cas.derived_keys import resumption_key
from bannock.cas.instances import judge_instance, record_instance
from bannock.cas.releasing import configure
from bannock.cas.remembered import Remembering
from bannock.cas.second_factors import SecondFactors, Shown, ShownBack
from bannock.cas.service_parts import DECIDING, find_parts
from bannock.cas.tokens import APPRAISED, Appraised
from bannock.errors import (
    ActivationError,
    ConflictError,
    DeniedError,
    EvidenceError,
    InputError,
    NotFoundError,
    causes,
)
from bannock.evidence.report import NONCE_BYTES, report_data
from bannock.evidence.verifier import verify
from bannock.policy.binding import bind_session
from bannock.policy.inheritance import decide_parts, parts_of
from bannock.policy.template import Placeholder

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping, Sequence

    from bannock.cas.attestation_ca import AttestationKeyAuthority
    from bannock.cas.commits import Attested
    from bannock.cas.endorsing import Endorsing
    from bannock.cas.requests import Fetched, Request
    from bannock.cas.sessions import Sessions
    from bannock.cas.store import Store
    from bannock.cas.transaction import Change
    from bannock.errors import BannockError
    from bannock.evidence.verifier import Appraisal
    from bannock.net.peer import Peer
    from bannock.policy.configuration import Configuration
    from bannock.policy.inheritance import Parts
    from bannock.policy.resolved import ResolvedSecrets
    from bannock.policy.secret_values import SecretValue
    from bannock.policy.session import Session
    from bannock.values import Secret

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
        shown: what else there is.
    """

    session: str
    service: str
    evidence: bytes = field(repr=False)
    shown: Shown = field(default_factory=Shown)

    @property
    def names(self) -> tuple[str, str]:
        """Session and service."""
        return self.session, self.service

    def __str__(self) -> str:
        return f"service {self.service} of session {self.session}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """What an enclave gets: its configuration, and what the CAS shows for what the start has shown."""

    configuration: Configuration
    shown: ShownBack = field(default_factory=ShownBack)


@dataclass(slots=True)
class _Attempt:
    """What is known of a start that is refused.

    Attributes:
        appraisal: what its evidence proved, if it did.
        guessed: the shared secret that it guessed a one-time password of, if it did.
    """

    appraisal: Appraisal | None = None
    guessed: Secret | None = None


class Attestation:
    """Decides which enclave gets which configuration."""

    def __init__(
        self,
        store: Store,
        sessions: Sessions,
        endorsing: Endorsing,
        authority: AttestationKeyAuthority,
        *,
        random: Callable[[int], bytes],
        clock: Callable[[], dt.datetime],
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._endorsing = endorsing
        self._random = random
        self._clock = clock
        self._factors = SecondFactors(resumption_key(store.identity), random=random, clock=clock)
        self._authority = authority
        self._remembering = Remembering()
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
        peer.state.pop(APPRAISED, None)
        nonce = peer.state.pop(_NONCE, None)
        attempt = _Attempt()
        try:
            appraisal = attempt.appraisal = self._appraise(peer, nonce, start.evidence)
            released = self._release(peer, start, appraisal, attempt)
        except (DeniedError, EvidenceError, InputError) as error:
            # What cannot be used of a session is no fault of the enclave's, and it is refused all the same.
            self._record_refusal(peer, start, error, attempt)
            if isinstance(error, NotFoundError):
                raise
            raise DeniedError(f"this enclave does not get the configuration of {start}") from error
        peer.state[APPRAISED] = Appraised(appraisal=appraisal, at=self._clock())
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
            _, session = self._sessions.newest(view, attested.injected_from)
        fetched = self._sessions.secrets.fetch(session)
        with self._store.changing() as change:
            _, session = self._sessions.newest(change, attested.injected_from)
            stored, _ = self._sessions.newest(change, attested.session)
            if (stored.digest, session.digest) != (attested.digest, attested.injected_digest):
                raise ConflictError(
                    f"session {attested.session} was changed meanwhile", hint="start the service again"
                )
            resolved = self._sessions.secrets.values(change, session, fetched)
            return {body: _rendered(resolved, placeholder, session) for body, placeholder in wanted.items()}

    def _appraise(self, peer: Peer, nonce: object, evidence: bytes) -> Appraisal:
        if not isinstance(nonce, bytes):
            raise EvidenceError("no nonce is open on this connection: each is good for one attestation")
        if peer.key_hash is None or peer.exporter is None:
            raise EvidenceError(
                "the enclave showed no certificate, so there is no key that evidence could be bound to"
            )
        expected = report_data(nonce, peer.exporter, peer.key_hash)
        now, appraise = self._clock(), self._endorsing.appraise
        trusted = self._authority.trusted(now)
        try:
            return verify(evidence, expected_report_data=expected, at=now, endorsements=trusted, appraise=appraise)
        except ActivationError as error:
            raise self._authority.challenged(error, evidence, trusted, now) from None

    def _release(self, peer: Peer, start: Start, appraisal: Appraisal, attempt: _Attempt) -> Released:
        """Decide in one transaction, but where the session has secrets elsewhere: those are fetched outside of it."""
        sessions: Sequence[Session] = ()
        while True:
            fetched = self._fetch(sessions)
            with self._store.changing() as change:
                parts = find_parts(self._sessions, change, start.session, start.service)
                if sessions or not self._needs_fetching(change, start, parts, appraisal):
                    attested, released = self._decide(change, peer, start, parts, fetched, appraisal, attempt)
                    self._remembering.note(change, start.names, start.evidence, appraisal, self._clock())
                    break
            sessions = parts.sessions
        self._remembering.noted(start.names, appraisal, self._clock())
        peer.state[ATTESTED] = attested
        return released

    def _decide(
        self,
        change: Change,
        peer: Peer,
        start: Start,
        parts: Parts,
        fetched: Fetched,
        appraisal: Appraisal,
        attempt: _Attempt,
    ) -> tuple[Attested, Released]:
        resolved = {
            session.name: self._sessions.secrets.values(change, session, fetched) for session in parts.sessions
        }
        parts = _bound(parts, resolved)
        decide_parts(parts, judge_instance(change, str(start), start.shown.resumption, appraisal.claims))
        shown = self._show_back(change, peer, start, parts, resolved[start.session], appraisal, attempt)
        attested, configuration = configure(change, parts, resolved)
        change.audit(
            "service_attested",
            {
                "session": start.session,
                "service": start.service,
                "hash": parts.session.digest,
                "enclave": str(peer.key_hash),
                **appraised_facts(appraisal),
            },
        )
        return attested, Released(configuration=configuration, shown=shown)

    def _needs_fetching(self, change: Change, start: Start, parts: Parts, appraisal: Appraisal) -> bool:
        """Whether anything has to be asked for elsewhere, for an enclave that is trusted as far as can be told."""
        if not any(self._sessions.secrets.needs_fetching(change, session) for session in parts.sessions):
            return False
        if not any(session.unbound & DECIDING for session in parts.sessions):
            decide_parts(parts, judge_instance(change, str(start), start.shown.resumption, appraisal.claims))
        return True

    def _fetch(self, sessions: Sequence[Session]) -> Fetched:
        found: dict[Request, SecretValue | BannockError] = {}
        for session in sessions:
            found |= self._sessions.secrets.fetch(session)
        return found

    def _show_back(
        self,
        change: Change,
        peer: Peer,
        start: Start,
        parts: Parts,
        resolved: ResolvedSecrets,
        appraisal: Appraisal,
        attempt: _Attempt,
    ) -> ShownBack:
        """Decide on what a start shows besides its evidence."""
        proof = self._factors.require_token(parts.session, start.shown, peer)
        secret = self._factors.secret_of(parts.session, parts.service.one_time_password_secret, resolved.render)
        resumption: bytes | None = None
        if secret is not None:
            attempt.guessed = secret
            resumption = self._factors.spend(change, secret, start.shown, str(start), appraisal.claims)
            attempt.guessed = None
        given: bytes | None = None
        if any(session.security.singleton_enclaves for session in parts.sessions):
            given = resumption = self._factors.resumption(secret, str(start), appraisal.claims)
        record_instance(change, str(start), start.shown.resumption, appraisal.claims, given)
        return ShownBack(access_proof=proof, resumption=resumption)

    def _warn(self, start: Start, warning: str) -> None:
        key = str(start), warning
        if key in self._warned:
            return
        if len(self._warned) < _WARNINGS_MAX:
            self._warned.add(key)
        _log.warning("%s: %s", start, warning)

    def _record_refusal(self, peer: Peer, start: Start, error: BannockError, attempt: _Attempt) -> None:
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
            **({} if attempt.appraisal is None else appraised_facts(attempt.appraisal)),
            "reasons": reasons,
        }
        with self._store.changing() as change:
            change.audit("service_refused", facts)
            if attempt.guessed is not None:
                self._factors.count_wrong(change, attempt.guessed, start.shown)


def _bound(parts: Parts, resolved: Mapping[str, ResolvedSecrets]) -> Parts:
    """Put secrets into the sections that decide on enclaves."""
    if not any(session.unbound & DECIDING for session in parts.sessions):
        return parts

    def bound(session: Session) -> Session:
        return bind_session(session, resolved[session.name].structure, sections=DECIDING)

    session = bound(parts.session)
    known = {parts.session.name: session}
    of_service, of_image = (known.get(one.name) or bound(one) for one in (parts.service_of, parts.image_of))
    by_name = {one.name: one for one in (session, of_service, of_image)}
    return parts_of(session, parts.service.name, lambda reference: by_name[reference.name])


def _rendered(resolved: ResolvedSecrets, placeholder: Placeholder, session: Session) -> bytes:
    if placeholder.within(resolved.secrets).name not in resolved.secrets:
        raise InputError(
            f"session {session.name} has no secret {placeholder.name[:128]!r}, which an injected file names"
        )
    return resolved.render(placeholder)
