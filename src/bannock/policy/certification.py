"""Certificates of a session: made from its keys and issuers, and made anew before they expire.

Pure; time and randomness come in. What keys and issuers a certificate needs may be other sessions', so they are asked
for by name; a certificate whose parts cannot be had is missing, with the reason, until they can.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from bannock.errors import BannockError, InputError
from bannock.policy.certificates import (
    COMMON_NAME_MAX,
    CertificateBundle,
    CertificateProfile,
    is_due,
    issue,
    require_pair,
)
from bannock.policy.private_keys import make_private_key, read_private_key
from bannock.policy.secret_specs import (
    ExplicitCertificate,
    ExplicitValue,
    GeneratedCertificate,
    KeyType,
    SessionCertificate,
)
from bannock.policy.secret_values import SecretValue
from bannock.policy.template import SecretKind
from bannock.values import Secret

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    from bannock.policy.private_keys import PrivateKey
    from bannock.policy.secret_specs import SecretSpec
    from bannock.policy.secret_values import SecretValues
    from bannock.policy.session import Session

__all__ = ["CERTIFICATES", "Certification"]

#: Kinds whose values are bundles in PEM.
CERTIFICATES: Final = frozenset({SecretKind.X509, SecretKind.X509_CA, SecretKind.SESSION_CA})


class Certification:
    """Makes the certificates of one session, each when it is asked for; used by one thread.

    Args:
        session: whose certificates they are.
        values: what it has; :attr:`values` is what it has after certificates were made.
        imported: gives a secret that the session does not have itself; raises where it cannot be had.
        random: gives as many unpredictable bytes as it is asked for.
        now: the time.
    """

    def __init__(
        self,
        session: Session,
        values: SecretValues,
        imported: Callable[[str], SecretValue],
        *,
        random: Callable[[int], bytes],
        now: dt.datetime,
    ) -> None:
        self.values = values
        self._specs = {spec.name: spec for spec in session.secrets}
        self._session = session
        self._imported = imported
        self._random = random
        self._now = now
        self._done: dict[str, CertificateBundle] = {}
        self._open: list[str] = []

    def make_all(self) -> dict[str, BannockError]:
        """Make every certificate that can be made, check those that were given, and tell why others cannot be."""
        missing: dict[str, BannockError] = {}
        for spec in self._session.secrets:
            if isinstance(spec.source, GeneratedCertificate | SessionCertificate | ExplicitCertificate):
                try:
                    self.bundle(spec.name)
                except BannockError as error:
                    missing[spec.name] = error
        return missing

    def bundle(self, name: str) -> CertificateBundle:
        """Give a certificate with its chain, and with its private key where the session has access to that.

        Raises:
            InputError: it cannot be made of what it refers to.
            BannockError: what it refers to cannot be had.
        """
        if name not in self._done:
            if name in self._open:
                raise InputError(f"the issuers of certificate {name} form a circle: {' ← '.join([*self._open, name])}")
            self._open.append(name)
            try:
                self._done[name] = self._bundle(name)
            finally:
                self._open.pop()
        return self._done[name]

    def _bundle(self, name: str) -> CertificateBundle:
        spec = self._specs.get(name)
        match spec.source if spec is not None else None:
            case GeneratedCertificate() as asked if spec is not None:
                return self._generated(spec, asked)
            case SessionCertificate():
                return self._session_certificate(name)
            case ExplicitCertificate() | ExplicitValue() as given if name in self.values.secrets:
                return self._explicit(name, given)
            case _:
                return CertificateBundle.from_pem(self._imported_certificate(name).value.reveal())

    def _imported_certificate(self, name: str) -> SecretValue:
        found = self._imported(name)
        if found.kind not in CERTIFICATES:
            raise InputError(f"secret {name} is of kind {found.kind}, expected a certificate")
        return found

    def _generated(self, spec: SecretSpec, asked: GeneratedCertificate) -> CertificateBundle:
        stored = self.values.secrets.get(spec.name)
        before = None if stored is None else CertificateBundle.from_pem(stored.value.reveal())
        key = self._key_of(asked, before)
        issuer = self._issuer_of(asked)
        if before is not None and self._holds(before, key, issuer):
            return replace(before, private_key=key)
        made = issue(_profile(spec, asked), key, issuer, random=self._random, now=self._now)
        kept = replace(made, private_key=key) if asked.private_key is None else made
        self._keep(spec.name, spec.kind or SecretKind.X509, kept)
        return replace(made, private_key=key)

    def _holds(self, before: CertificateBundle, key: PrivateKey, issuer: CertificateBundle | None) -> bool:
        """Whether a certificate is still what would be made, and has more than a third of its time left."""
        expected = () if issuer is None else (issuer.certificate, *issuer.chain)
        try:
            require_pair(before, key)
        except InputError:
            return False
        return before.chain == expected and not is_due(before.certificate, self._now)

    def _key_of(self, asked: GeneratedCertificate, before: CertificateBundle | None) -> PrivateKey:
        if asked.private_key is not None:
            return self._private_key(asked.private_key)
        if before is not None and before.private_key is not None:
            return before.private_key
        return make_private_key(KeyType.P256, self._random)

    def _private_key(self, name: str) -> PrivateKey:
        found = self.values.secrets.get(name) or self._imported(name)
        if found.kind is not SecretKind.PRIVATE_KEY:
            raise InputError(f"secret {name} is of kind {found.kind}, expected a private key")
        return read_private_key(found.value.reveal(), known=True)

    def _issuer_of(self, asked: GeneratedCertificate) -> CertificateBundle | None:
        if asked.issuer is not None:
            return self.bundle(asked.issuer)
        return self._authority() if asked.private_key is None else None

    def _explicit(self, name: str, given: ExplicitCertificate | ExplicitValue) -> CertificateBundle:
        bundle = CertificateBundle.from_pem(self.values.secrets[name].value.reveal())
        if isinstance(given, ExplicitValue):
            return bundle
        if given.issuer is not None and not bundle.chain:
            issuer = self.bundle(given.issuer)
            bundle = replace(bundle, chain=(issuer.certificate, *issuer.chain))
        if given.private_key is not None:
            key = self._private_key(given.private_key)
            require_pair(bundle, key)
            bundle = replace(bundle, private_key=key)
        return bundle

    def _session_certificate(self, name: str) -> CertificateBundle:
        """Give the certificate that signs the others; its key is not for services."""
        public = replace(self._authority(), private_key=None)
        stored = self.values.secrets.get(name)
        if stored is None or stored.value.reveal() != public.to_pem():
            self._keep(name, SecretKind.SESSION_CA, public)
        return public

    def _authority(self) -> CertificateBundle:
        if self.values.authority is None:
            profile = CertificateProfile(common_name=_shortened(self._session.name), authority=True)
            key = make_private_key(KeyType.P256, self._random)
            made = replace(issue(profile, key, None, random=self._random, now=self._now), private_key=key)
            self.values = replace(self.values, authority=Secret(made.to_pem()))
            return made
        return CertificateBundle.from_pem(self.values.authority.reveal())

    def _keep(self, name: str, kind: SecretKind, bundle: CertificateBundle) -> None:
        value = SecretValue(kind=kind, value=Secret(bundle.to_pem()), generated=True)
        self.values = replace(self.values, secrets={**self.values.secrets, name: value})


def _profile(spec: SecretSpec, asked: GeneratedCertificate) -> CertificateProfile:
    name = asked.common_name or next((name for name in asked.dns_names if len(name) <= COMMON_NAME_MAX), None)
    return CertificateProfile(
        common_name=name or _shortened(spec.name),
        authority=spec.kind is SecretKind.X509_CA,
        endpoint=asked.endpoint,
        dns_names=asked.dns_names,
        addresses=asked.addresses,
        valid_for=asked.valid_for,
    )


def _shortened(name: str) -> str:
    return name[-COMMON_NAME_MAX:]
