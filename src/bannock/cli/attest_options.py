"""Options that say what a CAS has to be, for the verbs that attest one."""

from __future__ import annotations

import datetime as dt
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.collateral_here import add_collateral, collateral_here
from bannock.errors import InputError
from bannock.evidence.cas_verifier import CasExpectations
from bannock.files import read_bounded
from bannock.values import KeyHash, Measurement

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from bannock.evidence.endorsements import Endorsements
    from bannock.policy.machines import MachineRule

__all__ = [
    "ACCEPTED_HELP",
    "add_accepted",
    "add_expectations",
    "add_keys",
    "add_machines",
    "endorsements_of",
    "expectations",
    "machines_text",
    "tolerated",
    "verification_time",
]

_VARIABLE: Final = "SCONE_CLI_MRENCLAVE"
_DATES: Final = ("%Y-%m-%d", "%d.%m.%Y", "%d-%m-%Y")
_UINT16_MAX: Final = 0xFFFF
_MACHINES_BYTES_MAX: Final = 1 << 20
_KEY: Final = re.compile("[0-9a-fA-F]{64}")

ACCEPTED_HELP: Final = """\
What its software has to be: one of the measurements (--mrenclave, or $SCONE_CLI_MRENCLAVE), or what a signer has
signed (--mrsigner with --isvprodid and --isvsvn). Without either it has to be the software that is installed here.

Platform `sim` protects nothing: --only_for_testing-debug accepts it. On TDX, SEV-SNP and TPM 2 a whole machine is
attested, and what was started in it has to be known, too: its values (--machines), or the key of the LAS in it."""


def add_accepted(parser: argparse.ArgumentParser) -> None:
    """Add the weaknesses of the platform that are accepted; some have short options that may be combined (-GCS)."""
    for short, name, what in (
        ("-C", "configuration-needed", "the configuration is insecure, or hyperthreading is enabled"),
        ("-G", "group-out-of-date", "the TCB is out of date; dangerous"),
        ("-S", "sw-hardening-needed", "software has to be hardened"),
    ):
        parser.add_argument(short, f"--accept-{name}", action="store_true", help=f"accept a platform where {what}")


def add_expectations(parser: argparse.ArgumentParser) -> None:
    """Add what the software of a CAS has to be, and what is accepted of its platform."""
    parser.add_argument("_mrenclave", nargs="?", metavar="MRENCLAVE", help="as --mrenclave (deprecated)")
    add_accepted(parser)
    add_machines(parser)
    _add_platform(parser)
    add_collateral(parser)
    parser.add_argument(
        "--tpm-roots",
        type=Path,
        metavar="DIR",
        help="certificates of those who are trusted to vouch for TPMs and their attestation keys",
    )
    parser.add_argument(
        "--mrenclave",
        action="append",
        default=[],
        metavar="MRENCLAVE",
        help="a measurement that the CAS may have; any of several will do",
    )
    parser.add_argument("--mrsigner", metavar="MRSIGNER", help="who has to have signed the software")
    parser.add_argument("--isvprodid", metavar="ISVPRODID", help="the product id that it has to have")
    parser.add_argument("--isvsvn", metavar="ISVSVN", help="the security version that it has to have, or a later one")
    parser.add_argument(
        "--verification-time",
        metavar="DATE",
        help="yyyy-mm-dd, dd.mm.yyyy or dd-mm-yyyy (0 o'clock UTC): the time of the verdict, instead of now",
    )
    for name, dest, what in (
        ("debug", "debug", "accept a CAS that cannot protect secrets: in debug mode, or simulated"),
        ("ignore-signer", "ignore_signer", "do not look at the signer; then --mrenclave is needed"),
        ("trust-any", "trust_any", "accept any software whatever; only with --only_for_testing-debug"),
    ):
        parser.add_argument(f"--only_for_testing-{name}", action="store_true", dest=dest, help=what)


def add_machines(parser: argparse.ArgumentParser) -> None:
    """Add which machines and weaknesses are accepted by name."""
    parser.add_argument(
        "--accept-weakness",
        action="append",
        default=[],
        metavar="NAME",
        help="accept a weakness of the platform by the name that sessions tolerate it by, for example aepic-leak",
    )
    parser.add_argument(
        "--machines",
        type=Path,
        metavar="FILE",
        help="what the machine of the CAS may be, on TDX, SEV-SNP and TPM 2: rules as sessions have them in "
        "security.attestation.machines",
    )


def _add_platform(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--accept-advisory",
        action="append",
        metavar="ADVISORY",
        help="accept this advisory, and no other that is not named so; without this option those are accepted that "
        "come with a state of the platform that is",
    )
    parser.add_argument(
        "--attester",
        action="append",
        default=[],
        metavar="KEY",
        help="64 hexadecimal digits: the key of a LAS that is trusted whatever its machine is",
    )


