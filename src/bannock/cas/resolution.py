"""One look at what sessions have, in one transaction: own values, imports from sessions here, certificates in force.

Used by one thread and thrown away. What is elsewhere was fetched before; what was not is noted in ``needed``.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, assert_never

from bannock.cas.parking import unpark
from bannock.cas.requests import ImportRequest, TokenRequest, VaultRequest
from bannock.errors import BannockError, DeniedError, EnvironmentFault, IntegrityError, NotFoundError, PeerError
from bannock.policy.certificates import CertificateBundle
from bannock.policy.certification import CERTIFICATES, Certification
from bannock.policy.resolved import ResolvedSecrets, ResolvedVolume
from bannock.policy.secret_specs import (
    AadToken,
    ExplicitCertificate,
    ExplicitValue,
    FragmentValue,
    GeneratedCertificate,
    GeneratedPgpKey,
    GeneratedPrivateKey,
    GeneratedValue,
    ImportedValue,
    SessionCertificate,
    VaultValue,
)
from bannock.policy.session import ExplicitKey, GeneratedKey, ImportedVolume, SecretKey
from bannock.policy.sharing import (
    Importer,
    find_exported_secret,
    find_exported_volume,
    is_exported_to,
    require_kind,
    require_version,
)
from bannock.policy.template import SecretKind
from bannock.values import FspfKey, Secret

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Collection, Iterator

    from bannock.cas.records import StoredSession
    from bannock.cas.requests import Fetched, Request
    from bannock.cas.transaction import View
    from bannock.policy.references import SessionReference
    from bannock.policy.secret_specs import SecretSpec
    from bannock.policy.secret_values import SecretValue, SecretValues
    from bannock.policy.session import Session

    #: Gives the version in force of a session.
    Newest = Callable[[View, str], tuple[StoredSession, Session]]

__all__ = ["Resolution"]

#: Sessions that import what others import form chains; longer ones are taken for an attack on the stack.
_DEPTH_MAX: Final = 16
#: What is made of nothing else.
_LEAF: Final = (ExplicitValue, FragmentValue, GeneratedPgpKey, GeneratedPrivateKey, GeneratedValue)


@dataclass(slots=True, kw_only=True)
class _Own:
    """What a session has of its own; values and certificates change while certificates are made."""

    before: SecretValues
    certification: Certification

    @property
    def values(self) -> SecretValues:
        return self.certification.values


class Resolution:
    """Finds values; :attr:`needed` is what had to be asked for elsewhere and was not.

    Args:
        view: the transaction.
        newest: gives the version in force of a session.
        fetched: answers from elsewhere.
        random: for certificates that are made anew.
        now: the time.
        hops: how many other CASes are already waiting for this one.
    """

    def __init__(
        self,
        view: View,
        newest: Newest,
        fetched: Fetched,
        *,
        random: Callable[[int], bytes],
        now: dt.datetime,
        hops: int = 0,
    ) -> None:
        self.needed: dict[Request, None] = {}
        self._view = view
        self._newest = newest
        self._fetched = fetched
        self._random = random
        self._now = now
        self._hops = hops
        self._own: dict[tuple[str, str], _Own] = {}
        self._open: list[tuple[str, str]] = []

    def seed(self, session: Session, values: SecretValues) -> None:
        """Take a session as if it had these values, instead of what the store has."""
        self._own[session.name, session.digest] = self._certified(session, values)

    def values_of(self, session: Session) -> SecretValues:
        """Give what a session has of its own, from wherever it is kept.

        Raises:
            BannockError: it is kept elsewhere and cannot be had.
        """
        return self._own_of(session).before

    def make_certificates(self, session: Session) -> tuple[SecretValues, dict[str, BannockError]]:
        """Make every certificate of a session that can be made; give its values, and why others cannot be made."""
        own = self._own_of(session)
        missing = own.certification.make_all()
        return own.values, missing

    def changed(self) -> Iterator[tuple[str, SecretValues]]:
        """Give the sessions whose certificates were made anew, and the values that they have now."""
        return ((name, own.values) for (name, _), own in self._own.items() if own.values is not own.before)

    def secrets(self, session: Session, wanted: Collection[str] | None = None) -> ResolvedSecrets:
        """Give what a session has: all of it, or of its secrets those that are wanted and nothing else."""
        found: dict[str, SecretValue | BannockError] = {}
        for spec in session.secrets:
            if wanted is None or spec.name in wanted:
                try:
                    found[spec.name] = self.secret(session, spec.name)
                except IntegrityError:
                    # What was changed behind our back is not a secret that cannot be had: it is told.
                    raise
                except BannockError as error:
                    found[spec.name] = error
        if wanted is not None:
            return ResolvedSecrets(secrets=found)
        keys = self._own_of(session).values.volume_keys
        return ResolvedSecrets(secrets=found, volume_keys=keys, volumes=self._volumes(session))

    def secret(self, session: Session, name: str) -> SecretValue:
        """Give the value of a secret of a session, its own or imported.

        Raises:
            BannockError: it cannot be had, and why.
        """
        spec = next((spec for spec in session.secrets if spec.name == name), None)
        if spec is None:
            raise DeniedError(f"session {session.name} has no secret {name}")
        return self._value(session, spec)

    def _value(self, session: Session, spec: SecretSpec) -> SecretValue:
        if isinstance(spec.source, _LEAF):
            return self._own_of(session).values.find(spec.name)
        with self._entered(session.name, spec.name):
            return self._composed(session, spec)

    def _composed(self, session: Session, spec: SecretSpec) -> SecretValue:
        match spec.source:
            case ImportedValue() as imported:
                return self._imported(session, spec, imported)
            case AadToken() as token:
                return self._answer(TokenRequest(token=token))
            case VaultValue(vault=vault, secret_name=name, token=token):
                opened = self.secret(session, token).value
                return self._answer(VaultRequest(vault=vault, secret_name=name, token=opened, kind=spec.kind))
            case GeneratedCertificate() | SessionCertificate():
                return self._certificate(session, spec)
            case ExplicitCertificate():
                return self._certificate(session, spec)
            case _:
                return self._own_of(session).values.find(spec.name)

    def _certificate(self, session: Session, spec: SecretSpec) -> SecretValue:
        own = self._own_of(session)
        bundle = own.certification.bundle(spec.name)
        return replace(own.values.find(spec.name), value=Secret(bundle.to_pem()))

    def _imported(self, session: Session, spec: SecretSpec, source: ImportedValue) -> SecretValue:
        if source.session.cas is not None:
            found = self._answer(
                ImportRequest(
                    exporter=source.session,
                    secret=source.secret,
                    importer=session.name,
                    digest=session.digest,
                    hops=self._hops + 1,
                )
            )
        else:
            exporter = self._exporter(session, source.session)
            importer = Importer(name=session.name, digest=session.digest)
            try:
                found = self.exported(exporter, source.secret, importer)
            except IntegrityError as error:
                raise DeniedError(
                    f"secret {source.secret} of session {exporter.name} cannot be imported: it was changed"
                ) from error
        require_kind(spec, found.kind)
        return found

    def exported(self, exporter: Session, secret: str, importer: Importer) -> SecretValue:
        """Give a secret of a session to one that imports it: as much of it as is exported.

        Raises:
            DeniedError: it is not exported to that session.
            BannockError: it cannot be had, and why.
        """
        spec = find_exported_secret(exporter, secret, importer)
        found = self.secret(exporter, spec.name)
        if found.kind in CERTIFICATES and not _shares_key(exporter, spec, importer):
            bundle = replace(CertificateBundle.from_pem(found.value.reveal()), private_key=None)
            return replace(found, value=Secret(bundle.to_pem()), generated=False)
        if found.kind is SecretKind.PGP_KEY and not is_exported_to(spec, importer):
            raise DeniedError(
                f"session {exporter.name} exports the public part of OpenPGP key {secret} alone, "
                f"and not to session {importer.name} in particular",
                hint=f"list session {importer.name} under export of the secret",
            )
        return replace(found, generated=False)

    def _exporter(self, session: Session, reference: SessionReference) -> Session:
        try:
            _, exporter = self._newest(self._view, reference.name)
        except NotFoundError as error:
            # Not the session that was asked for is missing, but one that it refers to.
            raise DeniedError(
                f"session {session.name} imports from session {reference.name}, which is not there"
            ) from error
        require_version(exporter, reference)
        return exporter

    def _volumes(self, session: Session) -> dict[str, ResolvedVolume | BannockError]:
        found: dict[str, ResolvedVolume | BannockError] = {}
        for volume in session.volumes:
            if isinstance(volume.key, ImportedVolume):
                try:
                    found[volume.name] = self._volume(session, volume.key)
                except BannockError as error:
                    found[volume.name] = error
        return found

    def _volume(self, session: Session, source: ImportedVolume) -> ResolvedVolume:
        exporter = self._exporter(session, source.session)
        importer = Importer(name=session.name, digest=session.digest)
        name, export = find_exported_volume(exporter, source.volume, importer)
        (volume,) = (one for one in exporter.volumes if one.name == name)
        match volume.key:
            case ExplicitKey(key=key):
                pass
            case SecretKey(secret_name=secret):
                key = FspfKey(self.secret(exporter, secret).value.reveal())
            case GeneratedKey():
                key = self._own_of(exporter).values.volume_key(name)
            case ImportedVolume():
                raise DeniedError(f"volume {name} is not that of session {exporter.name}: import it from whose it is")
            case _:
                assert_never(volume.key)
        return ResolvedVolume(session=exporter.name, name=name, key=key, limit=export.update_policy)

    def _answer(self, request: Request) -> SecretValue:
        answer = self._fetched.get(request)
        if answer is None:
            self.needed[request] = None
            raise EnvironmentFault(
                "a secret that is kept elsewhere was not asked for in time", hint="try again in a moment"
            )
        if isinstance(answer, NotFoundError | PeerError):
            # Nothing that was asked for here is missing, and whoever asks does nothing wrong.
            raise DeniedError(answer.message, hint=answer.hint) from answer
        if isinstance(answer, BannockError):
            raise answer
        return answer

    def _own_of(self, session: Session) -> _Own:
        key = session.name, session.digest
        if key not in self._own:
            self._own[key] = self._certified(session, self._stored(session))
        return self._own[key]

    def _stored(self, session: Session) -> SecretValues:
        stored = self._view.secret_values(session.name)
        if not stored.parked:
            return stored
        if session.secret_store is None:
            raise IntegrityError(f"values of session {session.name} are in a key vault that it does not name")
        token = self.secret(session, session.secret_store.token).value
        return unpark(stored, session.secret_store, token, self._answer)

    def _certified(self, session: Session, values: SecretValues) -> _Own:
        certification = Certification(
            session, values, lambda name: self.secret(session, name), random=self._random, now=self._now
        )
        return _Own(before=values, certification=certification)

    @contextlib.contextmanager
    def _entered(self, session: str, secret: str) -> Iterator[None]:
        """Keep sessions that import from each other in a circle from going round for ever."""
        entry = (session, secret)
        if entry in self._open or len(self._open) >= _DEPTH_MAX:
            way = " ← ".join(f"{name} of {where}" for where, name in (*self._open, entry))
            raise DeniedError(f"secret {secret} of session {session} is imported in a circle, or too often: {way}")
        self._open.append(entry)
        try:
            yield
        finally:
            self._open.pop()


def _shares_key(exporter: Session, spec: SecretSpec, importer: Importer) -> bool:
    """Whether the private key goes with a certificate: it does if it is exported too."""
    match spec.source:
        case GeneratedCertificate(private_key=str(name)) | ExplicitCertificate(private_key=str(name)):
            return any(one.name == name and is_exported_to(one, importer) for one in exporter.secrets)
        case ImportedValue():
            # Whoever wants to hand a key on imports it as a secret of its own.
            return False
        case _:
            # The key is part of the very secret (language version 0.2; a vault), so it goes where that is exported to.
            return is_exported_to(spec, importer)
