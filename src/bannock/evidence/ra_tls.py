"""Certificates that carry evidence of who has their key (RA-TLS), so that any TLS library can show it. Pure.

The certificate is signed by its own key. An extension (RFC 9999, id-pe-cmw) has a collection of conceptual messages:
``evidence`` is a statement with an envelope that is bound to it, ``result`` a token of the CAS, if there is one. The
statement names the key, and the session that the enclave was configured by: the same program, configured by somebody
else, is another service.

What such a certificate says, it says of its key, and of the time when it was made. See docs/relying-parties.md.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bannock.errors import EvidenceError, InputError
from bannock.evidence.der import Der, signed_parts
from bannock.evidence.envelope import ENVELOPE_BYTES_MAX
from bannock.evidence.token import TOKEN_CHARACTERS_MAX
from bannock.policy.base64url import base64url, unbase64url
from bannock.policy.canonical import canonical_json
from bannock.values import KeyHash

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric import ec

    from bannock.policy.canonical import JsonValue

__all__ = ["AUDIENCE", "CERTIFICATE_BYTES_MAX", "RaTlsCertificate", "RaTlsStatement", "make_certificate"]

#: Whom tokens in certificates are for: whoever is shown the certificate.
AUDIENCE: Final = "urn:bannock:ra-tls"
CERTIFICATE_BYTES_MAX: Final = 2 * (ENVELOPE_BYTES_MAX + TOKEN_CHARACTERS_MAX)
_OID: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.35")
_UTF8_STRING: Final = 0x0C
_COLLECTION: Final = "tag:bannock,2026:ra-tls"
_TYPE_KEY: Final = "__cmwc_t"
_EVIDENCE: Final = "application/vnd.bannock.ra-tls-evidence+json"
_RESULT: Final = "application/eat+jwt"
#: Which conceptual messages a record has (RFC 9999): bits for evidence and for attestation results.
_IS_EVIDENCE: Final = 1 << 2
_IS_RESULT: Final = 1 << 3
_STATEMENT_FORMAT: Final = "bannock-ra-tls-1"
_CONTEXT: Final = b"bannock ra-tls 1\0"
_NAME_CHARACTERS_MAX: Final = 1024
_VERSION: Final = 0xA0
_MALFORMED: Final = (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.InvalidVersion)
#: What a peer's clock may be late.
_BEFORE: Final = dt.timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class RaTlsStatement:
    """What an enclave says of itself in its certificate, and evidence is bound to.

    Attributes:
        key: hash of the certificate's key.
        cas: the key of the CAS that gave it its configuration.
        session, service: what it was configured as.
    """

    key: KeyHash
    cas: KeyHash
    session: str
    service: str

    def to_document(self) -> dict[str, JsonValue]:
        """Give it as it travels."""
        return {
            "format": _STATEMENT_FORMAT,
            "key": str(self.key),
            "cas": str(self.cas),
            "session": self.session,
            "service": self.service,
        }

    def report_data(self) -> bytes:
        """Give the 64 bytes that evidence for it is bound to."""
        return hashlib.sha512(_CONTEXT + canonical_json(self.to_document())).digest()

    @classmethod
    def from_document(cls, document: object) -> Self:
        """Parse what :meth:`to_document` gives.

        Raises:
            EvidenceError: it is anything else.
        """
        try:
            if not isinstance(document, dict) or document["format"] != _STATEMENT_FORMAT:
                raise EvidenceError(f"the statement of an RA-TLS certificate is of format {_STATEMENT_FORMAT}")
            session, service = (_name(document[name]) for name in ("session", "service"))
            key, cas = (KeyHash.from_base58(_name(document[name])) for name in ("key", "cas"))
        except (KeyError, InputError) as error:
            raise EvidenceError("the statement of an RA-TLS certificate is malformed") from error
        statement = cls(key=key, cas=cas, session=session, service=service)
        if statement.to_document() != document:
            raise EvidenceError("the statement of an RA-TLS certificate has something else in it")
        return statement


@dataclass(frozen=True, slots=True, kw_only=True)
class RaTlsCertificate:
    """A certificate that was taken apart. Its signature holds; what it carries is not verified.

    Attributes:
        key: DER SubjectPublicKeyInfo.
        statement: what the enclave says of itself.
        evidence: the envelope that is to be bound to the statement.
        token: of a CAS, or None.
        not_before, not_after: from when until when it says that it holds.
    """

    key: bytes
    statement: RaTlsStatement
    evidence: bytes
    token: str | None
    not_before: dt.datetime
    not_after: dt.datetime

    @classmethod
    def from_der(cls, data: bytes) -> Self:
        """Take a certificate apart.

        Raises:
            EvidenceError: it is none, is not signed by its own key, or carries no evidence.
        """
        if len(data) > CERTIFICATE_BYTES_MAX:
            raise EvidenceError(f"an RA-TLS certificate has at most {CERTIFICATE_BYTES_MAX} bytes, found {len(data)}")
        _require_form(data)
        try:
            certificate = x509.load_der_x509_certificate(data)
            certificate.verify_directly_issued_by(certificate)
            key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            extension = certificate.extensions.get_extension_for_oid(_OID).value
            not_before, not_after = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        except x509.ExtensionNotFound:
            raise EvidenceError("the certificate carries no evidence: it has no extension id-pe-cmw") from None
        except InvalidSignature:
            raise EvidenceError("the certificate is not signed by its own key") from None
        except _MALFORMED as error:
            raise EvidenceError("the certificate is malformed") from error
        if not isinstance(extension, x509.UnrecognizedExtension):
            raise EvidenceError("the extension id-pe-cmw of the certificate is malformed")
        statement, evidence, token = _collection(extension.value)
        if statement.key != KeyHash(hashlib.sha256(key).digest()):
            raise EvidenceError("the evidence in the certificate is for another key than that of the certificate")
        return cls(
            key=key,
            statement=statement,
            evidence=evidence,
            token=token,
            not_before=not_before,
            not_after=not_after,
        )

    def require_valid(self, at: dt.datetime) -> None:
        """Accept the dates of the certificate.

        Raises:
            EvidenceError: it does not hold at that time.
        """
        if not self.not_before <= at <= self.not_after:
            raise EvidenceError(
                f"the certificate holds from {self.not_before.isoformat()} to {self.not_after.isoformat()}, "
                f"it is {at.isoformat(timespec='seconds')}"
            )


def make_certificate(
    key: ec.EllipticCurvePrivateKey,
    statement: RaTlsStatement,
    *,
    evidence: bytes,
    token: str | None,
    at: dt.datetime,
    lifetime: dt.timedelta,
) -> x509.Certificate:
    """Make the certificate of an enclave.

    Args:
        key: of the enclave.
        statement: what it says of itself.
        evidence: an envelope that is bound to the statement.
        token: of the CAS, for :data:`AUDIENCE`, that names the key.
        at: when it is made.
        lifetime: how long it holds.
    """
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, statement.service[:64])])
    start = at.replace(microsecond=0)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - _BEFORE)
        .not_valid_after(start + lifetime)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.UnrecognizedExtension(_OID, _extension(statement, evidence, token)), critical=False)
        .sign(key, hashes.SHA256())
    )


def _require_form(data: bytes) -> None:
    """Refuse what the library warns of or passes over: serial numbers below 1, and bits of a signature that are none.

    Raises:
        EvidenceError: the certificate is so.
    """
    contents = Der(signed_parts(data, "certificate").content, "certificate")
    contents.optional(_VERSION)
    if contents.integer() < 1:
        raise EvidenceError("the serial number of the certificate is below 1")


def _extension(statement: RaTlsStatement, evidence: bytes, token: str | None) -> bytes:
    bound: dict[str, JsonValue] = {"statement": statement.to_document(), "evidence": json.loads(evidence)}
    collection: dict[str, JsonValue] = {
        _TYPE_KEY: _COLLECTION,
        "evidence": [_EVIDENCE, base64url(canonical_json(bound)), _IS_EVIDENCE],
    }
    if token is not None:
        collection["result"] = [_RESULT, base64url(token.encode("ascii")), _IS_RESULT]
    return _utf8_string(canonical_json(collection))


def _utf8_string(content: bytes) -> bytes:
    """Write an element of DER (X.690, section 8.1.3)."""
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8 or 1, "big")
    head = length if len(content) < 0x80 else bytes([0x80 | len(length)]) + length  # noqa: PLR2004 - the short form
    return bytes([_UTF8_STRING]) + head + content


def _collection(extension: bytes) -> tuple[RaTlsStatement, bytes, str | None]:
    reader = Der(extension, "extension id-pe-cmw of the certificate")
    text = reader.read(_UTF8_STRING)
    reader.end()
    collection = _object(text, "extension id-pe-cmw of the certificate")
    if collection.get(_TYPE_KEY) != _COLLECTION or collection.keys() - {_TYPE_KEY, "evidence", "result"}:
        raise EvidenceError(f"the extension id-pe-cmw of the certificate is no collection of type {_COLLECTION}")
    bound = _object(_record(collection.get("evidence"), _EVIDENCE), "evidence in the certificate")
    if bound.keys() != {"statement", "evidence"}:
        raise EvidenceError("the evidence in the certificate has a statement and an envelope, and nothing else")
    try:
        envelope = canonical_json(bound["evidence"])
    except (ValueError, TypeError, RecursionError) as error:
        raise EvidenceError("the evidence in the certificate is malformed") from error
    token = None
    if "result" in collection:
        try:
            token = _record(collection["result"], _RESULT).decode("ascii")
        except UnicodeDecodeError:
            raise EvidenceError("the attestation result in the certificate is not ASCII") from None
    return RaTlsStatement.from_document(bound["statement"]), envelope, token


def _record(record: object, media_type: str) -> bytes:
    """Read a record of a collection: its type, its value in base64url, and perhaps what kind of message it is."""
    if not isinstance(record, list) or len(record) not in (2, 3) or record[0] != media_type:
        raise EvidenceError(f"a record of type {media_type} was expected in the certificate")
    try:
        return unbase64url(record[1], media_type)
    except InputError as error:
        raise EvidenceError("a record in the certificate is malformed") from error


def _object(data: bytes, what: str) -> Mapping[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise EvidenceError(f"the {what} is no JSON object")
    return found


def _name(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _NAME_CHARACTERS_MAX:
        raise EvidenceError(f"a name in an RA-TLS certificate is a text of at most {_NAME_CHARACTERS_MAX} characters")
    return value
