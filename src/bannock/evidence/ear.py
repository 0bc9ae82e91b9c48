"""What an appraisal comes to, in the words of EAT Attestation Results (EAR) and AR4SI. Pure.

The trustworthiness vector has a number for each aspect that the CAS can speak of, and none for the others. Where a
session tolerates something, the enclave is accepted and the vector says all the same what was tolerated: a relying
party may be stricter than the session.

Sources: draft-ietf-rats-ear-04, draft-ietf-rats-ar4si (section "Trustworthiness Claims"), RFC 9711.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from bannock.policy.claims import SIMULATED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.policy.claims import Claims

__all__ = ["PROFILE", "Tier", "status_of", "trust_vector"]

PROFILE: Final = "tag:ietf.org,2026:rats/ear#04"

#: Numbers of AR4SI, by what they say.
_RECOGNISED: Final = 2
_UNRECOGNISED: Final = 97
_APPROVED_CONFIGURATION: Final = 2
_VULNERABLE_CONFIGURATION: Final = 32
_UNKNOWN_CONFIGURATION: Final = 36
_APPROVED_AT_START: Final = 3
_UNKNOWN_EXECUTABLES: Final = 33
_GENUINE: Final = 2
_VULNERABLE_HARDWARE: Final = 32
_ENCRYPTED_MEMORY: Final = 2
_ISOLATED_MEMORY: Final = 32
_VISIBLE_MEMORY: Final = 96

_NO_CLAIM: Final = frozenset({-1, 0, 1})
_WARNING_MIN: Final = 32
_CONTRAINDICATED_MIN: Final = 96

#: Weaknesses of how a platform is set up; all others are of the platform itself.
_OF_CONFIGURATION: Final = frozenset({"insecure-configuration", "hyperthreading", "insecure-igpu"})


class Tier(StrEnum):
    """How far an aspect is to be trusted."""

    NONE = "none"
    AFFIRMING = "affirming"
    WARNING = "warning"
    CONTRAINDICATED = "contraindicated"


def trust_vector(claims: Claims, *, decided: bool) -> dict[str, int]:
    """Say how far each aspect of an enclave is to be trusted that was accepted as a service.

    Args:
        claims: of its evidence.
        decided: whether the session decided on the enclave; one with ``mode: none`` accepts any.
    """
    genuine = claims.platform != SIMULATED
    hardware = _GENUINE if genuine else _UNRECOGNISED
    if genuine and (claims.weaknesses - _OF_CONFIGURATION or claims.advisories):
        hardware = _VULNERABLE_HARDWARE
    configuration = _VULNERABLE_CONFIGURATION if claims.weaknesses & _OF_CONFIGURATION else _APPROVED_CONFIGURATION
    return {
        "instance-identity": _RECOGNISED if genuine else _UNRECOGNISED,
        "configuration": configuration if decided else max(configuration, _UNKNOWN_CONFIGURATION),
        # What the measured program starts or loads later is not measured.
        "executables": _APPROVED_AT_START if decided else _UNKNOWN_EXECUTABLES,
        "hardware": hardware,
        "runtime-opaque": _memory(claims),
    }


def _memory(claims: Claims) -> int:
    if claims.debug or claims.platform == SIMULATED:
        return _VISIBLE_MEMORY
    # A TPM vouches for what was started; memory is as visible to the machine's operator as without one.
    return _ISOLATED_MEMORY if claims.platform == "tpm" else _ENCRYPTED_MEMORY


def status_of(vector: Mapping[str, int]) -> Tier:
    """Give the tier of the worst aspect; of no aspect at all nothing is known."""
    tiers = {_tier(number) for number in vector.values()}
    worst_first = (Tier.CONTRAINDICATED, Tier.WARNING, Tier.NONE, Tier.AFFIRMING)
    return next((tier for tier in worst_first if tier in tiers), Tier.NONE)


def _tier(number: int) -> Tier:
    """Give the tier of a number; those below zero say the same with meanings that are not standard."""
    if number in _NO_CLAIM:
        return Tier.NONE
    size = number if number > 0 else -number - 1
    if size >= _CONTRAINDICATED_MIN:
        return Tier.CONTRAINDICATED
    return Tier.WARNING if size >= _WARNING_MIN else Tier.AFFIRMING
