"""AMD's certificates: roots (ARK), intermediates (ASK, ASVK) and keys that sign reports (VCEK, VLEK). Pure.

AMD 57230, chapter 3: X.509 version 3, signed with RSASSA-PSS, SHA-384 and a salt of 48 bytes. They are read by our own
reader: the serial number of a VCEK is 0, which ``cryptography`` warns of and announces to refuse.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key

from bannock.errors import EvidenceError
from bannock.evidence.der import Der, signed_parts
from bannock.evidence.snp.tcb import LINES, Tcb, line_of_product

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CERTIFICATE_BYTES_MAX",
    "ChipKey",
    "VendorCertificate",
    "built_in_intermediates",
    "built_in_roots",
    "is_signed_by",
    "signing_key",
    "time_of",
]

#: A VCEK has about 1360 bytes, an ASK about 1640.
CERTIFICATE_BYTES_MAX: Final = 8192
_WHAT: Final = "an AMD certificate"
_PSS: Final = "1.2.840.113549.1.1.10"
_COMMON_NAME: Final = "2.5.4.3"
_KEY_USAGE: Final = "2.5.29.15"
_BASIC_CONSTRAINTS: Final = "2.5.29.19"
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
_IA5_STRING: Final = 0x16
_VERSION: Final = 0xA0
_UNIQUE_IDS: Final = (0x81, 0x82)
_EXTENSIONS: Final = 0xA3
_KEY_CERT_SIGN: Final = 0x04
_RSA_BITS_MIN: Final = 3072
#: Extensions of a VCEK and a VLEK (AMD 57230, table 7).
_AMD: Final = "1.3.6.1.4.1.3704.1"
_PARTS: Final[Mapping[str, str]] = {
    "bootloader": f"{_AMD}.3.1",
    "tee": f"{_AMD}.3.2",
    "snp": f"{_AMD}.3.3",
    "microcode": f"{_AMD}.3.8",
    "fmc": f"{_AMD}.3.9",
}
_PRODUCT: Final = f"{_AMD}.2"
_HWID: Final = f"{_AMD}.4"
_CSP: Final = f"{_AMD}.5"
_HWID_BYTES: Final = 64
_TURIN_HWID_BYTES: Final = 8
_OCTETS_64: Final = b"\x04\x40"
_OCTETS_8: Final = b"\x04\x08"


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorCertificate:
    """One certificate; its signature was not verified.

    Attributes:
        encoded: all of it, DER.
        subject, issuer: names, DER.
        name: the common name of its subject, for example ``ARK-Milan``.
        serial: number.
        not_before, not_after: when it is good.
        key: SubjectPublicKeyInfo, DER.
        signed, signature: what its issuer signed, and how.
        extensions: identifier → content.
    """

    encoded: bytes = field(repr=False)
    subject: bytes = field(repr=False)
    issuer: bytes = field(repr=False)
    name: str
    serial: int
    not_before: datetime
    not_after: datetime
    key: bytes = field(repr=False)
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    extensions: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def from_der(cls, data: bytes) -> Self:
        """Parse one.

        Raises:
            EvidenceError: it is malformed, or not of the kind that AMD issues.
        """
        if len(data) > CERTIFICATE_BYTES_MAX:
            raise EvidenceError(f"{_WHAT} has at most {CERTIFICATE_BYTES_MAX} bytes, found {len(data)}")
        content, signed, algorithm, signature = signed_parts(data, _WHAT)
        body = Der(content, _WHAT)
        if body.read(_VERSION) != b"\x02\x01\x02":
            raise EvidenceError(f"{_WHAT} is of X.509 version 3")
        serial = body.integer()
        if body.element(Der.SEQUENCE)[2] != algorithm or Der(algorithm, _WHAT).inside(Der.SEQUENCE).oid() != _PSS:
            raise EvidenceError(f"{_WHAT} is signed with RSASSA-PSS")
        _, _, issuer = body.element(Der.SEQUENCE)
        dates = body.inside(Der.SEQUENCE)
        not_before, not_after = time_of(dates), time_of(dates)
        dates.end()
        _, _, subject = body.element(Der.SEQUENCE)
        _, _, key = body.element(Der.SEQUENCE)
        for tag in _UNIQUE_IDS:
            body.optional(tag)
        extensions = _extensions(body)
        body.end()
        return cls(
            encoded=data,
            subject=subject,
            issuer=issuer,
            name=_common_name(subject),
            serial=serial,
            not_before=not_before,
            not_after=not_after,
            key=key,
            signed=signed,
            signature=signature,
            extensions=extensions,
        )

    def is_good_at(self, at: datetime) -> bool:
        """Whether a time is between its dates."""
        return self.not_before <= at <= self.not_after

    def require_authority(self) -> None:
        """Require that it may issue certificates.

        Raises:
            EvidenceError: it may not.
        """
        constraints = self.extensions.get(_BASIC_CONSTRAINTS)
        authority = False
        if constraints is not None:
            inside = Der(constraints, _WHAT).inside(Der.SEQUENCE)
            authority = bool(inside) and inside.boolean()
        usage = self.extensions.get(_KEY_USAGE)
        content = b"" if usage is None else Der(usage, _WHAT).read(Der.BIT_STRING)
        if not authority or len(content) < 2 or not content[1] & _KEY_CERT_SIGN:  # noqa: PLR2004 - first bits
            raise EvidenceError(f"certificate {self.name} of the chain may not issue certificates")

    def issued(self, other: VendorCertificate) -> bool:
        """Whether it issued another one, by name and signature."""
        return self.subject == other.issuer and is_signed_by(other.signed, other.signature, self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipKey:
    """What a VCEK or VLEK says beside its key.

    Attributes:
        product: with the stepping where it is of a chip, for example ``Milan-B0``.
        line: of products, for example ``Milan``.
        tcb: that its key was derived for.
        hardware: the chip, as in CHIP_ID of reports; None of a VLEK.
        provider: the cloud that a VLEK was issued to; None of a VCEK.
    """

    product: str
    line: str
    tcb: Tcb
    hardware: bytes | None
    provider: str | None

    @classmethod
    def of(cls, certificate: VendorCertificate) -> Self:
        """Read it from the extensions of a certificate.

        Raises:
            EvidenceError: one is missing or malformed, or the product is not known.
        """
        extensions = certificate.extensions
        product = _text(extensions, _PRODUCT, "product")
        line = line_of_product(product)
        if line is None:
            raise EvidenceError(f"{certificate.name} is for product {product[:40]!r}; known are {', '.join(LINES)}")
        parts = {name: _part(extensions, oid) for name, oid in _PARTS.items() if name != "fmc" or line == "Turin"}
        return cls(
            product=product,
            line=line,
            tcb=Tcb(**parts),
            hardware=_hardware(extensions.get(_HWID)),
            provider=_text(extensions, _CSP, "provider") if _CSP in extensions else None,
        )


def is_signed_by(data: bytes, signature: bytes, key: bytes) -> bool:
    """Whether AMD's way of signing verifies under a key, SubjectPublicKeyInfo in DER."""
    try:
        public = load_der_public_key(key)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False
    if not isinstance(public, rsa.RSAPublicKey) or public.key_size < _RSA_BITS_MIN:
        return False
    try:
        public.verify(signature, data, padding.PSS(padding.MGF1(SHA384()), SHA384.digest_size), SHA384())
    except InvalidSignature:
        return False
    return True


