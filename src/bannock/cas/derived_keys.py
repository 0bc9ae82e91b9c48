"""Keys of a CAS that follow from its identity: nothing has to be stored for them, and every process has the same.

Pure. Whoever does not have the private key of the CAS can neither tell nor compute them.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bannock.errors import Bug
from bannock.evidence.tpm.authority import authority_certificate
from bannock.net.tls import Identity
from bannock.values import Secret

if TYPE_CHECKING:
    from bannock.cas.owner_config import ApiIdentity
    from bannock.values import Measurement

__all__ = [
    "attestation_key_authority",
    "attester_key",
    "certified",
    "provisioning_token",
    "resumption_key",
    "session_encryption_key",
    "software_identity",
    "token_key",
]

_CONTEXT: Final = b"bannock cas derived key 1\0"
_CURVE: Final = ec.SECP256R1()
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
#: 64 bits more than the order has, so that the remainder is even (FIPS 186-5, appendix A.2.1).
_SCALAR_BYTES: Final = 40
_TOKEN_BYTES: Final = 16
#: The key is the identity, so nothing expires (RFC 5280, section 4.1.2.5).
_NEVER: Final = dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
_LONG_AGO: Final = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


def session_encryption_key(identity: Identity) -> ec.EllipticCurvePrivateKey:
    """Give the key that opens sessions which were encrypted for this CAS."""
    return _elliptic(identity, b"session encryption")


def token_key(identity: Identity) -> ec.EllipticCurvePrivateKey:
    """Give the key that signs attestation results for relying parties."""
    return _elliptic(identity, b"attestation results")


def attester_key(identity: Identity) -> Ed25519PrivateKey:
    """Give the key that signs reports of a CAS which attests itself, on a platform that does not do it."""
    return Ed25519PrivateKey.from_private_bytes(_bytes(identity, b"attester", 32))


def attestation_key_authority(identity: Identity) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """Give the authority that vouches for attestation keys of TPMs, which have proven themselves to this CAS."""
    key = _elliptic(identity, b"attestation key authority")
    digest = hashlib.sha256(_CONTEXT + identity.key_hash.value + b"attestation key authority").digest()
    serial = int.from_bytes(digest[:16], "big") >> 1 or 1
    name = f"attestation keys of CAS {str(identity.key_hash)[:16]}"
    return key, authority_certificate(key, name, serial, _LONG_AGO, _NEVER)


def provisioning_token(identity: Identity) -> str:
    """Give the token by which the first owner of this CAS proves to see its console: 32 hexadecimal digits."""
    return _bytes(identity, b"provisioning token", _TOKEN_BYTES).hex()


def resumption_key(identity: Identity) -> Secret:
    """Give the key of what a start of a service shows after a lost connection, instead of a one-time password."""
    return Secret(_bytes(identity, b"resumption", 32))


def software_identity(identity: Identity, measurement: Measurement) -> Identity:
    """Give the key that one software has on this CAS, with a certificate of the CAS over it; always the same two."""
    key = _elliptic(identity, b"software\0" + measurement.value)
    serial = hashlib.sha256(_CONTEXT + identity.key_hash.value + measurement.value).digest()[:16]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "CAS software")]))
        .issuer_name(identity.certificate.subject)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(serial, "big") >> 1 or 1)
        .not_valid_before(_LONG_AGO)
        .not_valid_after(_NEVER)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(identity.private_key, hashes.SHA256(), ecdsa_deterministic=True)
    )
    return Identity(private_key=key, certificate=certificate)


def certified(identity: Identity, wished: ApiIdentity) -> Identity:
    """Give a CAS another certificate over the same key: what the owner wishes, and all names that it had before.

    It is issued by the certificate of the CAS, so who trusts that one, which attestation gives, trusts this one, too.
    """
    oids, name = x509.NameOID, wished
    subject = x509.Name(
        x509.NameAttribute(oid, value)
        for oid, value in (
            (oids.COUNTRY_NAME, name.country_name),
            (oids.STATE_OR_PROVINCE_NAME, name.state_or_province),
            (oids.LOCALITY_NAME, name.locality),
            (oids.ORGANIZATION_NAME, name.org_name),
            (oids.COMMON_NAME, name.common_name),
            (oids.EMAIL_ADDRESS, name.email),
        )
        if value is not None
    )
    before = identity.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    names = dict.fromkeys([*map(_general_name, wished.alt_names), *before])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(identity.certificate.subject)
        .public_key(identity.certificate.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_LONG_AGO)
        .not_valid_after(_NEVER)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(identity.private_key, hashes.SHA256(), ecdsa_deterministic=True)
    )
    return Identity(private_key=identity.private_key, certificate=certificate)


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _elliptic(identity: Identity, purpose: bytes) -> ec.EllipticCurvePrivateKey:
    number = int.from_bytes(_bytes(identity, purpose, _SCALAR_BYTES), "big")
    return ec.derive_private_key(number % (_ORDER - 1) + 1, _CURVE)


def _bytes(identity: Identity, purpose: bytes, length: int) -> bytes:
    key = identity.private_key
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Bug(f"the key of a CAS is on an elliptic curve, found {type(key).__name__}")
    secret = key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8, "big")
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=_CONTEXT + purpose).derive(secret)
