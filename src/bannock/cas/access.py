"""Access control: the decisions of access policies, with the secrets that they name.

Thread-safe.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from bannock.errors import BannockError, DeniedError, InputError
from bannock.policy.access import AccessSubject, decide_access, operation_rules
from bannock.policy.binding import bind_session
from bannock.policy.rules import SecretRule, Threshold
from bannock.policy.session import Section
from bannock.policy.template import Placeholder, Template, is_placeholder
from bannock.values import KeyHash, Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bannock.cas.records import StoredSession
    from bannock.cas.requests import Fetched
    from bannock.cas.secrets import SecretService
    from bannock.cas.transaction import View
    from bannock.net.peer import Peer
    from bannock.policy.access import Operation
    from bannock.policy.canonical import JsonValue
    from bannock.policy.resolved import ResolvedSecrets
    from bannock.policy.rules import AccessRule
    from bannock.policy.session import Session

__all__ = ["AccessControl", "Client", "client_of", "subject_of"]

#: Who is on a connection: as a subject or, where only its key is known, by that; None shows no certificate.
Client = AccessSubject | KeyHash | None

_log = logging.getLogger(__name__)

_SUBJECT: Final = "subject"


def subject_of(client: Client) -> AccessSubject:
    """Give a client as the subject of access policies."""
    return client if isinstance(client, AccessSubject) else AccessSubject(key_hash=client)


def client_of(peer: Peer) -> AccessSubject:
    """Give who is on a connection; the certificate is hashed once."""
    found = peer.state.get(_SUBJECT)
    if not isinstance(found, AccessSubject):
        found = AccessSubject(key_hash=peer.key_hash, certificate_pem_hash=peer.certificate_pem_hash)
        peer.state[_SUBJECT] = found
    return found


class AccessControl:
    """Decides on operations on sessions."""

    def __init__(self, secrets: SecretService) -> None:
        self._secrets = secrets

    def fetch(self, session: Session, operation: Operation) -> Fetched:
        """Ask for what decisions need from elsewhere; in a transaction that changes nothing, or in none."""
        wanted = _named(session, operation)
        return self._secrets.fetch(session, wanted) if wanted else {}

    def require(
        self,
        view: View,
        stored: StoredSession,
        session: Session,
        operation: Operation,
        subject: AccessSubject,
        *,
        fetched: Fetched | None = None,
    ) -> None:
        """Accept that somebody does something with a session.

        Args:
            view: the transaction.
            stored: the version in force.
            session: the same one, parsed.
            operation: what is to be done.
            subject: who asks.
            fetched: what :meth:`fetch` gave; None where the transaction changes nothing, so that it may be asked here.

        Raises:
            DeniedError: the access policy does not let them.
        """
        wanted = _named(session, operation)
        values = None
        if wanted:
            answers = self.fetch(session, operation) if fetched is None else fetched
            values = self._secrets.values(view, session, answers, wanted=wanted)
            session = _bound(session, values)

        def secret(name: str) -> Secret | None:
            if values is None:
                return None
            try:
                return Secret(values.render(Placeholder(name=name)))
            except BannockError:
                return None

        decide_access(session, operation, subject, stored.creator, secret=secret)


def _bound(session: Session, values: ResolvedSecrets) -> Session:
    """Put secrets into the access policy where they stand for parts of it; without them it lets nobody in."""

    def value(placeholder: Placeholder) -> JsonValue:
        try:
            return values.structure(placeholder)
        except (InputError, DeniedError):
            raise
        except BannockError as error:
            raise DeniedError("the secret cannot be had now") from error

    if Section.ACCESS_POLICY not in session.unbound:
        return session
    try:
        return bind_session(session, value, sections={Section.ACCESS_POLICY})
    except InputError as error:
        lines = "; ".join([error.message, *error.reasons])
        _log.warning("the access policy of session %s cannot be put together: %s", session.name, lines)
        return session


def _named(session: Session, operation: Operation) -> set[str]:
    """Name the secrets that a decision may depend on; who may read decides on what a refusal tells."""
    known = {spec.name for spec in session.secrets}
    if Section.ACCESS_POLICY in session.unbound and isinstance(session.document, dict):
        return set(_placed_in(session.document.get("access_policy"), known)) & known
    rules = [*operation_rules(session, operation), *operation_rules(session, "read")]
    return set(_secrets_in(rules)) & known


def _placed_in(part: JsonValue, known: set[str]) -> Iterator[str]:
    """Name the secrets that a part of a document has placeholders for."""
    match part:
        case dict():
            for value in part.values():
                yield from _placed_in(value, known)
        case list():
            for value in part:
                yield from _placed_in(value, known)
        case str() if is_placeholder(part):
            yield from (placeholder.within(known).name for placeholder in Template.parse(part).placeholders)


def _secrets_in(rules: Iterable[AccessRule]) -> Iterable[str]:
    for rule in rules:
        match rule:
            case SecretRule():
                yield rule.name
            case Threshold():
                yield from _secrets_in(rule.rules)
