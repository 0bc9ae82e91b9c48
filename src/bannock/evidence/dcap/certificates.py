"""Certificates and revocation lists of Intel's authorities, and the rules that they follow. Pure.

The rules are those of Intel's "SGX PCK Certificate and Certificate Revocation List Profile Specification": one root,
below it the authorities of processors and the signer of collateral; every key is on P-256, and every role has a name.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509.oid import NameOID

from bannock.errors import EvidenceError
from bannock.evidence.der import signed_parts

if TYPE_CHECKING:
    from datetime import datetime

__all__ = [
    "CACHED",
    "Role",
    "load_certificate",
    "load_crl",
    "p256_key",
    "require_issued",
    "require_signed_crl",
    "require_valid",
    "verify_raw_signature",
]

#: What holds of bytes holds for ever: the same few certificates, lists and statements vouch for all quotes of a site.
CACHED: Final = 128
_KNOWN_CRITICAL: Final = frozenset({x509.BasicConstraints.oid, x509.KeyUsage.oid})
_CRL_EXTENSIONS: Final = frozenset({x509.CRLNumber.oid, x509.AuthorityKeyIdentifier.oid})
#: What cryptography raises where a certificate, a list or a part of it is not what it has to be. Where warnings are
#: errors, it raises them too; else what it warns of is refused by a signature, later.
_MALFORMED: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    x509.InvalidVersion,
    UserWarning,
)
_COORDINATE: Final = 32


class Role(Enum):
    """What a certificate is for: its common name, and how many authorities may be below it; None for no authority."""

    ROOT = (frozenset({"Intel SGX Root CA"}), 1)
    PCK_CA = (frozenset({"Intel SGX PCK Platform CA", "Intel SGX PCK Processor CA"}), 0)
    PCK = (frozenset({"Intel SGX PCK Certificate"}), None)
    SIGNER = (frozenset({"Intel SGX TCB Signing"}), None)

    def __init__(self, names: frozenset[str], below: int | None) -> None:
        self.names = names
        self.below = below


@lru_cache(maxsize=CACHED)
def load_certificate(der: bytes, role: Role) -> x509.Certificate:
    """Load a certificate that has a role.

    Raises:
        EvidenceError: it is malformed, or has another role.
    """
    what = _what(role)
    # Not for its parts: cryptography does not look at whether a signature is of whole bytes.
    signed_parts(der, what)
    try:
        certificate = x509.load_der_x509_certificate(der)
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        extensions = {each.oid: each for each in certificate.extensions}
        key = certificate.public_key()
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        version = certificate.version
        _touch(certificate)
    except (*_MALFORMED, x509.ExtensionNotFound) as error:
        raise EvidenceError(f"{what} is malformed") from error
    if len(names) != 1 or names[0].value not in role.names:
        found = [str(each.value)[:80] for each in names]
        raise EvidenceError(f"{what} is one of {', '.join(sorted(role.names))}, found {', '.join(found) or 'none'}")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise EvidenceError(f"{what} is not of a key on P-256")
    unknown = [oid.dotted_string for oid, each in extensions.items() if each.critical and oid not in _KNOWN_CRITICAL]
    if unknown or version is not x509.Version.v3:
        raise EvidenceError(f"{what} is not of version 3, or has critical extensions that are not known")
    is_authority = role.below is not None
    if constraints.ca != is_authority or (usage.key_cert_sign if is_authority else usage.digital_signature) is False:
        raise EvidenceError(f"{what} is {'no' if is_authority else 'an'} authority, or not for signing")
    if role.below is not None and (constraints.path_length is None or constraints.path_length > role.below):
        raise EvidenceError(f"{what} allows more than {role.below} authorities below it")
    return certificate


@lru_cache(maxsize=CACHED)
def require_issued(certificate: x509.Certificate, issuer: x509.Certificate, role: Role) -> None:
    """Require that a certificate was issued by another one, or by itself.

    Raises:
        EvidenceError: names or signature do not agree.
    """
    try:
        certificate.verify_directly_issued_by(issuer)
    except InvalidSignature:
        raise EvidenceError(f"{_what(role)} was not signed by its issuer {_name(issuer)}") from None
    except _MALFORMED as error:
        raise EvidenceError(f"{_what(role)} was not issued by {_name(issuer)}") from error
    if not isinstance(certificate.signature_hash_algorithm, hashes.SHA256):
        raise EvidenceError(f"{_what(role)} is not signed with SHA-256")


def require_valid(certificate: x509.Certificate, at: datetime, role: Role) -> None:
    """Require that a certificate is valid at a time.

    Raises:
        EvidenceError: it is not valid yet, or not any more.
    """
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if at < begin:
        raise EvidenceError(f"{_what(role)} is not valid before {begin:%Y-%m-%d %H:%M:%S} UTC")
    if at >= end:
        raise EvidenceError(f"{_what(role)} expired at {end:%Y-%m-%d %H:%M:%S} UTC")


@lru_cache(maxsize=CACHED)
def load_crl(der: bytes, what: str) -> x509.CertificateRevocationList:
    """Load a revocation list.

    Raises:
        EvidenceError: it is malformed, or is about a part of the certificates only.
    """
    # Not for its parts: cryptography does not look at whether a signature is of whole bytes.
    signed_parts(der, what)
    try:
        crl = x509.load_der_x509_crl(der)
        extensions = {each.oid for each in crl.extensions}
        number = crl.extensions.get_extension_for_class(x509.CRLNumber)
        until = crl.next_update_utc
        _touch(crl)
    except (*_MALFORMED, x509.ExtensionNotFound) as error:
        raise EvidenceError(f"{what} is malformed") from error
    if until is None or not extensions <= _CRL_EXTENSIONS or number.value.crl_number < 0:
        raise EvidenceError(f"{what} has no end, or is not of all certificates")
    return crl


@lru_cache(maxsize=CACHED)
def require_signed_crl(der: bytes, issuer: x509.Certificate, what: str) -> None:
    """Require that a revocation list was issued by an authority.

    Raises:
        EvidenceError: it was not.
    """
    crl = load_crl(der, what)
    try:
        authentic = crl.issuer == issuer.subject and crl.is_signature_valid(p256_key(issuer))
        authentic = authentic and isinstance(crl.signature_hash_algorithm, hashes.SHA256)
    except _MALFORMED as error:
        raise EvidenceError(f"{what} is malformed") from error
    if not authentic:
        raise EvidenceError(f"{what} was not signed by {_name(issuer)}")


def p256_key(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """Give the key of a certificate that :func:`load_certificate` gave."""
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise EvidenceError(f"the key of {_name(certificate)} is not on P-256")
    return key


def verify_raw_signature(key: ec.EllipticCurvePublicKey, signature: bytes, data: bytes, what: str) -> None:
    """Verify r and s, 32 bytes each, over data.

    Raises:
        EvidenceError: the signature does not verify.
    """
    if len(signature) != 2 * _COORDINATE:
        raise EvidenceError(f"the signature of {what} has {2 * _COORDINATE} bytes, found {len(signature)}")
    r, s = (int.from_bytes(each, "big") for each in (signature[:_COORDINATE], signature[_COORDINATE:]))
    try:
        key.verify(encode_dss_signature(r, s), data, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise EvidenceError(f"the signature of {what} does not verify") from None


def _touch(thing: x509.Certificate | x509.CertificateRevocationList) -> None:
    """Look at all that is looked at later: cryptography parses what it is asked for, when it is asked for it.

    Of a list the entries too: one that cannot be parsed may be the one that matters.
    """
    _ = thing.issuer, thing.signature_hash_algorithm, thing.signature_algorithm_parameters
    if isinstance(thing, x509.Certificate):
        _ = thing.not_valid_before_utc, thing.not_valid_after_utc, thing.serial_number
    else:
        _ = thing.last_update_utc, [(each.serial_number, list(each.extensions)) for each in thing]


def _what(role: Role) -> str:
    kinds = {
        Role.ROOT: "the root certificate",
        Role.PCK_CA: "the certificate of the PCK authority",
        Role.PCK: "the PCK certificate",
        Role.SIGNER: "the certificate of the signer of collateral",
    }
    return kinds[role]


def _name(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value)[:80] if names else "an authority without a name"
