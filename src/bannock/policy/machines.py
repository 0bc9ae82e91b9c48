"""Machines: which of those that vouch for a LAS are trusted, by what a platform says of them.

Pure, and light to import. A rule is a conjunction over the names of :attr:`~bannock.policy.claims.Claims.machine`; a
session lists rules, and any of them suffices.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError
from bannock.policy.claims import MACHINES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bannock.policy.claims import Claims

__all__ = ["MIGRATION_AGENT", "MachineRule", "is_machine_claim", "machine_mismatches", "machine_platform", "rule_for"]

#: MIGRATE_MA of a guest policy (AMD 56860): an agent of the host may take the memory of the guest out.
MIGRATION_AGENT: Final = 1 << 18
_PCR: Final = re.compile(r"pcr\.(?P<bank>sha256|sha384)\.(?P<index>[0-9]{1,2})")
#: All names of claims, those of registers of a TPM apart.
_NAMES: Final = frozenset(
    [
        "mrtd",
        "rtmr0",
        "rtmr1",
        "rtmr2",
        "rtmr3",
        "mrseam",
        "mrsignerseam",
        "mrconfigid",
        "mrowner",
        "mrownerconfig",
        "td_attributes",
        "xfam",
        "tee_tcb_svn",
        "mr_service_td",
        "measurement",
        "host_data",
        "family_id",
        "image_id",
        "id_key_digest",
        "author_key_digest",
        "guest_svn",
        "vmpl",
        "policy",
        "product",
        "tcb_bootloader",
        "tcb_tee",
        "tcb_snp",
        "tcb_microcode",
        "tcb_fmc",
        "secure_boot",
    ]
)
_HEX: Final = re.compile(r"[0-9a-fA-F]{1,32}")
_TCB: Final = "tcb_"
#: What names the software of a machine, so that a rule that is suggested has it, even where it is zero.
_SUGGESTED: Final[Mapping[str, tuple[str, ...]]] = {
    "tdx": ("mrtd", "rtmr0", "rtmr1", "rtmr2"),
    "sev-snp": ("measurement",),
}
#: Registers that are the same after each start of the same software: code of firmware and devices, boot loader, Secure
#: Boot, kernel, initial file system and their command lines (UAPI group, Linux TPM PCR Registry).
_LASTING: Final = frozenset({0, 2, 4, 7, 8, 9, 11, 12, 14})
#: What is suggested where it is set.
_SUGGESTED_IF_SET: Final[Mapping[str, tuple[str, ...]]] = {
    "tdx": ("rtmr3", "mrconfigid", "mrowner", "mrownerconfig"),
    "sev-snp": ("host_data", "id_key_digest", "author_key_digest", "family_id", "image_id", "vmpl"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineRule:
    """What one kind of machine has to be.

    Attributes:
        platform: the platform that vouches for it.
        values: name of a claim → the values that are accepted, in the form that the claim has.
        at_least: name of a claim → the lowest number that is accepted.
        without: name of a claim, a number in hexadecimal → bits that may not be set in it, and what they mean.
    """

    platform: str
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    at_least: Mapping[str, int] = field(default_factory=dict)
    without: Mapping[str, tuple[int, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.platform not in MACHINES:
            raise InputError(f"a machine is of platform {', '.join(sorted(MACHINES))}, found {self.platform[:40]!r}")
        if not self.values:
            raise InputError("a rule for machines asks for something")

    def mismatches(self, machine: Mapping[str, str]) -> Iterator[str]:
        """Name what keeps a machine of the rule's platform from fulfilling it; nothing where it does."""
        for name, accepted in self.values.items():
            found = machine.get(name)
            if found is None or found.lower() not in accepted:
                yield f"Unexpected machine ({_label(name)}, {found or 'not told'}) - Expected {' or '.join(accepted)}"
        for name, lowest in self.at_least.items():
            found = machine.get(name)
            if found is None or not found.isdecimal() or int(found) < lowest:
                yield f"Unexpected machine ({_label(name)}, {found or 'not told'}) - Expected at least {lowest}"
        for name, (bits, meaning) in self.without.items():
            found = machine.get(name)
            if found is None or not _HEX.fullmatch(found) or int(found, 16) & bits:
                told = found or "not told"
                yield f"Unexpected machine ({_label(name)}, {told}) - Expected one without {meaning}, or named so"


