"""What ties the key that signs the audit log to the CAS: a certificate chain, and evidence. Pure."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding

from bannock.errors import IntegrityError, PeerError
from bannock.net.tls import key_hash_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from bannock.net.tls import Identity
    from bannock.values import KeyHash

__all__ = ["audit_report_data", "certified_audit_key", "certify_audit_key"]

_NAME: Final = "CAS audit log"
_CHAIN_MAX: Final = 8
#: The key is the identity, so nothing expires (RFC 5280, section 4.1.2.5).
_NEVER: Final = dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
_LONG_AGO: Final = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


def certify_audit_key(key: Ed25519PublicKey, identity: Identity) -> list[str]:
    """Make the chain of an audit key: its certificate, issued by the key of the CAS, and that of the CAS; in PEM."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, _NAME)]))
        .issuer_name(identity.certificate.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_LONG_AGO)
        .not_valid_after(_NEVER)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    certificate = builder.sign(identity.private_key, hashes.SHA256())
    return [pem.decode("ascii") for pem in (certificate.public_bytes(Encoding.PEM), identity.certificate_pem)]


def certified_audit_key(chain: Sequence[str], expected: Collection[KeyHash]) -> bytes:
    """Give the audit key that a chain certifies, in its 32 bytes.

    Args:
        chain: PEM certificates, that of the audit key first, that of the CAS last.
        expected: keys of the CAS that were attested.

    Raises:
        IntegrityError: it is no chain, or it does not end at a key that is expected.
    """
    if not 1 < len(chain) <= _CHAIN_MAX:
        raise IntegrityError(f"a certificate chain of an audit key has 2 to {_CHAIN_MAX} certificates")
    try:
        certificates = [x509.load_pem_x509_certificate(pem.encode("ascii")) for pem in chain]
        root = key_hash_of(certificates[-1])
        for certificate, issuer in zip(certificates, [*certificates[1:], certificates[-1]], strict=True):
            certificate.verify_directly_issued_by(issuer)
        key = certificates[0].public_key()
    except (ValueError, TypeError, InvalidSignature, PeerError) as error:
        raise IntegrityError("the certificate chain of an audit key does not verify") from error
    if root not in expected:
        raise IntegrityError(
            f"the audit log is of the CAS {root}, expected {' or '.join(str(each) for each in expected)}"
        )
    if not isinstance(key, Ed25519PublicKey):
        raise IntegrityError("the certified audit key is not an Ed25519 key")
    return key.public_bytes_raw()


def audit_report_data(key: bytes) -> bytes:
    """Give what a report is bound to that vouches for an audit key."""
    text = f'{{"type":"CasAuditLogSigningKey", "signing_key":"{key.hex()}"}}'
    return hashlib.sha512(text.encode("utf-8")).digest()
