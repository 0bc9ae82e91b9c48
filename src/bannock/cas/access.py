"""Access control: the decisions of access policies, with the secrets that they name.

Thread-safe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bannock.errors import BannockError
from bannock.policy.access import AccessSubject, decide_access, operation_rules
from bannock.policy.rules import SecretRule, Threshold
from bannock.policy.template import Placeholder
from bannock.values import KeyHash, Secret

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bannock.cas.records import StoredSession
    from bannock.cas.requests import Fetched
    from bannock.cas.secrets import SecretService
    from bannock.cas.transaction import View
    from bannock.net.peer import Peer
    from bannock.policy.access import Operation
    from bannock.policy.rules import AccessRule
    from bannock.policy.session import Session

__all__ = ["AccessControl", "Client", "client_of", "subject_of"]

#: Who is on a connection: as a subject or, where only its key is known, by that; None shows no certificate.
Client = AccessSubject | KeyHash | None

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

        def secret(name: str) -> Secret | None:
            if values is None:
                return None
            try:
                return Secret(values.render(Placeholder(name=name)))
            except BannockError:
                return None

        decide_access(session, operation, subject, stored.creator, secret=secret)


def _named(session: Session, operation: Operation) -> set[str]:
    """Name the secrets that a decision may depend on; who may read decides on what a refusal tells."""
    rules = [*operation_rules(session, operation), *operation_rules(session, "read")]
    known = {spec.name for spec in session.secrets}
    return set(_secrets_in(rules)) & known


def _secrets_in(rules: Iterable[AccessRule]) -> Iterable[str]:
    for rule in rules:
        match rule:
            case SecretRule():
                yield rule.name
            case Threshold():
                yield from _secrets_in(rule.rules)