def is_machine_claim(name: str) -> bool:
    """Whether a platform tells something of its machines under a name."""
    return name in _NAMES or _PCR.fullmatch(name) is not None


def machine_platform(claims: Claims) -> str | None:
    """Give the platform that vouches for the machine of an enclave, or is rehearsed to; None where none does."""
    platform = claims.rehearses or claims.platform
    return platform if platform in MACHINES else None


def machine_mismatches(rules: Sequence[MachineRule], claims: Claims) -> list[str]:
    """Name what keeps a machine from fulfilling any of the rules; nothing where it does, or where there is none."""
    platform = machine_platform(claims)
    if platform is None:
        return []
    of_platform = [rule for rule in rules if rule.platform == platform]
    if not of_platform:
        expected = " or ".join(dict.fromkeys(rule.platform for rule in rules))
        return [
            f"Unexpected machine (platform, {platform}) - Expected {expected}"
            if rules
            else f"Unexpected machine (platform, {platform}) - Expected one that the session lists"
        ]
    found: list[str] = []
    for number, rule in enumerate(of_platform, start=1):
        place = f" (machine {number} of {len(of_platform)})" if len(of_platform) > 1 else ""
        reasons = [f"{reason}{place}" for reason in rule.mismatches(claims.machine)]
        if not reasons:
            return []
        found += reasons
    return found


def rule_for(claims: Claims) -> str | None:
    """Write the rule that accepts a machine like this one, as a session has it; None where nothing is told of it."""
    platform, machine = machine_platform(claims), claims.machine
    if platform is None:
        return None
    if platform == "tpm":
        return _tpm_rule(machine)
    names = [name for name in _SUGGESTED[platform] if name in machine]
    names += [name for name in _SUGGESTED_IF_SET[platform] if machine.get(name, "0").strip("0")]
    if not names:
        return None
    policy = machine.get("policy", "0")
    if platform == "sev-snp" and _HEX.fullmatch(policy) and int(policy, 16) & MIGRATION_AGENT:
        names.append("policy")
    return f"{{{platform}: {{{', '.join(f'{name}: {_quoted(machine[name])}' for name in names)}}}}}"


def _tpm_rule(machine: Mapping[str, str]) -> str | None:
    banks: dict[str, list[tuple[int, str]]] = {}
    for name, value in machine.items():
        match = _PCR.fullmatch(name)
        if match is not None:
            banks.setdefault(match["bank"], []).append((int(match["index"]), value))
    if not banks:
        return None
    bank = "sha256" if "sha256" in banks else "sha384"
    listed = sorted(banks[bank])
    lasting = [(index, value) for index, value in listed if index in _LASTING and value.strip("0")]
    pcrs = ", ".join(f"{index}: {_quoted(value)}" for index, value in lasting or listed)
    secure_boot = ", secure_boot: true" if machine.get("secure_boot") == "true" else ""
    return f"{{tpm: {{pcrs: {{{bank}: {{{pcrs}}}}}{secure_boot}}}}}"


def _quoted(value: str) -> str:
    """Quote what other YAML readers than ours would take for a number."""
    return f'"{value}"' if re.fullmatch(r"[0-9]+(?:e[0-9]+)?", value) else value


def _label(name: str) -> str:
    """Name a claim as vendors do, near enough."""
    match = _PCR.fullmatch(name)
    if match is not None:
        return f"PCR {match['index']} ({match['bank']})"
    if name.startswith(_TCB):
        return f"TCB {name.removeprefix(_TCB)}"
    return name.upper()
