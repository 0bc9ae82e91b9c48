"""Claims: what verified evidence says of an enclave, in the words that a session decides on.

Pure, and light to import: a runtime and a verifier use it without the session language.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.values import Measurement

__all__ = ["HARDWARE", "MACHINES", "PLATFORMS", "SIMULATED", "Claims", "platform_name"]

SIMULATED: Final = "sim"
#: Platforms that vouch for a whole machine, in which a LAS vouches for enclaves.
MACHINES: Final = frozenset({"tdx", "sev-snp", "tpm"})
HARDWARE: Final = frozenset({"sgx", *MACHINES})
PLATFORMS: Final = frozenset({SIMULATED, *HARDWARE})

#: ISVPRODID and ISVSVN are 16 bits wide (Intel SDM volume 3D, structures SIGSTRUCT and REPORT).
_UINT16_MAX: Final = 0xFFFF


def platform_name(platform: str, rehearses: str | None) -> str:
    """Name a platform as all listings and logs do; one that is rehearsed is ``sim`` first of all.

    Args:
        platform: one of :data:`PLATFORMS`.
        rehearses: the platform whose evidence is rehearsed, or None.
    """
    return platform if rehearses is None else f"{platform} (rehearses {rehearses})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """The claims of one enclave; whoever makes one has verified its evidence.

    Attributes:
        platform: what protects the enclave, one of :data:`PLATFORMS`; ``sim`` protects nothing.
        measurement: MRENCLAVE.
        signer: MRSIGNER.
        product_id: ISVPRODID.
        svn: ISVSVN.
        debug: whether a debugger may look into the enclave, or into the machine that it runs in.
        attester: the public key that signed the report, 64 hexadecimal digits; None where there is none to be named.
        vouched: whether what the platform trusts (its vendor) vouches for the attester; else a session has to name it.
        weaknesses: names of what the vendor says is wrong with the platform, as sessions write them in ``tolerate``.
        advisories: of the vendor that apply to the platform, for example ``INTEL-SA-00161``.
        provider: the attestation service that appraised the platform instead of us (``maa``), or None.
        singleton: whether it is certain that this very enclave had no configuration before.
        rehearses: on ``sim``, the platform whose evidence is rehearsed under a make-believe vendor; None for none.
        machine: what the platform says of the machine, name → value, where it vouches for one (:data:`MACHINES`):
            digests and flags in lower-case hexadecimal, numbers in decimal. docs/platforms.md has the names.
        machine_id: which physical machine, 64 hexadecimal digits, where the platform tells.
        instance: which start of the enclave, 64 hexadecimal digits, where the attester tells.
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
    rehearses: str | None = None
    machine: Mapping[str, str] = field(default_factory=dict)
    machine_id: str | None = None
    instance: str | None = None

    @property
    def platform_name(self) -> str:
        """The platform as listings name it."""
        return platform_name(self.platform, self.rehearses)

    def __post_init__(self) -> None:
        if self.platform not in PLATFORMS:
            raise InputError(f"a platform is one of {', '.join(sorted(PLATFORMS))}, found {self.platform[:40]!r}")
        if self.rehearses is not None and (self.platform != SIMULATED or self.rehearses not in HARDWARE):
            raise InputError(f"platform sim alone rehearses, and hardware alone is rehearsed: {self.rehearses[:40]!r}")
        for what, number in (("a product id", self.product_id), ("a security version number", self.svn)):
            if not 0 <= number <= _UINT16_MAX:
                raise InputError(f"{what} is from 0 to {_UINT16_MAX}, found {number}")
