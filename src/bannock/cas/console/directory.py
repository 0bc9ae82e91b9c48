"""The sessions that a client may read, as outlines.

Thread-safe. Each version of a session is opened and parsed once in a process, and what is kept of it has nothing
secret. Whether a client may read it, is asked each time, of the access policy in force.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from bannock.cas.access import subject_of
from bannock.cas.console.outline import outline_of
from bannock.cas.console.sharing import shares_of
from bannock.errors import BannockError, DeniedError
from bannock.policy.access import decide_access, operation_rules
from bannock.policy.parse import parse_session
from bannock.policy.rules import SecretRule, Threshold
from bannock.policy.session import Section

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bannock.cas.access import Client
    from bannock.cas.console.outline import Outline
    from bannock.cas.console.sharing import Share
    from bannock.cas.service import Cas
    from bannock.cas.session_rows import SessionRows
    from bannock.policy.rules import AccessRule
    from bannock.policy.session import Session
    from bannock.values import KeyHash

__all__ = ["Directory", "Known", "Listing"]

#: Versions that are kept in memory, some kilobytes each.
_KEPT_MAX: Final = 10_000
#: How long sessions are parsed for one page; the next one goes on.
_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is kept of a version of a session.

    Attributes:
        outline: what is shown.
        shares: what it gives and gets.
        creator: who made the session.
        deciding: the session, without all that does not decide on who reads it; None where that hangs on secrets, and
            the session is asked for by its name alone.
    """

    outline: Outline
    shares: tuple[Share, ...]
    creator: KeyHash
    deciding: Session | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The sessions that a client may read.

    Attributes:
        sessions: in the order of their names.
        unread: how many were not looked at yet.
        total: how many there are, whoever may read them.
    """

    sessions: tuple[Known, ...]
    unread: int
    total: int


class Directory:
    """The sessions of one CAS.

    Args:
        cas: which.
        seconds: how long sessions are parsed for one page.
    """

    def __init__(self, cas: Cas, *, seconds: float = _SECONDS) -> None:
        self._cas = cas
        self._seconds = seconds
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[bytes, int], Known | None] = OrderedDict()

    def listing(self, client: Client) -> Listing:
        """Give the sessions that a client may read, as far as nobody else has to be asked for that."""
        with self._cas.store.reading() as view:
            rows = view.session_rows()
            newest = rows.newest()
            unread = self._open(rows, newest)
        with self._lock:
            known = [self._known.get(key) for key in newest]
        found = [each for each in known if each is not None and _may_read(each, client)]
        found.sort(key=lambda each: each.outline.name)
        return Listing(sessions=tuple(found), unread=unread, total=len(newest))

    def find(self, name: str, client: Client) -> Known:
        """Give one session to a client that may read it.

        Raises:
            NotFoundError: there is no such session.
            DeniedError: the client has no certificate, or the access policy does not let it.
        """
        with self._cas.store.reading() as view:
            stored, session = self._cas.sessions.require_readable(view, name, client)
        return _known(session, stored.generation, stored.creator)

    def volume_tags(self, known: Known) -> dict[str, str | None]:
        """Give the states of a session's volumes, as clients that may read the session get them."""
        name = known.outline.name
        with self._cas.store.reading() as view:
            states = view.volumes(name, [each.name for each in known.outline.volumes])
        return {volume: None if state.tag is None else str(state.tag) for volume, state in states.items()}

    def _open(self, rows: SessionRows, newest: list[tuple[bytes, int]]) -> int:
        """Open some of the versions that are not known yet, and give how many are left."""
        with self._lock:
            missing = [key for key in newest if key not in self._known]
        deadline = time.monotonic() + self._seconds
        for number, key in enumerate(missing):
            if number and time.monotonic() > deadline:
                return len(missing) - number
            found = _opened(rows, key)
            with self._lock:
                self._known[key] = found
                while len(self._known) > max(_KEPT_MAX, len(newest)):
                    self._known.popitem(last=False)
        return 0


def _opened(rows: SessionRows, key: tuple[bytes, int]) -> Known | None:
    stored = rows.stored(*key)
    if stored is None:
        return None
    try:
        session = parse_session(stored.text, variables=None)
    except BannockError:  # a version of the program that knew less, or more, has taken it
        return None
    return _known(session, stored.generation, stored.creator)


def _known(session: Session, generation: int, creator: KeyHash) -> Known:
    rests_on_secrets = Section.ACCESS_POLICY in session.unbound or any(_names_secret(operation_rules(session, "read")))
    deciding = replace(session, services=(), images=(), volumes=(), secrets=(), exports=(), warnings=(), document=None)
    return Known(
        outline=outline_of(session, generation=generation, creator=creator),
        shares=shares_of(session),
        creator=creator,
        deciding=None if rests_on_secrets else deciding,
    )


def _names_secret(rules: Iterable[AccessRule]) -> Iterable[bool]:
    for rule in rules:
        yield isinstance(rule, SecretRule) or (isinstance(rule, Threshold) and any(_names_secret(rule.rules)))


def _may_read(known: Known, client: Client) -> bool:
    if known.deciding is None:
        return False
    try:
        decide_access(known.deciding, "read", subject_of(client), known.creator)
    except DeniedError:
        return False
    return True