def signing_key(certificate: VendorCertificate) -> ec.EllipticCurvePublicKey:
    """Give the key that signs reports.

    Raises:
        EvidenceError: it is none.
    """
    try:
        key = load_der_public_key(certificate.key)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise EvidenceError(f"the key of {certificate.name} is malformed") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise EvidenceError(f"the key of {certificate.name} is a P-384 key")
    return key


@cache
def built_in_roots() -> Mapping[str, VendorCertificate]:
    """Give AMD's roots: line of products → ARK."""
    return {line: _built_in(f"amd-ark-{line.lower()}") for line in LINES}


@cache
def built_in_intermediates() -> tuple[VendorCertificate, ...]:
    """Give AMD's intermediates, so that a chip's certificate suffices: each is signed by a root all the same."""
    return (*(_built_in(f"amd-ask-{line.lower()}") for line in LINES), _built_in("amd-asvk-milan"))


def _built_in(name: str) -> VendorCertificate:
    pem = (files("bannock.evidence") / "roots" / f"{name}.pem").read_bytes()
    return VendorCertificate.from_der(x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER))


def time_of(dates: Der) -> datetime:
    """Read a date.

    Raises:
        EvidenceError: it is none.
    """
    tag, content, _ = dates.element()
    form = {_UTC_TIME: "%y%m%d%H%M%SZ", _GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}.get(tag)
    try:
        if form is None or not content[:-1].isdigit():
            raise ValueError(tag)
        found = datetime.strptime(content.decode("ascii"), form).replace(tzinfo=UTC)
    except ValueError as error:
        raise EvidenceError(f"a date of {_WHAT} is malformed") from error
    return found


def _extensions(body: Der) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for extension in body.inside(_EXTENSIONS).inside(Der.SEQUENCE).each(Der.SEQUENCE):
        oid = extension.oid()
        extension.optional(Der.BOOLEAN)
        if oid in found:
            raise EvidenceError(f"{_WHAT} has the extension {oid} twice")
        found[oid] = extension.read(Der.OCTET_STRING)
        extension.end()
    return found


def _common_name(name: bytes) -> str:
    for relative in Der(name, _WHAT).inside(Der.SEQUENCE).each(Der.SET):
        for attribute in relative.each(Der.SEQUENCE):
            if attribute.oid() == _COMMON_NAME:
                _, content, _ = attribute.element()
                return content.decode("ascii", "backslashreplace")[:128]
    return ""


def _text(extensions: Mapping[str, bytes], oid: str, what: str) -> str:
    if oid not in extensions:
        raise EvidenceError(f"{_WHAT} of a chip names its {what} (extension {oid}), found none")
    reader = Der(extensions[oid], _WHAT)
    content = reader.read(_IA5_STRING)
    reader.end()
    return content.decode("ascii", "backslashreplace")[:128]


def _part(extensions: Mapping[str, bytes], oid: str) -> int:
    if oid not in extensions:
        raise EvidenceError(f"{_WHAT} of a chip names its TCB version (extension {oid}), found none")
    reader = Der(extensions[oid], _WHAT)
    number = reader.integer()
    reader.end()
    if not 0 <= number <= 0xFF:  # noqa: PLR2004 - one byte of a TCB version
        raise EvidenceError(f"a part of a TCB version is 0 to 255, found {number}")
    return number


def _hardware(content: bytes | None) -> bytes | None:
    """Give the chip as a report names it. Genuine certificates carry it bare; others wrap it once more."""
    if content is None:
        return None
    if content[:2] in {_OCTETS_64, _OCTETS_8} and len(content) == 2 + content[1]:
        content = content[2:]
    if len(content) not in {_TURIN_HWID_BYTES, _HWID_BYTES}:
        raise EvidenceError(f"a hardware ID has {_TURIN_HWID_BYTES} or {_HWID_BYTES} bytes, found {len(content)}")
    return content.ljust(_HWID_BYTES, b"\0")
