"""What sessions have: made when they are posted, and found when they are used.

Thread-safe. Values are made before the transaction that keeps them: a key of RSA takes long, and a vault longer.
"""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bannock.cas.parking import kept_here, park
from bannock.cas.requests import NoRemote
from bannock.cas.resolution import Resolution
from bannock.cas.transaction import Change
from bannock.errors import BannockError, ConflictError, EnvironmentFault, InputError, NotFoundError
from bannock.policy.secret_specs import (
    AadToken,
    ExplicitCertificate,
    GeneratedCertificate,
    ImportedValue,
    SessionCertificate,
    VaultValue,
)
from bannock.policy.secret_values import SecretValues, generate_secrets
from bannock.policy.session import ImportedVolume
from bannock.policy.sharing import find_exported_secret, not_exported, require_version

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Collection

    from bannock.cas.records import StoredSession
    from bannock.cas.requests import Fetched, Remote, Request
    from bannock.cas.resolution import Newest
    from bannock.cas.store import Store
    from bannock.cas.transaction import View
    from bannock.policy.references import SessionReference
    from bannock.policy.resolved import ResolvedSecrets
    from bannock.policy.secret_values import SecretValue
    from bannock.policy.session import Session
    from bannock.policy.sharing import Importer

__all__ = ["Prepared", "SecretService"]

_log = logging.getLogger(__name__)

