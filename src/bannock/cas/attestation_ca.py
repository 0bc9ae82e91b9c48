"""The authority of this CAS over attestation keys of TPMs.

Nothing is kept for it: its key follows from the CAS's own, every process of a CAS has the same, and a challenge that
was given need not be remembered (:mod:`bannock.evidence.tpm.authority`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bannock.cas.derived_keys import attestation_key_authority
from bannock.errors import ActivationError, EvidenceError
from bannock.evidence.envelope import Envelope
from bannock.evidence.quotes import TpmQuote
from bannock.evidence.tpm.authority import KeyAuthority

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    from bannock.cas.tpm_roots import TpmRoots
    from bannock.evidence.endorsements import Endorsements
    from bannock.net.tls import Identity

__all__ = ["AttestationKeyAuthority"]


class AttestationKeyAuthority:
    """The authority of one CAS; thread-safe.

    Args:
        identity: of the CAS.
        roots: whom to trust to vouch for endorsement keys.
        random: gives as many random bytes as asked for.
    """

    def __init__(self, identity: Identity, roots: TpmRoots, random: Callable[[int], bytes]) -> None:
        self._authority = KeyAuthority(*attestation_key_authority(identity), random)
        self._roots = roots

    def trusted(self, at: dt.datetime) -> Endorsements:
        """Give what this CAS trusts for its own sake: the manufacturers of TPMs, and itself."""
        known = self._roots.at(at)
        return replace(known, roots=(*known.roots, self._authority.root))

    def challenged(
        self, error: ActivationError, evidence: bytes, endorsements: Endorsements, at: dt.datetime
    ) -> ActivationError:
        """Give an error with the challenge by which the TPM can prove itself; or with the reasons why there is none.

        Args:
            error: why evidence does not hold, though all else in it does.
            evidence: the envelope.
            endorsements: what is known, and trusted (:meth:`trusted`).
            at: now.
        """
        quote = Envelope.from_json(evidence).quote
        if not isinstance(quote, TpmQuote):
            return error
        try:
            challenge = self._authority.challenge(quote, endorsements, at)
        except EvidenceError as reason:
            return ActivationError(
                error.message,
                reasons=[*error.reasons, reason.message, *reason.reasons],
                hint="the operator of the CAS names whom to trust in [tpm] roots (docs/platforms.md); "
                "to try things out without the TPM, start the LAS with SCONE_MODE=sim",
            )
        return ActivationError(error.message, reasons=error.reasons, challenge=challenge)
