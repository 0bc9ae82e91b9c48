"""What the certificate of a processor's key (PCK) says of the processor: Intel's own extension of it. Pure.

The extension is described in Intel's "SGX PCK Certificate and Certificate Revocation List Profile Specification".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography import x509

from bannock.errors import EvidenceError
from bannock.evidence.der import Der

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SGX_EXTENSION", "PckIdentity"]

SGX_EXTENSION: Final = x509.ObjectIdentifier("1.2.840.113741.1.13.1")
_PREFIX: Final = f"{SGX_EXTENSION.dotted_string}."
_PPID, _TCB, _PCEID, _FMSPC, _CONFIGURATION = "1", "2", "3", "4", "7"
_PCESVN, _CPUSVN = "2.17", "2.18"
_DYNAMIC_PLATFORM, _CACHED_KEYS, _SMT = "7.1", "7.2", "7.3"
_PCESVN_MAX: Final = 0xFFFF
_WHAT: Final = "what the PCK certificate says of its processor"


@dataclass(frozen=True, slots=True, kw_only=True)
class PckIdentity:
    """What Intel says of a processor.

    Attributes:
        ppid: 16 bytes that name the machine.
        cpu_svn: 16 security version numbers of its parts.
        pce_svn: of the provisioning certification enclave.
        pce_id: 2 bytes.
        fmspc: 6 bytes: family, model, stepping, platform, and customised SKU.
        dynamic_platform, cached_keys, smt: of machines with several processors; None where it is not told.
    """

    ppid: bytes
    cpu_svn: bytes
    pce_svn: int
    pce_id: bytes
    fmspc: bytes
    dynamic_platform: bool | None = None
    cached_keys: bool | None = None
    smt: bool | None = None

    @classmethod
    def of(cls, certificate: x509.Certificate) -> PckIdentity:
        """Read it from a certificate.

        Raises:
            EvidenceError: the certificate lacks it, or it is malformed.
        """
        try:
            extension = certificate.extensions.get_extension_for_oid(SGX_EXTENSION).value
        except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError) as error:
            raise EvidenceError("the PCK certificate says nothing of its processor") from error
        if not isinstance(extension, x509.UnrecognizedExtension):
            raise EvidenceError("the PCK certificate says nothing of its processor")
        return cls.from_extension(extension.value)

    @classmethod
    def from_extension(cls, data: bytes) -> PckIdentity:
        """Parse the value of the extension.

        Raises:
            EvidenceError: it is malformed.
        """
        parts = _parts(Der(data, _WHAT))
        parts |= _parts(_content(parts, _TCB))
        if _CONFIGURATION in parts:
            parts |= _parts(_content(parts, _CONFIGURATION))
        return cls(
            ppid=_octets(parts, _PPID, 16),
            cpu_svn=_octets(parts, _CPUSVN, 16),
            pce_svn=_number(parts, _PCESVN),
            pce_id=_octets(parts, _PCEID, 2),
            fmspc=_octets(parts, _FMSPC, 6),
            dynamic_platform=_flag(parts, _DYNAMIC_PLATFORM),
            cached_keys=_flag(parts, _CACHED_KEYS),
            smt=_flag(parts, _SMT),
        )


def _parts(data: Der) -> dict[str, bytes]:
    """Read SEQUENCE OF SEQUENCE { OBJECT IDENTIFIER, ANY } whose identifiers are below Intel's."""
    found: dict[str, bytes] = {}
    sequence = data.inside(Der.SEQUENCE)
    data.end()
    for entry in sequence.each(Der.SEQUENCE):
        name = entry.oid()
        if not name.startswith(_PREFIX) or name.removeprefix(_PREFIX) in found:
            raise EvidenceError(f"{_WHAT} is malformed: it has {name} where it does not belong")
        found[name.removeprefix(_PREFIX)] = entry.element()[2]
        entry.end()
    return found


def _content(parts: Mapping[str, bytes], name: str) -> Der:
    if name not in parts:
        raise EvidenceError(f"{_WHAT} lacks {_PREFIX}{name}")
    return Der(parts[name], _WHAT)


def _octets(parts: Mapping[str, bytes], name: str, length: int) -> bytes:
    content = _content(parts, name).read(Der.OCTET_STRING)
    if len(content) != length:
        raise EvidenceError(f"{_PREFIX}{name} of the PCK certificate has {length} bytes, found {len(content)}")
    return content


def _number(parts: Mapping[str, bytes], name: str) -> int:
    number = _content(parts, name).integer()
    if not 0 <= number <= _PCESVN_MAX:
        raise EvidenceError(f"{_PREFIX}{name} of the PCK certificate is from 0 to {_PCESVN_MAX}, found {number}")
    return number


def _flag(parts: Mapping[str, bytes], name: str) -> bool | None:
    return _content(parts, name).boolean() if name in parts else None
