"""What evidence needs of vendors before it can be verified, by the names that the vendors' services know. Pure.

Evidence is read here, not verified: a need that somebody made up costs a request, and verifies nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from cryptography.x509.oid import NameOID

from bannock.errors import EvidenceError
from bannock.evidence.dcap.chain import PckChain
from bannock.evidence.dcap.quote import DcapQuote
from bannock.evidence.endorsements import NO_ENDORSEMENTS
from bannock.evidence.quotes import SgxQuote, SnpQuote, TdxQuote
from bannock.evidence.snp.certificates import VendorCertificate, built_in_roots
from bannock.evidence.snp.report import VLEK, AttestationReport
from bannock.evidence.snp.tcb import Tcb

if TYPE_CHECKING:
    from bannock.evidence.endorsements import Endorsements
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


def needs_of(quote: Quote, besides: Endorsements = NO_ENDORSEMENTS) -> tuple[Need, ...]:
    """Tell what a quote needs; nothing where no vendor has anything to add: platform sim, and rehearsals.

    Args:
        quote: of any platform.
        besides: what came along with it; a rehearsal brings its make-believe root.

    Raises:
        EvidenceError: the quote is malformed.
    """
    match quote:
        case SgxQuote():
            return _intel(quote.quote, "sgx")
        case TdxQuote():
            return _intel(quote.quote, "tdx")
        case SnpQuote() if not _is_rehearsed(besides):
            return _amd(quote.report)
        case _:
            return ()


def _intel(encoded: bytes, tee: Literal["sgx", "tdx"]) -> tuple[Need, ...]:
    quote = DcapQuote.parse(encoded)
    if quote.tee != tee:
        raise EvidenceError(f"a quote of {tee} was expected, found one of {quote.tee}")
    chain = PckChain.of(quote.certificates)
    if not chain.genuine:
        return ()
    names = {str(each.value) for each in chain.authority.subject.get_attributes_for_oid(NameOID.COMMON_NAME)}
    ca: Literal["processor", "platform"] = "platform" if "Intel SGX PCK Platform CA" in names else "processor"
    return (IntelNeed(tee=tee, fmspc=chain.processor.fmspc.hex().upper(), ca=ca),)


def _is_rehearsed(besides: Endorsements) -> bool:
    own = {each.encoded for each in built_in_roots().values()}
    for der in besides.certificates:
        try:
            found = VendorCertificate.from_der(der)
        except EvidenceError:
            continue
        if found.name.startswith("ARK-") and der not in own:
            return True
    return False


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
