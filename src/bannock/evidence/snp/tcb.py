"""TCB versions: which firmware a chip runs, part by part. Pure.

AMD 56860, TCB_VERSION: eight bytes, in one order up to Genoa and in another from Turin on, which has one part more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from bannock.errors import EvidenceError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LINES", "TCB_BYTES", "Tcb", "line_of_cpuid", "line_of_product"]

TCB_BYTES: Final = 8
#: Lines of products, each with a root of its own, as AMD names them.
LINES: Final = ("Milan", "Genoa", "Turin")
#: What certificates name their product, before the stepping → its line.
_PRODUCTS: Final[Mapping[str, str]] = {
    "Milan": "Milan",
    "Genoa": "Genoa",
    "Bergamo": "Genoa",
    "Siena": "Genoa",
    "Turin": "Turin",
}
#: Family and range of models → line (AMD 56860, CPUID_FAM_ID and CPUID_MOD_ID; AMD 57230, 1.00, chapter 4).
_FAMILIES: Final = (
    (0x19, 0x00, 0x0F, "Milan"),
    (0x19, 0x10, 0x1F, "Genoa"),
    (0x19, 0xA0, 0xAF, "Genoa"),
    (0x1A, 0x00, 0x11, "Turin"),
)
_EARLY: Final[Mapping[str, int]] = {"bootloader": 0, "tee": 1, "snp": 6, "microcode": 7}
_TURIN: Final[Mapping[str, int]] = {"fmc": 0, "bootloader": 1, "tee": 2, "snp": 3, "microcode": 7}


def line_of_product(product: str) -> str | None:
    """Give the line of a product (``Milan-B0``) by its name in a certificate; None for one that is not known."""
    return _PRODUCTS.get(product.partition("-")[0])


def line_of_cpuid(family: int, model: int) -> str | None:
    """Give the line of a processor; None for one that is not known."""
    for of, low, high, line in _FAMILIES:
        if family == of and low <= model <= high:
            return line
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tcb:
    """A TCB version, in parts.

    Attributes:
        fmc: on Turin and later; None before.
        bootloader, tee, snp, microcode: security version numbers.
    """

    fmc: int | None = None
    bootloader: int
    tee: int
    snp: int
    microcode: int

    @classmethod
    def from_bytes(cls, raw: bytes, line: str) -> Self:
        """Parse a TCB_VERSION of a chip of this line.

        Raises:
            EvidenceError: it is malformed.
        """
        if len(raw) != TCB_BYTES:
            raise EvidenceError(f"a TCB version has {TCB_BYTES} bytes, found {len(raw)}")
        places = _TURIN if line == "Turin" else _EARLY
        if any(raw[place] for place in range(TCB_BYTES) if place not in places.values()):
            raise EvidenceError(f"the reserved bytes of a TCB version of {line} are 0, found {raw.hex()}")
        return cls(**{name: raw[place] for name, place in places.items()})

    def to_bytes(self) -> bytes:
        """Give it as a TCB_VERSION."""
        raw = bytearray(TCB_BYTES)
        for name, place in (_EARLY if self.fmc is None else _TURIN).items():
            raw[place] = getattr(self, name)
        return bytes(raw)

    def parts(self) -> dict[str, int]:
        """Give it by the names of its parts."""
        names = _EARLY if self.fmc is None else _TURIN
        return {name: getattr(self, name) for name in names}

    def reaches(self, other: Tcb) -> bool:
        """Whether no part of it is older than the same part of another one."""
        mine, others = self.parts(), other.parts()
        return mine.keys() == others.keys() and all(mine[name] >= least for name, least in others.items())

    def __str__(self) -> str:
        return ", ".join(f"{name} {number}" for name, number in self.parts().items())
