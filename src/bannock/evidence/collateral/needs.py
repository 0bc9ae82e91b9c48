"""What evidence needs of vendors before it can be verified, by the names that the vendors' services know. Pure.

Evidence is read here, not verified: a need that somebody made up costs a request, and verifies nothing.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from bannock.errors import EvidenceError
from bannock.evidence.quotes import SgxQuote, SnpQuote, TdxQuote

if TYPE_CHECKING:
    from bannock.evidence.quotes import Quote

__all__ = ["AmdChainNeed", "IntelNeed", "Need", "VcekNeed", "needs_of"]

_REPORT_BYTES: Final = 1184
_CHIP_ID_BYTES: Final = 64
#: Chip ids of Turin have these many bytes, the rest is zero (AMD 57230, section 4.1).
_CHIP_ID_BYTES_TURIN: Final = 8
_VERSION_WITH_PRODUCT: Final = 3
#: Combined family and models from, to (exclusive) → product (AMD 56860, CPUID_FAM_ID and CPUID_MOD_ID).
_PRODUCTS: Final = (
    (0x19, 0x00, 0x10, "Milan"),
    (0x19, 0x10, 0x20, "Genoa"),
    (0x19, 0xA0, 0xB0, "Genoa"),
    (0x1A, 0x00, 0x12, "Turin"),
)
#: Reports of version 2 do not name the product; this one alone was sold when they were made.
_PRODUCT_BEFORE: Final = "Milan"


@dataclass(frozen=True, slots=True, kw_only=True)
class IntelNeed:
    """Collateral for a family of processors.

    Attributes:
        fmspc: 12 hexadecimal digits, capital.
        ca: which authority issued the PCK certificate.
    """

    tee: Literal["sgx", "tdx"]
    fmspc: str
    ca: Literal["processor", "platform"]

    def __str__(self) -> str:
        return f"{self.tee.upper()}, FMSPC {self.fmspc}, {self.ca} CA"


@dataclass(frozen=True, slots=True, kw_only=True)
class AmdChainNeed:
    """The certificates above those of chips of a product, and the revocation list over them.

    Attributes:
        product: ``Milan``, ``Genoa`` or ``Turin``.
        signer: whose certificates they issue.
    """

    product: str
    signer: Literal["vcek", "vlek"]

    def __str__(self) -> str:
        return f"{self.signer.upper()} chain of {self.product}"


@dataclass(frozen=True, slots=True, kw_only=True)
class VcekNeed:
    """The certificate of one chip at one level of its firmware.

    Attributes:
        chip_id: hexadecimal digits, as AMD's service knows it.
        levels: name in the service's query → security patch level.
    """

    product: str
    chip_id: str
    levels: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        told = ", ".join(f"{name} {level}" for name, level in self.levels)
        return f"VCEK of {self.product} chip {self.chip_id[:16]}… at {told}"


Need: TypeAlias = IntelNeed | AmdChainNeed | VcekNeed


def needs_of(quote: Quote) -> tuple[Need, ...]:
    """Tell what a quote needs; nothing on platforms whose vendor has nothing to add.

    Raises:
        EvidenceError: the quote is malformed.
    """
    match quote:
        case SgxQuote():
            return (_intel(quote.quote, "sgx"),)
        case TdxQuote():
            return (_intel(quote.quote, "tdx"),)
        case SnpQuote():
            return _amd(quote.report)
        case _:
            return ()


def _intel(quote: bytes, tee: Literal["sgx", "tdx"]) -> IntelNeed:
    import dcap_qvl  # noqa: PLC0415 - a verifier is loaded when evidence comes

    try:
        parsed = dcap_qvl.parse_quote(quote)
        fmspc, ca = str(parsed.fmspc()), str(parsed.ca())
    except (ValueError, RuntimeError, OverflowError) as error:
        raise EvidenceError(f"the {tee} quote does not tell the family of its processor") from error
    if ca not in ("processor", "platform"):
        raise EvidenceError(f"the {tee} quote has a PCK certificate of an unknown authority: {ca[:80]!r}")
    return IntelNeed(tee=tee, fmspc=fmspc.upper(), ca="platform" if ca == "platform" else "processor")


def _amd(report: bytes) -> tuple[Need, ...]:
    if len(report) != _REPORT_BYTES:
        raise EvidenceError(f"an SEV-SNP report has {_REPORT_BYTES} bytes, found {len(report)}")
    # ATTESTATION_REPORT of AMD 56860: VERSION, KEY_INFO, REPORTED_TCB, CPUID_FAM_ID, CPUID_MOD_ID, CHIP_ID.
    (version,) = struct.unpack_from("<I", report, 0)
    (key_info,) = struct.unpack_from("<I", report, 0x48)
    tcb = report[0x180:0x188]
    product = _product(report[0x188], report[0x189]) if version >= _VERSION_WITH_PRODUCT else _PRODUCT_BEFORE
    if (key_info >> 2) & 7:
        return (AmdChainNeed(product=product, signer="vlek"),)
    chain = AmdChainNeed(product=product, signer="vcek")
    chip = report[0x1A0 : 0x1A0 + _CHIP_ID_BYTES]
    if not any(chip):
        return (chain,)
    if product == "Turin":
        names = {"fmcSPL": tcb[0], "blSPL": tcb[1], "teeSPL": tcb[2], "snpSPL": tcb[3], "ucodeSPL": tcb[7]}
        chip = chip[:_CHIP_ID_BYTES_TURIN]
    else:
        names = {"blSPL": tcb[0], "teeSPL": tcb[1], "snpSPL": tcb[6], "ucodeSPL": tcb[7]}
    return chain, VcekNeed(product=product, chip_id=chip.hex(), levels=tuple(names.items()))


def _product(family: int, model: int) -> str:
    for known, first, end, product in _PRODUCTS:
        if family == known and first <= model < end:
            return product
    raise EvidenceError(f"the SEV-SNP report is of a processor that is not known: family {family:#x} model {model:#x}")
