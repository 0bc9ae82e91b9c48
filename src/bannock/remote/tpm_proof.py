"""Having the TPM of a LAS prove itself to whoever asks here, as it does to a CAS."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric import ec

from bannock.errors import ActivationError
from bannock.evidence.quotes import TpmQuote
from bannock.evidence.tpm.authority import KeyAuthority, authority_certificate
from bannock.evidence.verifier import verify_quote

if TYPE_CHECKING:
    from collections.abc import Callable

    from bannock.evidence.endorsements import Endorsements
    from bannock.evidence.las_client import LasClient, LasPlatform

__all__ = ["own_authority", "with_proven_tpm"]

#: The same each time, so that a LAS keeps one certificate of it.
_NAME: Final = "scone"
#: As long as what it vouches for may be replayed.
_DAY, _YEARS = dt.timedelta(days=1), dt.timedelta(days=3650)


def own_authority(at: dt.datetime, random: Callable[[int], bytes]) -> KeyAuthority:
    """Make an authority that nobody else knows, to have one TPM prove itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    serial = int.from_bytes(random(16), "big") >> 1 or 1
    return KeyAuthority(key, authority_certificate(key, _NAME, serial, at - _DAY, at + _YEARS), random)


def with_proven_tpm(
    las: LasClient,
    platform: LasPlatform,
    endorsements: Endorsements,
    *,
    at: dt.datetime,
    random: Callable[[int], bytes],
) -> tuple[LasPlatform, Endorsements]:
    """Have the TPM of a LAS prove that the key which signed its quote is in it, if nobody who is trusted says so.

    Args:
        las: is asked.
        platform: what it has said.
        endorsements: what is known, and who is trusted to vouch for TPMs; nothing is proven without them.
        at: the time of the verdict.
        random: gives as many random bytes as asked for.

    Returns:
        What the LAS says afterwards, and endorsements that vouch for it. On other platforms, what was given.

    Raises:
        EvidenceError: the quote does not hold, or nobody who is trusted vouches for the TPM.
        DeniedError, EnvironmentFault: the TPM does not prove itself.
    """
    if not (endorsements.roots and isinstance(platform.quote, TpmQuote)):
        return platform, endorsements
    try:
        verify_quote(platform.quote, endorsements, at)
    except ActivationError:
        authority = own_authority(at, random)
        las.activate(authority.challenge(platform.quote, endorsements, at))
        return las.platform(), replace(endorsements, roots=(*endorsements.roots, authority.root))
    return platform, endorsements
