"""For relying parties: is the other side of a TLS connection, or the bearer of a token, the service that it has to be?

The public names of this package are those of this module. Nothing of a CAS or a runtime is needed.
"""

from bannock.errors import BannockError, DeniedError, EvidenceError
from bannock.evidence.ear import Tier
from bannock.evidence.enclave_expectations import EnclaveExpectations
from bannock.evidence.endorsements import Endorsements
from bannock.evidence.key_set import KeySet
from bannock.evidence.token import AttestationResult, verify_token
from bannock.policy.machines import MachineRule
from bannock.relying.key_sets import fetch_key_set
from bannock.relying.peer_verifier import ByEvidence, ByToken, Peer, PeerVerifier
from bannock.values import KeyHash, Measurement

__all__ = [
    "AttestationResult",
    "BannockError",
    "ByEvidence",
    "ByToken",
    "DeniedError",
    "EnclaveExpectations",
    "Endorsements",
    "EvidenceError",
    "KeyHash",
    "KeySet",
    "MachineRule",
    "Measurement",
    "Peer",
    "PeerVerifier",
    "Tier",
    "fetch_key_set",
    "verify_token",
]
