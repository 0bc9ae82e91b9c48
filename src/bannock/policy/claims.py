"""Claims: what verified evidence says of an enclave, in the words that a session decides on.

Pure, and light to import: a runtime and a verifier use it without the session language.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError

if TYPE_CHECKING:
    from bannock.values import Measurement

__all__ = ["PLATFORMS", "SIMULATED", "Claims"]

SIMULATED: Final = "sim"
PLATFORMS: Final = frozenset({SIMULATED, "sgx", "tdx", "sev-snp", "tpm"})

#: ISVPRODID and ISVSVN are 16 bits wide (Intel SDM volume 3D, structures SIGSTRUCT and REPORT).
_UINT16_MAX: Final = 0xFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """The claims of one enclave; whoever makes one has verified its evidence.

    Attributes:
        platform: what protects the enclave, one of :data:`PLATFORMS`; ``sim`` protects nothing.
        measurement: MRENCLAVE.
        signer: MRSIGNER.
        product_id: ISVPRODID.
        svn: ISVSVN.
        debug: whether a debugger may look into the enclave.
    """

    platform: str
    measurement: Measurement
    signer: Measurement
    product_id: int
    svn: int
    debug: bool

    def __post_init__(self) -> None:
        if self.platform not in PLATFORMS:
            raise InputError(f"a platform is one of {', '.join(sorted(PLATFORMS))}, found {self.platform[:40]!r}")
        for what, number in (("a product id", self.product_id), ("a security version number", self.svn)):
            if not 0 <= number <= _UINT16_MAX:
                raise InputError(f"{what} is from 0 to {_UINT16_MAX}, found {number}")
