"""Certificates of TPMs: from that of a key up to an authority that is trusted. Pure; time is an argument.

TCG EK Credential Profile for TPM Family 2.0 says what they have in them. Chains are put together here and not by the
library's verifier, which is for names of servers: keys of TPMs have none.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtensionOID

from bannock.errors import EvidenceError
from bannock.evidence.appraisal import Bound, Finding
from bannock.evidence.der import signed_parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from bannock.evidence.endorsements import Endorsements

__all__ = ["Chain", "chain_of", "load_certificate", "load_certificates"]

#: A chain has a certificate of a key, of its issuer, and of that one's issuers.
_LENGTH_MAX: Final = 6
#: Whoever sends certificates decides how many issuers could be meant.
_TRIES_MAX: Final = 64
_RSA_BITS_MIN: Final = 2048
_HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_UNDERSTOOD: Final = (
    x509.BasicConstraints,
    x509.KeyUsage,
    x509.ExtendedKeyUsage,
    x509.SubjectAlternativeName,
    x509.CertificatePolicies,
)
#: For the certificate of the key, and for those of authorities.
_REMEDIES: Final = ("none: the TPM proves itself again", "get its newer certificate")
#: ``cryptography`` warns of names that are too long, and some make errors of warnings.
_MALFORMED: Final = (
    *(ValueError, TypeError, UnsupportedAlgorithm, UserWarning),
    *(x509.DuplicateExtension, x509.InvalidVersion, x509.UnsupportedGeneralNameType),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A chain that holds.

    Attributes:
        certificates: from that of the key up.
        trusted: whether its last one is an authority that is trusted; else it vouches for itself.
        bounds: until when it holds.
        finding: why.
    """

    certificates: tuple[x509.Certificate, ...]
    trusted: bool
    bounds: tuple[Bound, ...]
    finding: Finding

    @property
    def leaf(self) -> x509.Certificate:
        """The certificate of the key."""
        return self.certificates[0]


def load_certificate(data: bytes, what: str) -> x509.Certificate:
    """Parse a certificate, DER.

    Raises:
        EvidenceError: it is none.
    """
    # Not for its parts: cryptography does not look at whether a signature is of whole bytes.
    signed_parts(data, what)
    try:
        certificate = x509.load_der_x509_certificate(data)
        _touch(certificate, ("subject", "issuer", "not_valid_before_utc", "not_valid_after_utc"))
        _touch(certificate, ("signature_hash_algorithm", "serial_number"))
        certificate.public_key()
    except _MALFORMED as error:
        raise EvidenceError(f"{what} is malformed, or of a key that is not supported") from error
    return certificate


def load_certificates(encoded: Iterable[bytes]) -> tuple[x509.Certificate, ...]:
    """Parse those of many certificates that can be; of the others none is used."""
    found: list[x509.Certificate] = []
    for data in dict.fromkeys(encoded):
        try:
            found.append(load_certificate(data, "a certificate"))
        except EvidenceError:
            continue
    return tuple(found)


def chain_of(
    leaf: x509.Certificate, others: Sequence[bytes], endorsements: Endorsements, at: datetime, what: str
) -> Chain:
    """Find the chain of a certificate: to an authority that is trusted, or else to one that vouches for itself.

    Args:
        leaf: of the key.
        others: DER: what came along with it.
        endorsements: further certificates, lists of revoked ones, and the authorities that are trusted.
        at: the time of the verdict.
        what: what the certificate is, for messages.

    Raises:
        EvidenceError: there is none, or something in it has expired or was revoked.
    """
    roots = load_certificates(endorsements.roots)
    search = _Search(roots, load_certificates((*others, *endorsements.certificates)))
    path = search.path(leaf, trusted=True) or search.path(leaf, trusted=False)
    if path is None:
        raise EvidenceError(
            f"no authority that is known here has issued {what}",
            reasons=[f"its issuer is {leaf.issuer.rfc4514_string()[:200]!r}"],
        )
    for certificate in path:
        _require_sound(certificate, at)
    for depth, issuer in enumerate(path[1:]):
        _require_authority(issuer, below=depth)
    bounds = [
        Bound(certificate.not_valid_after_utc, f"certificate of {_name(certificate)}", _REMEDIES[min(depth, 1)])
        for depth, certificate in enumerate(path)
    ]
    crls = _Crls(endorsements.crls, at)
    told = []
    for certificate, issuer in pairwise(path):
        finding, bound = crls.require_not_revoked(certificate, issuer)
        told.append(finding)
        bounds += bound
    trusted = path[-1] in roots
    names = " ← ".join(_name(certificate) for certificate in path)
    return Chain(
        certificates=tuple(path),
        trusted=trusted,
        bounds=tuple(bounds),
        finding=Finding(
            f"{what} leads to an authority that {'is trusted' if trusted else 'vouches for itself: make-believe'}",
            True if trusted else None,
            names,
            tuple(told),
        ),
    )


