"""What a CAS has to be beside an enclave: its keys, and its state. Pure.

As :mod:`bannock.evidence.enclave_expectations`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bannock.evidence.appraisal import Finding
from bannock.evidence.enclave_expectations import EnclaveExpectations, compared, enclave_findings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.evidence.cas_statement import CasStatement
    from bannock.policy.claims import Claims
    from bannock.values import KeyHash

__all__ = ["CasExpectations", "software_findings", "state_findings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CasExpectations(EnclaveExpectations):
    """What a CAS has to be.

    Attributes:
        key_hash: the key of the CAS; None: any.
        software_key_hash: the key of its software; None: any.
        allow_unprovisioned: whether it may be without an owner, where it serves nobody without one.
        allow_owner_secret_access: whether its owner may have chosen the key of its database.
    """

    key_hash: KeyHash | None = None
    software_key_hash: KeyHash | None = None
    allow_unprovisioned: bool = False
    allow_owner_secret_access: bool = False


def state_findings(statement: CasStatement, claims: Claims, expected: CasExpectations) -> Iterator[Finding]:
    """Compare all that a statement and its evidence tell with what is expected."""
    yield from software_findings(claims, expected)
    yield from _keys(statement, expected)
    waiting = statement.provisioning_required and not statement.provisioned
    if waiting and not expected.allow_unprovisioned:
        yield Finding("The CAS is not provisioned: it waits for its owner", holds=False)
    else:
        yield Finding("the CAS has an owner" if statement.provisioned else "the CAS has no owner", None)
    if statement.owner_secret_access and not expected.allow_owner_secret_access:
        yield Finding(
            "The owner of the CAS chose the key of its database, and so can read the secrets of all sessions",
            holds=False,
        )


def software_findings(claims: Claims, expected: CasExpectations) -> Iterator[Finding]:
    """Compare what evidence tells without a statement: the software and its platform."""
    yield from enclave_findings(claims, expected, "CAS")


def _keys(statement: CasStatement, expected: CasExpectations) -> Iterator[Finding]:
    for name, wanted, found in (
        ("CAS key hash", expected.key_hash, statement.key_hash),
        ("CAS software key hash", expected.software_key_hash, statement.software_key_hash),
    ):
        if wanted is None:
            yield Finding(f"any {name} is accepted", None, str(found))
            continue
        yield compared(
            found == wanted,
            f"the {name} is the one expected",
            str(found),
            f"{name} does not match expectation: expected {wanted}, found {found}",
        )
