"""What a CAS says of itself when it is attested, and how evidence is bound to it. Pure.

The statement is JSON with a fixed set of keys; its canonical form (RFC 8785) is what the report data of the evidence
are made of. So evidence vouches for every word: for the keys of the CAS, for the nonce of whoever asks, and for the
TLS connection that the answer came over. docs/formats/cas-attestation.md describes it for other programs.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from bannock.errors import EvidenceError, PeerError
from bannock.net.tls import key_hash_of
from bannock.policy.canonical import canonical_json

if TYPE_CHECKING:
    from bannock.values import KeyHash

__all__ = ["CAS_FORMAT", "CasStatement", "channel_of"]

CAS_FORMAT: Final = "bannock-cas-attestation-1"
#: A statement has three certificates or keys in PEM, and little else.
_PEM_CHARACTERS_MAX: Final = 16 << 10
_NONCE_CHARACTERS_MAX: Final = 128
_REPORT_CONTEXT: Final = b"bannock cas attestation 1\0"
_CHANNEL_CONTEXT: Final = b"bannock cas channel 1\0"


def channel_of(exporter: bytes) -> str:
    """Give what a statement names its TLS connection by; it tells nothing of the exporter value itself."""
    return hashlib.sha256(_CHANNEL_CONTEXT + exporter).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class CasStatement:
    """The statement.

    Attributes:
        nonce: of whoever asks, up to 64 bytes as hexadecimal digits; None if none was given.
        channel: the TLS connection that the answer came over (:func:`channel_of`).
        certificate: of the CAS, PEM; its key is who the CAS is.
        software_certificate: of the key that this software has on this CAS, PEM, issued by the key of the CAS.
        session_encryption_key: what sessions for this CAS are encrypted to: P-256 SubjectPublicKeyInfo, PEM.
        provisioned: whether the CAS has an owner.
        provisioning_required: whether it serves nobody before it has one.
        owner_secret_access: whether its owner chose the key that its database is encrypted with.
        version: of the software.
    """

    nonce: str | None
    channel: str
    certificate: str
    software_certificate: str
    session_encryption_key: str
    provisioned: bool
    provisioning_required: bool
    owner_secret_access: bool
    version: str

    @property
    def key_hash(self) -> KeyHash:
        """Who the CAS is."""
        return key_hash_of(x509.load_pem_x509_certificate(self.certificate.encode("ascii")))

    @property
    def software_key_hash(self) -> KeyHash:
        """The key that its software has; another version of the software has another one."""
        return key_hash_of(x509.load_pem_x509_certificate(self.software_certificate.encode("ascii")))

    def to_document(self) -> dict[str, Any]:
        """Give it as it travels."""
        return {
            "nonce": self.nonce,
            "channel": self.channel,
            "cas_certificate": self.certificate,
            "cas_software_certificate": self.software_certificate,
            "session_encryption_key": self.session_encryption_key,
            "provisioned": self.provisioned,
            "provisioning_required": self.provisioning_required,
            "owner_secret_access": self.owner_secret_access,
            "version": self.version,
        }

    def report_data(self) -> bytes:
        """Give the 64 bytes that evidence for it is bound to."""
        return hashlib.sha512(_REPORT_CONTEXT + canonical_json(self.to_document())).digest()

    @classmethod
    def from_document(cls, document: object) -> Self:
        """Parse what :meth:`to_document` gives.

        Raises:
            EvidenceError: it is anything else, or the software's certificate was not issued by the key of the CAS.
        """
        if not isinstance(document, dict) or document.keys() != _KEYS:
            raise EvidenceError(f"a statement of a CAS has the keys {', '.join(sorted(_KEYS))}")
        statement = cls(
            nonce=None if document["nonce"] is None else _text(document, "nonce", _NONCE_CHARACTERS_MAX),
            channel=_text(document, "channel", 64),
            certificate=_text(document, "cas_certificate"),
            software_certificate=_text(document, "cas_software_certificate"),
            session_encryption_key=_text(document, "session_encryption_key"),
            provisioned=_flag(document, "provisioned"),
            provisioning_required=_flag(document, "provisioning_required"),
            owner_secret_access=_flag(document, "owner_secret_access"),
            version=_text(document, "version", 128),
        )
        statement._require_keys()
        return statement

    def _require_keys(self) -> None:
        try:
            certificate, software = (
                x509.load_pem_x509_certificate(pem.encode("ascii"))
                for pem in (self.certificate, self.software_certificate)
            )
            for each in (certificate, software):
                key_hash_of(each)
            software.verify_directly_issued_by(certificate)
            encryption = load_pem_public_key(self.session_encryption_key.encode("ascii"))
        except InvalidSignature:
            raise EvidenceError("the certificate of the CAS software was not issued by the key of the CAS") from None
        except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion, PeerError) as error:
            raise EvidenceError("a certificate or key in the statement of the CAS is malformed") from error
        if not isinstance(encryption, ec.EllipticCurvePublicKey) or not isinstance(encryption.curve, ec.SECP256R1):
            raise EvidenceError("the session-encryption key of a CAS is a P-256 key")


#: Those of a statement as it travels.
_KEYS: Final = frozenset(
    {
        "nonce",
        "channel",
        "cas_certificate",
        "cas_software_certificate",
        "session_encryption_key",
        "provisioned",
        "provisioning_required",
        "owner_secret_access",
        "version",
    }
)


def _text(document: dict[str, Any], name: str, limit: int = _PEM_CHARACTERS_MAX) -> str:
    value = document[name]
    if not isinstance(value, str) or not value.isascii() or len(value) > limit:
        raise EvidenceError(f"{name} in the statement of a CAS is a text of at most {limit} ASCII characters")
    return value


def _flag(document: dict[str, Any], name: str) -> bool:
    value = document[name]
    if not isinstance(value, bool):
        raise EvidenceError(f"{name} in the statement of a CAS is true or false")
    return value
