"""How a machine was started, as its quoted registers and its event log say. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock.errors import EvidenceError
from bannock.evidence.appraisal import Finding
from bannock.evidence.tpm.event_log import EventLog, digest_of, extended
from bannock.evidence.tpm.secure_boot import SECURE_BOOT_REGISTER, secure_boot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.evidence.tpm.quoted import Pcrs

__all__ = ["Boot", "boot_of"]

#: Registers of the firmware, of which its log knows everything; in others the system goes on measuring.
_FIRMWARE: Final = range(8)
_BOOT_MANAGER: Final = 5
#: What the firmware measures as the last thing, and does not always write into its log (PFP, section 3.3.4.6).
_LAST_WORDS: Final = (b"Exit Boot Services Invocation", b"Exit Boot Services Returned with Success")
_WEAK: Final = "sha1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """What is known of a start.

    Attributes:
        machine: the names and values of :attr:`~bannock.policy.claims.Claims.machine`.
        debug: whether a debugger of the firmware could be used.
        warnings: what a person should know.
        findings: why all of this is believed.
    """

    machine: Mapping[str, str]
    debug: bool = False
    warnings: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


def boot_of(pcrs: Pcrs, event_log: bytes) -> Boot:
    """Say how a machine was started.

    Args:
        pcrs: what its registers stand at, as its TPM has signed it.
        event_log: of its firmware, which nobody has signed; or nothing.

    Raises:
        EvidenceError: the log is malformed, or tells of another start than the registers; or all of them are of SHA-1,
            so that they tell nothing.
    """
    strong = {bank: values for bank, values in pcrs.items() if bank != _WEAK}
    if not any(strong.values()) and pcrs.get(_WEAK):
        raise EvidenceError("the TPM's quote is over registers of SHA-1 alone, which prove nothing")
    machine = {
        f"pcr.{bank}.{index}": value.hex() for bank, values in strong.items() for index, value in values.items()
    }
    if not event_log:
        return Boot(machine=machine, findings=(Finding("there is no event log", None),))
    log = EventLog.parse(event_log)
    findings: list[Finding] = []
    debug, said = False, None
    for bank, values in strong.items():
        if bank not in log.banks:
            findings.append(Finding(f"the event log has no digests for bank {bank}", None))
            continue
        findings += _require_replay(log, bank, values)
        if SECURE_BOOT_REGISTER in values:
            said = secure_boot(log, bank)
            debug = debug or said.debug
            if said.enabled is not None and machine.get("secure_boot") != "false":
                machine["secure_boot"] = str(said.enabled).lower()
    if said is not None:
        findings.append(
            Finding("the firmware's log tells of secure boot", said.enabled, said.reason or str(said.enabled).lower())
        )
    warnings = ("the firmware was started in debug mode (UEFI Debug Mode)",) if debug else ()
    return Boot(machine=machine, debug=debug, warnings=warnings, findings=tuple(findings))


def _require_replay(log: EventLog, bank: str, values: Mapping[int, bytes]) -> list[Finding]:
    """Say that the log has to tell of what the registers stand at."""
    replayed = log.replay(bank)
    findings: list[Finding] = []
    differing: list[str] = []
    for index, value in sorted(values.items()):
        found = replayed.get(index, bytes(len(value)) if index in _FIRMWARE else None)
        if found is None or found == value:
            told = [] if found is None else [Finding(f"the event log gives register {bank}:{index}")]
        elif index not in _FIRMWARE:
            told = [Finding(f"register {bank}:{index} was measured into after what the event log tells", None)]
        elif index == _BOOT_MANAGER and _with_last_words(bank, found) == value:
            told = [Finding(f"the event log gives register {bank}:{index}, but for the firmware's last two events")]
        else:
            told = []
            differing.append(f"{bank}:{index}: the log gives {found.hex()}, the TPM says {value.hex()}")
        findings += told
    if differing:
        raise EvidenceError(
            "the event log tells of another start of the machine than the registers",
            reasons=differing,
            hint="if this firmware writes no true log, run the LAS without one; secure_boot is not known then",
        )
    return findings


def _with_last_words(bank: str, value: bytes) -> bytes:
    for words in _LAST_WORDS:
        value = extended(bank, value, digest_of(bank, words))
    return value
