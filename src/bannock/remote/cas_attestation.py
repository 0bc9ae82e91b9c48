"""Attesting a CAS over the network: the connection, the nonce and the retries around what is verified.

What evidence proves, and whether it suffices, is decided by :mod:`bannock.evidence.cas_verifier`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bannock.errors import DeniedError, PeerError
from bannock.evidence.cas_verifier import verify_cas, verify_cas_report
from bannock.evidence.endorsements import NO_ENDORSEMENTS
from bannock.net.client import connect
from bannock.net.problem import from_problem
from bannock.remote.cas_api import tried_again

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from bannock.evidence.appraisal import Finding
    from bannock.evidence.cas_verifier import AttestedCas, CasExpectations
    from bannock.evidence.endorsements import Endorsements
    from bannock.net.address import Address

__all__ = ["NONCE_BYTES", "attest_cas", "attest_report"]

NONCE_BYTES: Final = 32
_STATUS_OK: Final = 200
#: The words that scripts look for.
_FAILED: Final = "Error during attestation of CAS"
_SIMULATION: Final = "--only_for_testing-debug"
_ANYTHING: Final = f"{_SIMULATION} --only_for_testing-ignore-signer --only_for_testing-trust-any"


def attest_cas(
    address: Address,
    expected: CasExpectations,
    *,
    retries: int,
    at: datetime,
    random: Callable[[int], bytes],
    endorsements: Endorsements = NO_ENDORSEMENTS,
    observer: Callable[[Finding], None] | None = None,
) -> AttestedCas:
    """Ask a CAS for evidence and verify it.

    Args:
        address: of its client interface.
        expected: what it has to be.
        retries: how often to try again when the network fails.
        at: the time of the verdict.
        random: gives unpredictable bytes.
        endorsements: what vendors vouch for; what came along with the evidence is added to it.
        observer: learns everything that was looked at, also where the CAS is refused.

    Raises:
        EnvironmentFault: the CAS is not to be reached.
        PeerError, EvidenceError: it does not give evidence, or its evidence does not hold.
        DeniedError: it is not what is expected.
    """

    def ask() -> AttestedCas:
        nonce = random(NONCE_BYTES).hex()
        with connect(*address, None, expected_peer=expected.key_hash) as connection:
            answer = connection.request("GET", f"/v1/attest?nonce={nonce}")
            if answer.status != _STATUS_OK:
                raise from_problem(answer.status, answer.body)
            return verify_cas(
                answer.body,
                expected,
                nonce=nonce,
                exporter=connection.exporter(),
                peer=connection.peer_key_hash,
                at=at,
                endorsements=endorsements,
                observer=observer,
            )

    try:
        return tried_again(ask, retries)
    except (DeniedError, PeerError) as error:
        raise _failed(error) from error


def attest_report(
    report: bytes,
    expected: CasExpectations,
    *,
    nonce: str | None,
    at: datetime,
    endorsements: Endorsements = NO_ENDORSEMENTS,
    observer: Callable[[Finding], None] | None = None,
) -> AttestedCas:
    """Verify evidence that somebody else asked the CAS for.

    Raises:
        EvidenceError: it does not hold, or is for another nonce.
        DeniedError: the CAS is not what is expected.
    """
    try:
        return verify_cas_report(report, expected, nonce=nonce, at=at, endorsements=endorsements, observer=observer)
    except (DeniedError, PeerError) as error:
        raise _failed(error) from error


def _failed(error: DeniedError | PeerError) -> DeniedError | PeerError:
    if not isinstance(error, DeniedError):
        return type(error)(_FAILED)
    # Of a CAS on `sim`, the software can still be compared; so the next step is not to accept just anything.
    other_software = any(text.startswith("Enclave") for text in (error.message, *error.reasons))
    options = _ANYTHING if other_software else _SIMULATION
    return type(error)(_FAILED, hint=f"to accept it for tests: {options}")
