"""Sessions: who may make, change and read them, and what a change keeps.

Thread-safe. The decisions are the policy's; here is what has to hold between versions of a session.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock.cas.access import AccessControl, subject_of
from bannock.cas.postings import open_posting
from bannock.cas.records import FspfState, StoredSession
from bannock.cas.secrets import SecretService
from bannock.errors import ConflictError, DeniedError, InputError, NotFoundError
from bannock.policy.parse import parse_session
from bannock.policy.session import ImportedVolume, SecretKey, Session

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from bannock.cas.access import Client
    from bannock.cas.postings import Posting
    from bannock.cas.requests import Fetched, Remote
    from bannock.cas.secrets import Prepared
    from bannock.cas.store import Store
    from bannock.cas.transaction import Change, View
    from bannock.policy.access import AccessSubject
    from bannock.policy.secret_values import SecretValues
    from bannock.policy.session import ExplicitKey, GeneratedKey
    from bannock.values import FspfKey, KeyHash

__all__ = ["Sessions"]

_log = logging.getLogger(__name__)

#: Parsed sessions that are kept in memory; a session in use is parsed once.
_CACHED_SESSIONS: Final = 1024
_DIGEST: Final = re.compile("[0-9a-f]{64}")


class Sessions:
    """The sessions of a CAS.

    Attributes:
        secrets: makes and finds what they have.
    """

    def __init__(
        self,
        store: Store,
        random: Callable[[int], bytes],
        *,
        clock: Callable[[], dt.datetime],
        remote: Remote | None = None,
        decryption_key: EllipticCurvePrivateKey | None = None,
    ) -> None:
        self._store = store
        self._decryption_key = decryption_key
        self.secrets = SecretService(store, self.newest, random=random, clock=clock, remote=remote)
        self._access = AccessControl(self.secrets)
        self._parsed: OrderedDict[tuple[str, int], Session] = OrderedDict()
        self._lock = threading.Lock()

    def post(self, document: str, client: Client) -> str:
        """Make a session as :meth:`put` does, and give its hash."""
        return self.put(document, client).digest

    def put(self, document: str, client: Client) -> StoredSession:
        """Make a session, or a new version of one that names its predecessor, and give what is in force then.

        A second try of an update that has taken place already answers like the first.

        Args:
            document: in YAML, signed or encrypted.
            client: who posts it, which matters where it is not signed.

        Raises:
            PolicySyntaxError: the document is not in the session language.
            InputError: what is signed or encrypted is malformed.
            DeniedError: there is nobody behind it, a signature does not hold, or the access policy does not allow it.
            ConflictError: the session exists already, or its newest version is not the predecessor.
            NotFoundError: the session that is to be changed, or whose namespace is named, is not there.
        """
        posting = open_posting(document, subject_of(client), self._decryption_key)
        # Variables are the client's matter: what comes here was rendered, and a value may hold a dollar sign.
        session = parse_session(posting.text, variables=None)
        try:
            return self._put_allowed(posting, session)
        except DeniedError as error:
            if not isinstance(error, NotFoundError | ConflictError):
                self._record_refusal(session, posting.subject, error)
            raise

    def _put_allowed(self, posting: Posting, session: Session) -> StoredSession:
        # First whether it may be, because making values takes long, and then again where it counts.
        with self._store.reading() as view:
            fetched = self._fetched(view, session)
            stored = self._require_postable(view, session, posting.subject, fetched)
        if stored is not None and stored.digest == session.digest:
            return stored
        prepared = self.secrets.prepare(session)
        with self._store.changing() as change:
            stored = self._require_postable(change, session, posting.subject, fetched)
            facts: dict[str, str | list[str] | None] = {"session": session.name, "hash": session.digest}
            if stored is None:
                put = self._put(change, session, posting.text, prepared, creator=posting.creator)
                change.audit("session_created", facts | _facts_of(posting.subject))
            else:
                if session.digest == stored.digest:
                    return stored
                put = self._put(change, session, posting.text, prepared, creator=stored.creator)
                change.audit("session_updated", facts | {"predecessor": stored.digest} | _facts_of(posting.subject))
        _log.info("session %s is now %s, by %s", session.name, session.digest, posting.subject)
        return put

    def _record_refusal(self, session: Session, subject: AccessSubject, error: DeniedError) -> None:
        facts: dict[str, str | list[str] | None] = {
            "session": session.name,
            "hash": session.digest,
            "reasons": [error.message, *error.reasons, *error.withheld],
        }
        with self._store.changing() as change:
            change.audit("session_refused", facts | _facts_of(subject))

    def read(self, name: str, client: Client, *, digest: str | None = None) -> StoredSession:
        """Give a session: its newest version, or the one with a hash.

        Raises:
            NotFoundError: there is no such session, or no such version of it.
            DeniedError: the client has no certificate, or the access policy of the newest version does not let it.
            InputError: the hash is none.
        """
        if digest is not None and not _DIGEST.fullmatch(digest):
            raise InputError(f"a session hash is 64 lower-case hexadecimal digits, found {digest[:80]!r}")
        with self._store.reading() as view:
            newest, _ = self.require_readable(view, name, client)
            stored = newest if digest is None else view.session(name, digest=digest)
        if stored is None:
            raise NotFoundError(f"Session not found: {name} has no version {digest}")
        facts = {"session": stored.name, "hash": stored.digest}
        self._store.tell("session_read", facts | _facts_of(subject_of(client)))
        return stored

    def require_readable(self, view: View, name: str, client: Client) -> tuple[StoredSession, Session]:
        """Give the newest version of a session to a client that may read it.

        Raises:
            NotFoundError: there is no such session.
            DeniedError: the client has no certificate, or the access policy does not let it.
        """
        stored, session = self.newest(view, name)
        self._access.require(view, stored, session, "read", subject_of(client))
        return stored, session

    def newest(self, view: View, name: str) -> tuple[StoredSession, Session]:
        """Give the newest version of a session, as stored and as parsed, to the CAS itself.

        Raises:
            NotFoundError: there is no such session.
        """
        stored = view.session(name)
        if stored is None:
            raise NotFoundError(f"Session not found: {name[:256]}")
        return stored, self._session_of(stored)

    def _session_of(self, stored: StoredSession) -> Session:
        key = (stored.name, stored.generation)
        with self._lock:
            cached = self._parsed.get(key)
            if cached is not None and cached.digest == stored.digest:
                self._parsed.move_to_end(key)
                return cached
        session = parse_session(stored.text, variables=None)
        with self._lock:
            self._parsed[key] = session
            while len(self._parsed) > _CACHED_SESSIONS:
                self._parsed.popitem(last=False)
        return session

    def _fetched(self, view: View, session: Session) -> Fetched:
        """Ask for what the decision on a new version needs from elsewhere."""
        if view.session(session.name) is not None:
            return self._access.fetch(self.newest(view, session.name)[1], "update")
        if session.namespace is not None and view.session(session.namespace) is not None:
            return self._access.fetch(self.newest(view, session.namespace)[1], "create_sessions")
        return {}

    def _require_postable(
        self, view: View, session: Session, subject: AccessSubject, fetched: Fetched
    ) -> StoredSession | None:
        """Accept a session that somebody may make, or a version of it that they may add; give the one in force."""
        stored = view.session(session.name)
        if stored is None:
            self._require_creatable(view, session, subject, fetched)
        else:
            self._require_updatable(view, stored, session, subject, fetched)
        return stored

    def _require_creatable(self, view: View, session: Session, subject: AccessSubject, fetched: Fetched) -> None:
        if session.predecessor is not None:
            raise NotFoundError(
                f"Session not found: {session.name} is not there, and so not its predecessor {session.predecessor}",
                hint="leave out the predecessor to make a new session",
            )
        if session.namespace is not None:
            owner, parent = self.newest(view, session.namespace)
            self._access.require(view, owner, parent, "create_sessions", subject, fetched=fetched)

    def _require_updatable(
        self, view: View, stored: StoredSession, session: Session, subject: AccessSubject, fetched: Fetched
    ) -> None:
        """Accept a new version of a session, or its newest one once more."""
        if session.predecessor is None:
            raise ConflictError(
                f"Session already exists: {stored.name}",
                hint="to change it, name the hash of its newest version as predecessor",
            )
        self._access.require(view, stored, self._session_of(stored), "update", subject, fetched=fetched)
        if stored.digest not in (session.predecessor, session.digest):
            raise ConflictError(
                f"Session already exists: {stored.name} is at {stored.digest}, "
                f"the predecessor named is {session.predecessor}",
                hint="read the session again, and make the change to what it is now",
            )

    def _put(
        self, change: Change, session: Session, text: str, prepared: Prepared, *, creator: KeyHash
    ) -> StoredSession:
        last = change.session(session.name)
        prepared.require_base(last)
        before = None if last is None else self._session_of(last)
        generation = 1 if last is None else last.generation + 1
        values, values_before = prepared.values, prepared.before
        stored = StoredSession(
            name=session.name, generation=generation, digest=session.digest, text=text, creator=creator
        )
        change.put_session(
            stored,
            prepared.kept,
            _states(
                generation,
                _volume_keys(session, values),
                _volume_keys(before, values_before),
                lambda volume: change.volume(session.name, volume),
            ),
            _states(
                generation,
                _fspf_keys(session, values),
                _fspf_keys(before, values_before),
                lambda service: change.fspf(session.name, service),
            ),
        )
        return stored


def _facts_of(subject: AccessSubject) -> dict[str, str | list[str] | None]:
    if subject.signers:
        return {"signers": sorted(str(key) for key in subject.keys)}
    return {"client": None if subject.key_hash is None else str(subject.key_hash)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Identity:
    """What makes a protection file the one that it is: what the session says of key and first state, and the key."""

    written: ExplicitKey | SecretKey | GeneratedKey | ImportedVolume
    value: object


def _volume_keys(session: Session | None, values: SecretValues) -> dict[str, _Identity]:
    return {
        volume.name: _identity(volume.key, values, values.volume_keys.get(volume.name))
        for volume in (session.volumes if session is not None else ())
        # The state of a volume is kept by the session that has it.
        if not isinstance(volume.key, ImportedVolume)
    }


def _fspf_keys(session: Session | None, values: SecretValues) -> dict[str, _Identity]:
    return {
        service.name: _identity(service.fspf.key, values)
        for service in (session.services if session is not None else ())
        if service.fspf is not None
    }


def _identity(
    key: ExplicitKey | SecretKey | GeneratedKey | ImportedVolume,
    values: SecretValues,
    generated: FspfKey | None = None,
) -> _Identity:
    secret = values.secrets.get(key.secret_name) if isinstance(key, SecretKey) else None
    return _Identity(written=key, value=secret or generated)


def _states(
    generation: int,
    keys: Mapping[str, _Identity],
    before: Mapping[str, _Identity],
    stored: Callable[[str], FspfState | None],
) -> dict[str, FspfState]:
    """Give the states of protection files in a new version: one that is the same as before stays in its state."""
    states: dict[str, FspfState] = {}
    for name, key in keys.items():
        kept = stored(name) if before.get(name) == key else None
        states[name] = kept or FspfState(tag=key.written.tag, since=generation)
    return states