#: A token first, then what it opens, then what that leads to: more rounds than sessions have use for.
_ROUNDS_MAX: Final = 6
#: Answers that one session may ask for in one go.
_REQUESTS_MAX: Final = 256
#: After this long, nothing more is asked for.
_FETCHING_SECONDS_MAX: Final = 20.0
#: What needs others: keys and issuers.
_CERTIFIED: Final = (GeneratedCertificate, SessionCertificate, ExplicitCertificate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The values of a version of a session that is not there yet.

    Attributes:
        base: the hash of the version that it follows.
        before: what that version has.
        values: what the new one has.
        kept: what is stored of them here.
    """

    base: str | None
    before: SecretValues = field(repr=False)
    values: SecretValues = field(repr=False)
    kept: SecretValues = field(repr=False)

    def require_base(self, stored: StoredSession | None) -> None:
        """Accept the version in force as the one that the values were made from.

        Raises:
            ConflictError: the session was changed meanwhile.
        """
        found = None if stored is None else stored.digest
        if found != self.base:
            raise ConflictError(
                f"the session was changed while its new version was made: it is at {found}, was at {self.base}",
                hint="read the session again, and make the change to what it is now",
            )


class SecretService:
    """Makes and finds the secrets of sessions.

    Args:
        store: that has them.
        newest: gives the version in force of a session.
        random: gives unpredictable bytes.
        clock: tells the time that certificates are valid at.
        remote: answers requests for what is elsewhere.
    """

    def __init__(
        self,
        store: Store,
        newest: Newest,
        *,
        random: Callable[[int], bytes],
        clock: Callable[[], dt.datetime],
        remote: Remote | None = None,
    ) -> None:
        self._store = store
        self._newest = newest
        self._random = random
        self._clock = clock
        self._remote = remote or NoRemote()

    def prepare(self, session: Session) -> Prepared:
        """Make the values of a session that is to be posted, from those of its version in force.

        Certificates whose issuers or keys are not exported yet are made when they first are.

        Raises:
            InputError: a value of the document cannot be used.
            BannockError: the values of the version in force cannot be had.
        """
        base, before = self._before(session.name)
        made = generate_secrets(session, before, self._random, now=self._clock())
        needed = _needed_to_make(session)
        if not needed:
            return Prepared(base=base, before=before, values=made, kept=made)

        def seeded(resolution: Resolution) -> None:
            resolution.seed(session, made)
            resolution.secrets(session, needed)

        fetched = self._fetch(session, seeded)
        with self._store.reading() as view:
            resolution = self._resolution(view, fetched)
            resolution.seed(session, made)
            values, missing = resolution.make_certificates(session)
            store = session.secret_store
            token = None if store is None else resolution.secret(session, store.token).value
        for name, error in missing.items():
            if isinstance(error, InputError):
                raise InputError(f"certificate {name} cannot be used: {error.message}", hint=error.hint) from error
            _log.warning("certificate %s of session %s cannot be made yet: %s", name, session.name, error)
        kept = values
        if store is not None and token is not None:
            kept = park(values, session.digest, store, token, remote=self._remote, random=self._random)
        return Prepared(base=base, before=before, values=values, kept=kept)

    def _before(self, name: str) -> tuple[str | None, SecretValues]:
        """Give the version in force and what it has, from wherever that is kept."""
        with self._store.reading() as view:
            if view.session(name) is None:
                return None, SecretValues()
            stored, session = self._newest(view, name)
            values = view.secret_values(name)
        if values.parked:
            fetched = self._fetch(session, lambda resolution: resolution.values_of(session))
            with self._store.reading() as view:
                now = view.session(name)
                if now is None or now.digest != stored.digest:
                    raise ConflictError(f"session {name} was changed while its values were read", hint="try again")
                values = self._resolution(view, fetched).values_of(session)
        return stored.digest, values

    def leads_elsewhere(self, session: Session) -> bool:
        """Whether anything of a session may be elsewhere, so that :meth:`fetch` may have something to do.

        What is imported from a session here may be elsewhere itself.
        """
        return _leads_elsewhere(session)

    def fetch(self, session: Session, wanted: Collection[str] | None = None, *, hops: int = 0) -> Fetched:
        """Ask for what a session has elsewhere, outside of any transaction, if it may have something there.

        Args:
            session: the version in force.
            wanted: the secrets that are needed; None for all.
            hops: how many other CASes are already waiting for this one.
        """
        return self._fetch(session, lambda resolution: resolution.secrets(session, wanted), hops)

    def _fetch(self, session: Session, look: Callable[[Resolution], object], hops: int = 0) -> Fetched:
        fetched: dict[Request, SecretValue | BannockError] = {}
        if not _leads_elsewhere(session):
            return fetched
        until = time.monotonic() + _FETCHING_SECONDS_MAX
        for _ in range(_ROUNDS_MAX):
            with self._store.reading() as view:
                resolution = self._resolution(view, fetched, hops)
                # What has to be fetched first is an error until it is there.
                with contextlib.suppress(BannockError):
                    look(resolution)
            if not resolution.needed or len(fetched) + len(resolution.needed) > _REQUESTS_MAX:
                break
            for request in resolution.needed:
                try:
                    fetched[request] = self._fetched(request, until)
                except BannockError as error:
                    fetched[request] = error
        return fetched

    def needs_fetching(self, view: View, session: Session) -> bool:
        """Whether :meth:`fetch` would ask anybody for anything: whoever is in a transaction has to leave it then."""
        if not _leads_elsewhere(session):
            return False
        resolution = self._resolution(view, {})
        with contextlib.suppress(BannockError):
            resolution.secrets(session)
        return bool(resolution.needed)

    def _fetched(self, request: Request, until: float) -> SecretValue:
        if time.monotonic() > until:
            raise EnvironmentFault("what is kept elsewhere takes too long to fetch", hint="try again in a moment")
        return self._remote.fetch(request)

    def values(
        self,
        view: View,
        session: Session,
        fetched: Fetched | None = None,
        *,
        wanted: Collection[str] | None = None,
    ) -> ResolvedSecrets:
        """Give what a session has now; in a transaction that changes, certificates that were made anew are kept.

        Args:
            view: the transaction.
            session: the version in force.
            fetched: what :meth:`fetch` gave; a secret that is elsewhere and not in it is an error when it is used.
            wanted: the secrets that are needed; None for all.
        """
        resolution = self._resolution(view, fetched or {})
        resolved = resolution.secrets(session, wanted)
        if isinstance(view, Change):
            _keep(view, resolution)
        return resolved

    def renewed(self, view: View, session: Session, fetched: Fetched, wanted: Collection[str]) -> bool:
        """Whether certificates among these secrets have to be made anew, which takes a transaction that changes."""
        resolution = self._resolution(view, fetched)
        resolution.secrets(session, wanted)
        return any(True for _ in resolution.changed())

    def export(self, reference: SessionReference, secret: str, importer: Importer, *, hops: int) -> SecretValue:
        """Give a secret of a session here to a session on another CAS, which is noted in the audit log.

        Args:
            reference: the session that has it, and the version that the other side wants.
            secret: its name.
            importer: who asks; its CAS is proven, the rest is that CAS's word.
            hops: how many CASes wait for this one.

        Raises:
            DeniedError: it is not exported to that session; whether it is there at all is not told.
            BannockError: it cannot be had, and why.
        """
        try:
            with self._store.reading() as view:
                _, session = self._newest(view, reference.name)
            # Nobody makes this CAS ask others for what he may not have.
            find_exported_secret(session, secret, importer)
            fetched = self.fetch(session, {secret}, hops=hops)
            with self._store.changing() as change:
                _, session = self._newest(change, reference.name)
                find_exported_secret(session, secret, importer)
                require_version(session, reference)
                resolution = self._resolution(change, fetched, hops)
                value = resolution.exported(session, secret, importer)
                _keep(change, resolution)
                change.audit(
                    "secret_exported",
                    {
                        "session": session.name,
                        "secret": secret,
                        "importer": importer.name,
                        "importer-hash": importer.digest,
                        "cas": sorted(str(key) for key in importer.cas or ()),
                    },
                )
        except NotFoundError:
            raise not_exported(reference.name, secret, importer) from None
        return value

    def _resolution(self, view: View, fetched: Fetched, hops: int = 0) -> Resolution:
        return Resolution(view, self._newest, fetched, random=self._random, now=self._clock(), hops=hops)


def _keep(change: Change, resolution: Resolution) -> None:
    for name, values in resolution.changed():
        change.put_secret_values(name, kept_here(values))
        change.audit("certificates_renewed", {"session": name})


def _leads_elsewhere(session: Session) -> bool:
    """Whether anything of a session may be elsewhere; what is imported from a session here may be so itself."""
    return (
        session.secret_store is not None
        or any(isinstance(spec.source, AadToken | VaultValue | ImportedValue) for spec in session.secrets)
        or any(isinstance(volume.key, ImportedVolume) for volume in session.volumes)
    )


def _needed_to_make(session: Session) -> set[str]:
    """Give the secrets without which a session cannot be stored."""
    names = {spec.name for spec in session.secrets if isinstance(spec.source, _CERTIFIED)}
    return names if session.secret_store is None else {*names, session.secret_store.token}
