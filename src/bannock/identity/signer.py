"""Who vouches for an enclave: from its measurement and the SIGSTRUCT beside its program to MRSIGNER. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from bannock.errors import DeniedError
from bannock.identity.debug_key import DEBUG_SIGNER
from bannock.identity.sigstruct import FLAG_DEBUG, SigStruct
from bannock.values import Measurement

if TYPE_CHECKING:
    from bannock.identity.manifest import EnclaveManifest

__all__ = ["NO_SIGNER", "SignedIdentity"]

#: MRSIGNER of what nobody has signed.
NO_SIGNER: Final = Measurement(bytes(32))


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIdentity:
    """What a signature says of an enclave, once it holds.

    Attributes:
        signer: MRSIGNER; :data:`NO_SIGNER` if nobody signed it.
        product_id, svn: ISVPRODID and ISVSVN.
        debug: whether the signer lets a debugger look into it; so it is with the built-in key, which everybody has.
    """

    signer: Measurement = NO_SIGNER
    product_id: int = 0
    svn: int = 0
    debug: bool = False

    @classmethod
    def of(cls, manifest: EnclaveManifest, measurement: Measurement) -> Self:
        """Verify the signature in a manifest for what was measured.

        Raises:
            EvidenceError: the signature is malformed, or does not hold.
            DeniedError: it is for another measurement.
        """
        if not manifest.sigstruct:
            return cls()
        signed = SigStruct.parse(manifest.sigstruct)
        signed.verify()
        if signed.measurement != measurement:
            raise DeniedError(
                f"{manifest.binary} is signed for another enclave than it is",
                reasons=[f"Unexpected enclave measurement (MRENCLAVE, {measurement}) - Expected {signed.measurement}"],
                hint="start it as it was signed, or sign it anew (scone-signer sign)",
            )
        counted = signed.attribute_mask.flags & FLAG_DEBUG
        return cls(
            signer=signed.signer,
            product_id=signed.product_id,
            svn=signed.svn,
            debug=signed.debug or not counted or signed.signer == DEBUG_SIGNER,
        )
