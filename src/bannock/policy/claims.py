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
        attester: the public key that signed the report, 64 hexadecimal digits; None where there is none to be named.
        vouched: whether what the platform trusts (its vendor) vouches for the attester; else a session has to name it.
        weaknesses: names of what the vendor says is wrong with the platform, as sessions write them in ``tolerate``.
        advisories: of the vendor that apply to the platform, for example ``INTEL-SA-00161``.
        provider: the attestation service that appraised the platform instead of us (``maa``), or None.
        singleton: whether it is certain that this very enclave had no configuration before.
    """

    platform: str
    measurement: Measurement
    signer: Measurement
    product_id: int
    svn: int
    debug: bool
    attester: str | None = None
    vouched: bool = True
    weaknesses: frozenset[str] = frozenset()
    advisories: frozenset[str] = frozenset()
    provider: str | None = None
    singleton: bool = False

    def __post_init__(self) -> None:
        if self.platform not in PLATFORMS:
            raise InputError(f"a platform is one of {', '.join(sorted(PLATFORMS))}, found {self.platform[:40]!r}")
        for what, number in (("a product id", self.product_id), ("a security version number", self.svn)):
            if not 0 <= number <= _UINT16_MAX:
                raise InputError(f"{what} is from 0 to {_UINT16_MAX}, found {number}")
