"""Certificates: read, written in the formats of the session language, and issued.

Pure; time and randomness come in. A certificate travels as a bundle in PEM: the certificate, the chain above it with
the issuer first and the root last, and the private key where it may be known.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID

from bannock.errors import InputError
from bannock.policy.private_keys import PrivateKey, private_key_pem, read_private_key, signature_hash
from bannock.policy.secret_specs import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "COMMON_NAME_MAX",
    "CertificateBundle",
    "CertificateProfile",
    "is_due",
    "issue",
    "require_pair",
]

#: A bundle of a long chain of RSA certificates has less.
_BUNDLE_BYTES_MAX: Final = 1 << 20
_CERTIFICATES_MAX: Final = 32
#: Clocks of peers are behind by less.
_SKEW: Final = dt.timedelta(minutes=5)
#: "No well-defined expiration date" (RFC 5280, section 4.1.2.5).
_NEVER: Final = dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
#: What is left of the validity when a certificate is made anew: a third.
_LEFT: Final = 3
#: The longest common name (RFC 5280, appendix A.1).
COMMON_NAME_MAX: Final = 64
#: Positive, and at most 20 octets as DER (RFC 5280, section 4.1.2.2).
_SERIAL_BYTES: Final = 19

_KEY_BLOCK: Final = re.compile(
    rb"-----BEGIN (?P<kind>(?:[A-Z]+ )?PRIVATE KEY)-----.*?-----END (?P=kind)-----", re.DOTALL
)
_USAGES: Final = {
    Endpoint.SERVER: ExtendedKeyUsageOID.SERVER_AUTH,
    Endpoint.CLIENT: ExtendedKeyUsageOID.CLIENT_AUTH,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateBundle:
    """A certificate with what belongs to it; ``chain`` begins with its issuer and ends with the root."""

    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...] = ()
    private_key: PrivateKey | None = field(default=None, repr=False)

    @classmethod
    def from_pem(cls, text: bytes, *, known: bool = True) -> Self:
        """Read certificates, the first being the bundle's own, and a private key if there is one.

        Args:
            text: the bundle.
            known: it was made or read here before (:func:`~bannock.policy.private_keys.read_private_key`).

        Raises:
            InputError: there is no certificate, or something of it is malformed; the text is not repeated.
        """
        if len(text) > _BUNDLE_BYTES_MAX:
            raise InputError(f"a certificate with its chain has at most {_BUNDLE_BYTES_MAX} bytes, found {len(text)}")
        try:
            with warnings.catch_warnings():
                # Serial numbers and names that are not as they should be are the matter of whoever made them.
                warnings.simplefilter("ignore")
                certificates = x509.load_pem_x509_certificates(text)
        except ValueError:
            raise InputError("expected a certificate in PEM (-----BEGIN CERTIFICATE-----)") from None
        if len(certificates) > _CERTIFICATES_MAX:
            raise InputError(f"a chain has at most {_CERTIFICATES_MAX} certificates, found {len(certificates)}")
        key = _KEY_BLOCK.search(text)
        return cls(
            certificate=certificates[0],
            chain=tuple(certificates[1:]),
            private_key=None if key is None else read_private_key(key[0], known=known),
        )

    def to_pem(self) -> bytes:
        """Write what :meth:`from_pem` reads; secret if there is a private key."""
        key = b"" if self.private_key is None else private_key_pem(self.private_key).reveal()
        return self.certificate_pem + self.chain_pem + key

    @property
    def certificate_pem(self) -> bytes:
        """The certificate alone."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def certificate_der(self) -> bytes:
        """The certificate alone, in DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def chain_pem(self) -> bytes:
        """The chain without the certificate, the issuer first."""
        return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in self.chain)

    @property
    def reversed_chain_pem(self) -> bytes:
        """The chain as language version 0.2 gives it: the root first, the certificate itself last."""
        ordered = (*reversed(self.chain), self.certificate)
        return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in ordered)

    @property
    def public_key_der(self) -> bytes:
        """The certified key, as DER SubjectPublicKeyInfo.

        Raises:
            InputError: it is of a kind that the library does not read.
        """
        return _public_key_of(self.certificate)

    def key(self) -> PrivateKey:
        """Give the private key.

        Raises:
            InputError: it is not accessible.
        """
        if self.private_key is None:
            raise InputError(
                "the private key of the certificate is not accessible",
                hint="name it with private_key; for an imported certificate, have it exported beside the certificate",
            )
        return self.private_key

    def to_pkcs12(self) -> bytes:
        """Write certificate, key and chain as PKCS #12, encrypted with the empty password.

        Raises:
            InputError: the private key is not accessible.
        """
        return pkcs12.serialize_key_and_certificates(
            None, self.key(), self.certificate, list(self.chain), _empty_password()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateProfile:
    """What a certificate says, beside its key and who issued it; ``valid_for`` None: for ever."""

    common_name: str
    authority: bool
    endpoint: Endpoint | None = None
    dns_names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    valid_for: dt.timedelta | None = None


def issue(
    profile: CertificateProfile,
    key: PrivateKey,
    issuer: CertificateBundle | None,
    *,
    random: Callable[[int], bytes],
    now: dt.datetime,
) -> CertificateBundle:
    """Make a certificate for a key; without an issuer it is self-signed. The bundle holds no private key.

    It is never valid for longer than its issuer.

    Raises:
        InputError: the issuer's private key is not accessible, it is no authority, it has expired, or a name is none
            that a certificate can hold.
    """
    signing_key = key if issuer is None else _issuing_key(issuer, now)
    try:
        return _issued(profile, key, signing_key, issuer, random=random, now=now)
    except ValueError as error:
        raise InputError(f"no certificate can say what is asked for: {error}") from error


def _issued(
    profile: CertificateProfile,
    key: PrivateKey,
    signing_key: PrivateKey,
    issuer: CertificateBundle | None,
    *,
    random: Callable[[int], bytes],
    now: dt.datetime,
) -> CertificateBundle:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, profile.common_name)])
    until = _NEVER if profile.valid_for is None else now.replace(microsecond=0) + profile.valid_for
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(random(_SERIAL_BYTES), "big") | 1)
        .not_valid_before(now.replace(microsecond=0) - _SKEW)
        .not_valid_after(until if issuer is None else min(until, issuer.certificate.not_valid_after_utc))
    )
    for extension, critical in _extensions(profile, key, signing_key):
        builder = builder.add_extension(extension, critical=critical)
    return CertificateBundle(
        certificate=builder.sign(signing_key, signature_hash(signing_key)),
        chain=() if issuer is None else (issuer.certificate, *issuer.chain),
    )


def is_due(certificate: x509.Certificate, now: dt.datetime) -> bool:
    """Whether less than a third of the validity is left."""
    until = certificate.not_valid_after_utc
    return (until - now) * _LEFT < until - certificate.not_valid_before_utc


def require_pair(bundle: CertificateBundle, key: PrivateKey) -> None:
    """Accept a private key that a certificate is for.

    Raises:
        InputError: it is for another key.
    """
    if bundle.public_key_der != _public_der(key):
        raise InputError("the certificate is for another key than the private key beside it")


def _issuing_key(issuer: CertificateBundle, now: dt.datetime) -> PrivateKey:
    key = issuer.key()
    require_pair(issuer, key)
    try:
        constraints = issuer.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        authority = constraints.ca
    except (x509.ExtensionNotFound, ValueError):
        authority = False
    if not authority:
        raise InputError("the certificate of the issuer is not that of a certification authority")
    if issuer.certificate.not_valid_after_utc <= now:
        raise InputError(
            f"the certificate of the issuer has expired at {issuer.certificate.not_valid_after_utc:%F %TZ}"
        )
    return key


def _extensions(
    profile: CertificateProfile, key: PrivateKey, signing_key: PrivateKey
) -> list[tuple[x509.ExtensionType, bool]]:
    usage = dict.fromkeys(
        (
            "content_commitment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    found: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=profile.authority, path_length=None), True),
        (
            x509.KeyUsage(
                digital_signature=not profile.authority,
                # Only RSA keys encrypt the keys of a session (RFC 8446 does without, TLS 1.2 does not).
                key_encipherment=not profile.authority and isinstance(key, rsa.RSAPrivateKey),
                key_cert_sign=profile.authority,
                crl_sign=profile.authority,
                **usage,
            ),
            True,
        ),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), False),
    ]
    if profile.endpoint is not None:
        found.append((x509.ExtendedKeyUsage([_USAGES[profile.endpoint]]), False))
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in profile.dns_names]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in profile.addresses]
    if names:
        found.append((x509.SubjectAlternativeName(names), False))
    return found


def _empty_password() -> serialization.KeySerializationEncryption:
    """Encrypt with the empty password, which the format of the session language asks for.

    It protects nothing, and is not meant to; the library refuses it in its constructor alone.
    """
    encryption = serialization.BestAvailableEncryption(b"set below")
    encryption.password = b""
    return encryption


def _public_key_of(certificate: x509.Certificate) -> bytes:
    try:
        return certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    except (ValueError, UnsupportedAlgorithm):
        raise InputError("the key of the certificate is of a kind that is not supported") from None


def _public_der(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
