"""Attesting a CAS over the network: the connection, the nonce and the retries around what is verified.

What evidence proves, and whether it suffices, is decided by :mod:`bannock.evidence.cas_verifier`.
"""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from bannock.errors import ActivationError, Bug, DeniedError, PeerError
from bannock.evidence.cas_verifier import verify_cas, verify_cas_report
from bannock.evidence.endorsements import NO_ENDORSEMENTS
from bannock.evidence.envelope import Envelope
from bannock.evidence.quotes import TpmQuote
from bannock.net.client import connect
from bannock.net.problem import from_problem
from bannock.policy.canonical import canonical_json
from bannock.remote.cas_api import tried_again
from bannock.remote.tpm_proof import own_authority

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from bannock.evidence.appraisal import Finding
    from bannock.evidence.cas_verifier import AttestedCas, CasExpectations
    from bannock.evidence.endorsements import Endorsements
    from bannock.net.address import Address
    from bannock.net.client import Connection

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
        endorsements: what vendors vouch for; what came along with the evidence is added to it. With roots in it that
            vouch for TPMs, the TPM of a CAS has to prove itself here.
        observer: learns everything that was looked at, also where the CAS is refused.

    Raises:
        EnvironmentFault: the CAS is not to be reached.
        PeerError, EvidenceError: it does not give evidence, or its evidence does not hold.
        DeniedError: it is not what is expected.
    """

    def ask_once(connection: Connection, known: Endorsements) -> AttestedCas | bytes:
        """Attest it; or give its answer, if its TPM has to prove itself first."""
        nonce = random(NONCE_BYTES).hex()
        answer = connection.request("GET", f"/v1/attest?nonce={nonce}")
        if answer.status != _STATUS_OK:
            raise from_problem(answer.status, answer.body)
        try:
            return verify_cas(
                answer.body,
                expected,
                nonce=nonce,
                exporter=connection.exporter(),
                peer=connection.peer_key_hash,
                at=at,
                endorsements=known,
                observer=observer,
            )
        except ActivationError:
            if known is not endorsements or not endorsements.roots:
                raise
            return answer.body

    def ask() -> AttestedCas:
        with connect(*address, None, expected_peer=expected.key_hash) as connection:
            found = ask_once(connection, endorsements)
            if isinstance(found, bytes):
                authority = own_authority(at, random)
                challenge = authority.challenge(_tpm_quote(found), endorsements, at)
                payload = {"challenge": b64encode(challenge).decode("ascii")}
                connection.request_json("POST", "/v1/attest/activate", payload)
                trusted = replace(endorsements, roots=(*endorsements.roots, authority.root))
                found = ask_once(connection, trusted)
            if isinstance(found, bytes):
                raise Bug("a TPM was to prove itself twice")
            return found

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


def _tpm_quote(answer: bytes) -> TpmQuote:
    quote = Envelope.from_json(canonical_json(json.loads(answer)["evidence"])).quote
    if not isinstance(quote, TpmQuote):
        raise Bug(f"platform {quote.platform} has no key that had to be activated")
    return quote


def _failed(error: DeniedError | PeerError) -> DeniedError | PeerError:
    if not isinstance(error, DeniedError):
        return type(error)(_FAILED)
    # Of a CAS on `sim`, the software can still be compared; so the next step is not to accept just anything.
    other_software = any(text.startswith("Enclave") for text in (error.message, *error.reasons))
    options = _ANYTHING if other_software else _SIMULATION
    return type(error)(_FAILED, hint=f"to accept it for tests: {options}")
