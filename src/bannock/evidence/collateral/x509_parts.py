"""Certificates and revocation lists of AMD and of TPM manufacturers, as they are kept. Pure.

Nothing here is verified: what is read decides what a file is called and what is given to a verifier, who verifies.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from bannock.errors import EvidenceError
from bannock.evidence.appraisal import Bound
from bannock.evidence.collateral.needs import chip_name, levels_of
from bannock.evidence.snp.certificates import ChipKey, VendorCertificate

if TYPE_CHECKING:
    import datetime as dt

    from bannock.evidence.collateral.needs import VcekNeed

__all__ = ["MALFORMED", "Certificate", "Crl", "certificates_in", "crls_in", "to_pem"]

_REFRESH: Final = "refresh the collateral: scone cas collateral import, or let the CAS ask the vendor"
_PEM_CRL: Final = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", re.DOTALL)
_PEM_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_PEM_CERTIFICATE: Final = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_PEM_LIST: Final = b"-----BEGIN X509 CRL-----"
_PEM_LINE: Final = 64
_PARTS_MAX: Final = 256
_CHIPS: Final = frozenset({"SEV-VCEK", "SEV-VLEK"})
#: What cryptography raises, or warns of, where something is none of these or has a part that is not what it has to be.
MALFORMED: Final = (
    *(ValueError, TypeError, UnsupportedAlgorithm, UserWarning),
    *(x509.DuplicateExtension, x509.InvalidVersion, x509.UnsupportedGeneralNameType),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate, and what it says of itself.

    Attributes:
        chip_id: which chip a VCEK is of, hexadecimal; None for other certificates.
        levels: name of the level in AMD's service → what the certificate is for.
        leaf: whether it is of one chip or one cloud (VCEK, VLEK) rather than of an authority.
    """

    der: bytes
    subject: str
    chip_id: str | None
    levels: tuple[tuple[str, int], ...]
    leaf: bool
    until: dt.datetime

    @classmethod
    def parse(cls, der: bytes) -> Self:
        """Read a certificate.

        Raises:
            EvidenceError: it is none.
        """
        chip = _chip(der)
        if chip is not None:
            return cls(
                der=der,
                subject=chip[0].name,
                chip_id=None if chip[1].hardware is None else chip_name(chip[1].hardware, chip[1].line),
                levels=levels_of(chip[1].tcb),
                leaf=True,
                until=chip[0].not_after,
            )
        try:
            found = x509.load_der_x509_certificate(der)
            basic = {each.oid: each.value for each in found.extensions}.get(x509.BasicConstraints.oid)
            subject, until = _common_name(found.subject), found.not_valid_after_utc
        except MALFORMED as error:
            raise EvidenceError("a certificate is malformed") from error
        leaf = isinstance(basic, x509.BasicConstraints) and not basic.ca
        return cls(der=der, subject=subject, chip_id=None, levels=(), leaf=leaf, until=until)

    @property
    def bound(self) -> Bound:
        """When it ends."""
        return Bound(self.until, f"certificate {self.subject} (notAfter)", _REFRESH)

    @property
    def digest(self) -> str:
        """What it is told apart by."""
        return hashlib.sha256(self.der).hexdigest()

    def answers(self, need: VcekNeed) -> bool:
        """Whether it is the certificate of a chip at a level."""
        return self.chip_id == need.chip_id and dict(self.levels) == dict(need.levels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crl:
    """A revocation list, and what it says of itself.

    Attributes:
        issuer: the whole name of the issuer.
        name: the issuer's common name.
    """

    der: bytes
    issuer: str
    name: str
    issued: dt.datetime
    until: dt.datetime | None

    @classmethod
    def parse(cls, der: bytes) -> Self:
        """Read a revocation list.

        Raises:
            EvidenceError: it is none.
        """
        try:
            found = x509.load_der_x509_crl(der)
            return cls(
                der=der,
                issuer=found.issuer.rfc4514_string(),
                name=_common_name(found.issuer),
                issued=found.last_update_utc,
                until=found.next_update_utc,
            )
        except MALFORMED as error:
            raise EvidenceError("a certificate revocation list is malformed") from error

    @property
    def bound(self) -> Bound | None:
        """When it ends."""
        return None if self.until is None else Bound(self.until, f"CRL of {self.issuer} (nextUpdate)", _REFRESH)


def certificates_in(data: bytes) -> list[Certificate]:
    """Read a certificate in DER, or all that there are in PEM.

    Raises:
        EvidenceError: there is none, or one is malformed.
    """
    if _PEM_BEGIN not in data:
        return [Certificate.parse(data)]
    found = [_from_pem(each) for each in _PEM_CERTIFICATE.findall(data)[: _PARTS_MAX + 1]]
    if not 0 < len(found) <= _PARTS_MAX:
        raise EvidenceError(f"1 to {_PARTS_MAX} certificates are read at once, found {len(found)}")
    return [Certificate.parse(each) for each in found]


def crls_in(data: bytes) -> list[Crl]:
    """Read a revocation list in DER, or all that there are in PEM.

    Raises:
        EvidenceError: there is none, or one is malformed.
    """
    if _PEM_LIST not in data:
        return [Crl.parse(data)]
    try:
        found = [x509.load_pem_x509_crl(each) for each in _PEM_CRL.findall(data)[:_PARTS_MAX]]
    except MALFORMED as error:
        raise EvidenceError("a certificate revocation list in PEM is malformed") from error
    if not found:
        raise EvidenceError("a certificate revocation list in PEM has no end")
    return [Crl.parse(each.public_bytes(Encoding.DER)) for each in found]


def to_pem(der: bytes, label: str) -> bytes:
    """Write DER as PEM (RFC 7468)."""
    body = base64.b64encode(der).decode("ascii")
    lines = [body[start : start + _PEM_LINE] for start in range(0, len(body), _PEM_LINE)]
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", "")).encode("ascii")


def _chip(der: bytes) -> tuple[VendorCertificate, ChipKey] | None:
    """Read the certificate of an AMD chip; None for any other."""
    try:
        found = VendorCertificate.from_der(der)
        return (found, ChipKey.of(found)) if found.name in _CHIPS else None
    except EvidenceError:
        return None


def _from_pem(body: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(body.split()), validate=True)
    except ValueError as error:
        raise EvidenceError("a certificate in PEM is malformed") from error


def _common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(found[0].value) if found else name.rfc4514_string()