class _Search:
    """Looks for issuers, with a bound on how many signatures are tried."""

    def __init__(self, roots: tuple[x509.Certificate, ...], others: tuple[x509.Certificate, ...]) -> None:
        self._roots = roots
        self._others = others
        self._tries = 0

    def path(self, certificate: x509.Certificate, *, trusted: bool, length: int = 1) -> list[x509.Certificate] | None:
        """Give a path up to an end, the shortest way first."""
        if certificate in self._roots if trusted else _is_issued_by(certificate, certificate):
            return [certificate]
        if length == _LENGTH_MAX:
            return None
        for issuer in (*(self._roots if trusted else ()), *self._others):
            if issuer.subject != certificate.issuer or issuer == certificate:
                continue
            self._tries += 1
            if self._tries > _TRIES_MAX:
                return None
            if _is_issued_by(certificate, issuer):
                rest = self.path(issuer, trusted=trusted, length=length + 1)
                if rest is not None:
                    return [certificate, *rest]
        return None


class _Crls:
    """Lists of revoked certificates."""

    def __init__(self, encoded: Iterable[bytes], at: datetime) -> None:
        self._at = at
        self._lists: list[x509.CertificateRevocationList] = []
        for data in encoded:
            try:
                # Not for its parts: cryptography does not look at whether a signature is of whole bytes.
                signed_parts(data, "a list of revoked certificates")
                crl = x509.load_der_x509_crl(data)
                _touch(crl, ("issuer", "last_update_utc", "next_update_utc"))
            except (*_MALFORMED, EvidenceError):
                continue
            self._lists.append(crl)

    def require_not_revoked(
        self, certificate: x509.Certificate, issuer: x509.Certificate
    ) -> tuple[Finding, tuple[Bound, ...]]:
        """Say that the issuer may not have revoked a certificate, by the newest list of it that there is."""
        name = _name(issuer)
        lists = [each for each in self._lists if each.issuer == issuer.subject and self._is_of(each, issuer)]
        if not lists:
            return Finding(f"there is no list of certificates that {name} has revoked", None), ()
        newest = max(lists, key=lambda each: each.last_update_utc)
        until = newest.next_update_utc
        if until is None or until <= self._at:
            raise EvidenceError(
                f"the list of certificates that {name} has revoked has expired: nextUpdate {until}, it is {self._at}"
            )
        if newest.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
            raise EvidenceError(f"the certificate of {_name(certificate)} was revoked by {name}")
        what = f"list of certificates that {name} has revoked (nextUpdate)"
        return Finding(f"{name} has not revoked {_name(certificate)}"), (Bound(until, what, "fetch the newer list"),)

    def _is_of(self, each: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
        try:
            key = issuer.public_key()
            if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
                return False
            # One that has only changes, or only some certificates, is no list of all (RFC 5280, section 5.2).
            whole = not any(extension.critical for extension in each.extensions)
            return whole and each.is_signature_valid(key) and each.last_update_utc <= self._at
        except (*_MALFORMED, InvalidSignature):
            return False


def _touch(thing: x509.Certificate | x509.CertificateRevocationList, names: Iterable[str]) -> None:
    """Look at what is looked at later: ``cryptography`` parses what it is asked for, when it is asked for it."""
    for name in names:
        getattr(thing, name)
    list(thing.extensions)


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (*_MALFORMED, InvalidSignature):
        return False
    return True


def _require_sound(certificate: x509.Certificate, at: datetime) -> None:
    name = _name(certificate)
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        raise EvidenceError(
            f"the certificate of {name} is valid from {certificate.not_valid_before_utc} "
            f"to {certificate.not_valid_after_utc}, it is {at}"
        )
    if not isinstance(certificate.signature_hash_algorithm, _HASHES):
        raise EvidenceError(f"the certificate of {name} is signed with a hash that is weak, or not supported")
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _RSA_BITS_MIN:
        raise EvidenceError(f"the key of {name} has {key.key_size} bits, expected {_RSA_BITS_MIN}")
    for extension in certificate.extensions:
        constrains = isinstance(extension.value, x509.NameConstraints)
        if constrains or (extension.critical and not isinstance(extension.value, _UNDERSTOOD)):
            raise EvidenceError(f"the certificate of {name} has an extension {extension.oid.dotted_string} that binds")


def _require_authority(issuer: x509.Certificate, *, below: int) -> None:
    """Say that a certificate has to be one of an authority over so many others."""
    try:
        basic = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
        if not basic.ca or (basic.path_length is not None and basic.path_length < below):
            raise EvidenceError(f"{_name(issuer)} may not issue certificates, or not so many below it")
        if not issuer.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign:
            raise EvidenceError(f"the key of {_name(issuer)} may not sign certificates")
    except x509.ExtensionNotFound as error:
        if error.oid == ExtensionOID.BASIC_CONSTRAINTS:
            raise EvidenceError(f"{_name(issuer)} may not issue certificates") from error


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()[:120] or f"serial number {certificate.serial_number:x}"
