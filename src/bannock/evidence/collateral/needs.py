"""What evidence needs of vendors before it can be verified, by the names that the vendors' services know. Pure.

Evidence is read here, not verified: a need that somebody made up costs a request, and verifies nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from bannock.errors import EvidenceError
from bannock.evidence.quotes import SgxQuote, SnpQuote, TdxQuote
from bannock.evidence.snp.report import VLEK, AttestationReport
from bannock.evidence.snp.tcb import Tcb

if TYPE_CHECKING:
    from bannock.evidence.quotes import Quote

__all__ = ["AmdChainNeed", "IntelNeed", "Need", "VcekNeed", "chip_name", "levels_of", "needs_of"]

#: Chip ids of Turin have these many bytes, the rest is zero (AMD 57230, chapter 4).
_CHIP_ID_BYTES_TURIN: Final = 8
_TURIN: Final = "Turin"
#: Reports of version 2 do not name their product; these were sold when they were made.
_PRODUCTS_BEFORE: Final = ("Milan", "Genoa")
#: Name of a part of a TCB version → name of its level in the query of AMD's service.
_LEVELS: Final = {"fmc": "fmcSPL", "bootloader": "blSPL", "tee": "teeSPL", "snp": "snpSPL", "microcode": "ucodeSPL"}


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
        products: which it may be of.
        chip_id: hexadecimal digits, as AMD's service knows it.
        levels: name in the service's query → security patch level.
    """

    products: tuple[str, ...]
    chip_id: str
    levels: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        told = ", ".join(f"{name} {level}" for name, level in self.levels)
        return f"VCEK of {' or '.join(self.products)} chip {self.chip_id[:16]}… at {told}"


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


def _amd(encoded: bytes) -> tuple[Need, ...]:
    report = AttestationReport.from_bytes(encoded)
    products = _PRODUCTS_BEFORE if report.line is None else (report.line,)
    if report.signing_key == VLEK:
        return tuple(AmdChainNeed(product=each, signer="vlek") for each in products)
    chains = (AmdChainNeed(product=each, signer="vcek") for each in products)
    if report.masked:
        return tuple(chains)
    tcb = Tcb.from_bytes(report.reported_tcb, products[0])
    return *chains, VcekNeed(products=products, chip_id=chip_name(report.chip_id, products[0]), levels=levels_of(tcb))


def chip_name(chip_id: bytes, product: str) -> str:
    """Give what AMD's service calls a chip."""
    return (chip_id[:_CHIP_ID_BYTES_TURIN] if product == _TURIN else chip_id).hex()


def levels_of(tcb: Tcb) -> tuple[tuple[str, int], ...]:
    """Give a TCB version in the words of AMD's service."""
    return tuple((_LEVELS[name], number) for name, number in sorted(tcb.parts().items()))
