"""What verifying evidence gives: what is true, what it rests on, until when, and why. Pure.

Every platform's verifier gives the same thing. Whether what is true suffices is decided by the session
(``policy/decide.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from bannock.policy.claims import Claims
    from bannock.values import KeyHash, Measurement

__all__ = ["Appraisal", "Bound", "EnclaveIdentity", "Finding", "PlatformAppraisal", "TcbState"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, in a tree: what is below is what it follows from.

    Attributes:
        what: the statement, for example ``the quote is signed by the attestation key``.
        holds: whether it is true; None where it is told and not judged.
        detail: values, expected and found.
    """

    what: str
    holds: bool | None = True
    detail: str = ""
    because: tuple[Finding, ...] = ()

    def lines(self, depth: int = 0) -> list[str]:
        """Give the tree as text, a line each."""
        mark = {True: "ok", False: "FAILED", None: "info"}[self.holds]
        line = f"{'  ' * depth}{mark}: {self.what}{f' ({self.detail})' if self.detail else ''}"
        return [line, *(each for finding in self.because for each in finding.lines(depth + 1))]


@dataclass(frozen=True, slots=True, order=True)
class Bound:
    """Until when a verdict holds, and what ends it.

    Attributes:
        until: the moment at which it ends, with its time zone.
        what: what ends, for example ``TCB info of FMSPC 00606A000000 (nextUpdate)``.
        remedy: what has to be done before.
    """

    until: datetime
    what: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TcbState:
    """What the vendor says of the state of the platform's trusted computing base.

    Attributes:
        status: in the vendor's words, for example ``UpToDate`` or ``OutOfDate``; None where the vendor says nothing.
        level: which level the platform is at, in words, for example ``snp 8, microcode 115``.
        as_of: the date of the vendor's statement that the status is from; None where there is none.
    """

    status: str | None = None
    level: str = ""
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnclaveIdentity:
    """What a platform that knows enclaves (SGX) says of one itself."""

    measurement: Measurement
    signer: Measurement
    product_id: int
    svn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformAppraisal:
    """What a quote proves, before it is known whom it vouches for.

    Attributes:
        platform: the one whose format the quote has.
        genuine: whether it leads to the vendor's own root; else to a make-believe one, and nothing is protected.
        report_data: what the quote is bound to, 64 bytes; of a TPM the qualifying data, 32 bytes.
        enclave: on SGX, the enclave itself.
        debug: whether a debugger may look in.
        machine, machine_id, weaknesses, advisories: as in :class:`~bannock.policy.claims.Claims`.
        tcb: the state of the trusted computing base.
        warnings: what a person should know before relying on it.
        findings: why all of this is believed.
        bounds: until when.
    """

    platform: str
    genuine: bool
    report_data: bytes
    enclave: EnclaveIdentity | None = None
    debug: bool
    machine: Mapping[str, str] = field(default_factory=dict)
    machine_id: str | None = None
    weaknesses: frozenset[str] = frozenset()
    advisories: frozenset[str] = frozenset()
    tcb: TcbState = field(default_factory=TcbState)
    warnings: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    bounds: tuple[Bound, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Appraisal:
    """What verified evidence says.

    Attributes:
        claims: of the enclave.
        attester: hash of the key that signed the report; on SGX, of the enclave's quote itself there is none, and it
            is the hash of the machine.
        warnings: what a person should know before relying on it.
        tcb: the state of the platform's trusted computing base.
        findings: why all of this is believed.
        bounds: until when.
    """

    claims: Claims
    attester: KeyHash
    warnings: tuple[str, ...]
    tcb: TcbState = field(default_factory=TcbState)
    findings: tuple[Finding, ...] = ()
    bounds: tuple[Bound, ...] = ()

    @property
    def until(self) -> datetime | None:
        """When the first of the bounds is reached; None without any."""
        return min(self.bounds).until if self.bounds else None