def add_keys(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    """Add which keys the CAS has to have."""
    parser.add_argument(
        "-c", dest="key_hash", metavar="CAS_KEY_HASH", required=required, help="the key that the CAS has to have"
    )
    parser.add_argument(
        "-s", dest="software_key_hash", metavar="CAS_SOFTWARE_KEY_HASH", help="the key that its software has to have"
    )


def expectations(
    parsed: argparse.Namespace,
    *,
    key_hash: str | None = None,
    software_key_hash: str | None = None,
    allow_unprovisioned: bool = False,
    allow_owner_secret_access: bool = False,
) -> CasExpectations:
    """Give what the options ask for.

    Raises:
        InputError: options do not go together, or have values that they cannot have.
    """
    measurements = [*parsed.mrenclave, *([parsed._mrenclave] if parsed._mrenclave else [])]  # noqa: SLF001 - argparse's
    if not measurements and os.environ.get(_VARIABLE) and not parsed.mrsigner:
        measurements = os.environ[_VARIABLE].split()
    _require_consistent(parsed, measurements)
    trusted = frozenset(Measurement.from_hex(text) for text in measurements)
    if not trusted and not parsed.trust_any and parsed.mrsigner is None:
        # What is installed here is measured only where it is needed: it takes a while.
        from bannock.identity.cas_program import cas_measurement  # noqa: PLC0415

        trusted = frozenset({cas_measurement()})
    return CasExpectations(
        mrenclaves=trusted,
        mrsigner=None if parsed.mrsigner is None else Measurement.from_hex(parsed.mrsigner),
        isvprodid=_number("--isvprodid", parsed.isvprodid),
        isvsvn=_number("--isvsvn", parsed.isvsvn),
        any_software=parsed.trust_any,
        key_hash=None if key_hash is None else KeyHash.from_base58(key_hash),
        software_key_hash=None if software_key_hash is None else KeyHash.from_base58(software_key_hash),
        machines=() if parsed.machines is None else _machines(parsed.machines),
        attesters=frozenset(_attester(text) for text in parsed.attester),
        tolerated=tolerated(parsed),
        advisories=None if parsed.accept_advisory is None else frozenset(parsed.accept_advisory),
        allow_debug=parsed.debug,
        allow_simulation=parsed.debug,
        allow_unprovisioned=allow_unprovisioned,
        allow_owner_secret_access=allow_owner_secret_access,
    )


def _require_consistent(parsed: argparse.Namespace, measurements: Sequence[str]) -> None:
    if parsed.trust_any and not parsed.debug:
        raise InputError("--only_for_testing-trust-any is for tests: it needs --only_for_testing-debug")
    if parsed.mrsigner is not None and (parsed.isvprodid is None or parsed.isvsvn is None):
        raise InputError("--mrsigner needs --isvprodid and --isvsvn: a signer signs many programs")
    if parsed.mrsigner is not None and parsed.ignore_signer:
        raise InputError("--mrsigner and --only_for_testing-ignore-signer contradict each other")
    if parsed.ignore_signer and not measurements and not parsed.trust_any:
        raise InputError("--only_for_testing-ignore-signer needs the measurement of the CAS: --mrenclave MRENCLAVE")


def tolerated(parsed: argparse.Namespace) -> frozenset[str]:
    """Give the weaknesses that options accept, as sessions name them."""
    named = {
        "insecure-configuration": parsed.accept_configuration_needed,
        "hyperthreading": parsed.accept_configuration_needed,
        "outdated-tcb": parsed.accept_group_out_of_date,
        "software-hardening-needed": parsed.accept_sw_hardening_needed,
    }
    return frozenset({*parsed.accept_weakness, *(name for name, accepted in named.items() if accepted)})


def endorsements_of(parsed: argparse.Namespace, at: dt.datetime) -> Endorsements:
    """Give what vendors vouch for, beside what comes with evidence, and who else is trusted for TPMs.

    Raises:
        InputError: a directory that is named cannot be read.
    """
    known = collateral_here(None if parsed.collateral is None else Path(parsed.collateral))
    if parsed.tpm_roots is None:
        return known
    # What reads them is of a CAS, and slow to import.
    from bannock.cas.tpm_roots import TpmRoots  # noqa: PLC0415

    trusted = TpmRoots(parsed.tpm_roots).at(at)
    return replace(known.merged(trusted), roots=trusted.roots)


def machines_text(path: Path) -> str:
    """Read a file of rules for machines.

    Raises:
        InputError: it cannot be read, or is not UTF-8 text.
    """
    try:
        return read_bounded(path, _MACHINES_BYTES_MAX).decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text") from None


def _machines(path: Path) -> tuple[MachineRule, ...]:
    # Slow to import, and seldom needed.
    from bannock.policy.machine_file import parse_machines  # noqa: PLC0415

    try:
        return parse_machines(machines_text(path))
    except InputError as error:
        raise InputError(f"cannot use the machines of {path}") from error


def _attester(text: str) -> str:
    if not _KEY.fullmatch(text):
        raise InputError(f"--attester is a key of 64 hexadecimal digits, found {text[:80]!r}")
    return text.lower()


def _number(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and int(text) <= _UINT16_MAX):
        raise InputError(f"{option} is a number from 0 to {_UINT16_MAX}, found {text[:40]!r}")
    return int(text)


def verification_time(text: str | None, now: dt.datetime, *, option: str = "--verification-time") -> dt.datetime:
    """Give the time of the verdict.

    Raises:
        InputError: the text is not a date.
    """
    if text is None:
        return now
    for form in _DATES:
        try:
            return dt.datetime.strptime(text, form).replace(tzinfo=dt.UTC)
        except ValueError:
            continue
    raise InputError(f"{option} is yyyy-mm-dd, dd.mm.yyyy or dd-mm-yyyy, found {text[:40]!r}")
