"""What ``scone cas verify-audit-log`` and ``scone cas attest-audit-log`` share."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import add_identity, add_retries, cas_address, identity_of, retries_of
from bannock.cli.options import add_json, as_json
from bannock.cli.state import state_file
from bannock.errors import InputError
from bannock.files import read_bounded
from bannock.net.address import Address
from bannock.remote.audit_check import CasHistory, LogCheck
from bannock.remote.cas_api import CasApi
from bannock.values import KeyHash

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from bannock.cas.audit.entry import Event, Transaction
    from bannock.cas.audit.findings import Status, Verdict
    from bannock.cas.audit.verification import Appraise

__all__ = ["EXIT_CODES", "add_log", "log_check", "tell"]

EXIT_CODES: Final = """\
Exit codes, the most severe first:
  20  the log is not authentic: it cannot be parsed, or a signature does not verify
  19  the log is not of the CAS that is expected
  18  the CAS was rolled back
  17  the CAS was rolled back, or entries are missing in the log
  16  a rollback of the CAS cannot be ruled out (also if it cannot be asked)
  15  the oldest entries are missing
  14  the newest entries are missing
  10  the log is correct; at least one transaction failed and was rolled back
   0  the log is correct
other: the verification could not be done (docs/errors.md)"""

_LOG_BYTES_MAX: Final = 4 << 30
_LINK_BYTES: Final = (32, 64)
#: Facts that are too long for a line; the log has them.
_NOT_SHOWN: Final = frozenset({"certificate_chain", "report"})


def add_log(parser: argparse.ArgumentParser) -> None:
    """Add the file, the CAS, and where a log was split."""
    parser.add_argument("log", type=Path, metavar="LOG_FILE_PATH", help="the audit log: an entry a line")
    parser.add_argument("-p", "--print-log", action="store_true", help="print the log for people, to standard output")
    add_json(parser, "the verdict (and with -p the log)")
    parser.add_argument("--cas", metavar="CAS", help="the CAS that the log is of (the default one)")
    parser.add_argument(
        "-c", "--cas-key-hash", metavar="CAS_KEY_HASH", help="the key of that CAS, if it was not attested; with --cas"
    )
    add_identity(parser)
    add_retries(parser)
    parser.add_argument(
        "--predecessor",
        metavar="SIGNATURE",
        help="of a log that was split: the signature of the last entry of the log before this one",
    )
    parser.add_argument(
        "--last",
        metavar="SIGNATURE",
        help="of a log that was split: the predecessor's signature in the first entry of the log after this one",
    )


@contextmanager
def log_check(parsed: argparse.Namespace, appraise: Appraise | None = None) -> Iterator[LogCheck]:
    """Prepare what the options ask for.

    Raises:
        InputError: the CAS has not been attested, or an option has a value that it cannot have.
    """
    state = state_file(os.environ)
    if parsed.cas_key_hash is None:
        known = state.read().find_cas(parsed.cas)
        address, key = Address(known.host, known.port), known.key
    elif parsed.cas is None:
        raise InputError("--cas-key-hash is the key of the CAS that --cas names: both are needed")
    else:
        address, key = cas_address(parsed.cas), KeyHash.from_base58(parsed.cas_key_hash)
    identity = identity_of(parsed.identity, state)
    with CasApi(address, identity, expected=key, retries=retries_of(parsed.retries)) as api:
        yield LogCheck(
            read=lambda: read_bounded(parsed.log, _LOG_BYTES_MAX),
            ask=CasHistory(api),
            expected=[key],
            predecessor=_signature("--predecessor", parsed.predecessor) or b"",
            last=_signature("--last", parsed.last),
            appraise=appraise,
        )


def tell(verdict: Verdict, *, with_log: bool, in_json: bool) -> int:
    """Print the log if that is asked for, say what was found, and give the exit code."""
    if in_json:
        sys.stdout.write(as_json(_document(verdict, with_log=with_log)))
        return verdict.outcome.value
    if with_log:
        sys.stdout.writelines(
            f"{_told(entry, event, status)}\n" for entry, status in verdict.entries for event in entry.events
        )
        sys.stdout.flush()
    outcome = verdict.outcome
    lines = [f"{finding.outcome.value:2}  {finding.message}" for finding in verdict.findings]
    count = sum(len(entry.events) for entry, _ in verdict.entries)
    lines.append(f"{outcome.meaning[0].upper()}{outcome.meaning[1:]}: {len(verdict.entries)} entries, {count} events")
    sys.stderr.writelines(f"{line}\n" for line in lines)
    return outcome.value


def _document(verdict: Verdict, *, with_log: bool) -> dict[str, object]:
    found: dict[str, object] = {
        "code": verdict.outcome.value,
        "outcome": verdict.outcome.meaning,
        "entries": len(verdict.entries),
        "findings": [{"code": finding.outcome.value, "found": finding.message} for finding in verdict.findings],
    }
    if with_log:
        found["log"] = [
            {
                "entry": entry.sequence,
                "at": entry.at.isoformat(),
                "event": event.event,
                "facts": {name: fact for name, fact in event.facts.items() if name not in _NOT_SHOWN},
                "status": None if status is None else str(status),
            }
            for entry, status in verdict.entries
            for event in entry.events
        ]
    return found


def _told(entry: Transaction, event: Event, status: Status | None) -> str:
    facts = " ".join(
        f"{name}={'; '.join(fact) if isinstance(fact, list) else fact}"
        for name, fact in event.facts.items()
        if name not in _NOT_SHOWN
    )
    # What others chose (names, reasons) is not to play with the terminal.
    safe = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in facts)
    known = f"  [{status}]" if status is not None else ""
    return f"{entry.sequence:8}  {entry.at:%Y-%m-%d %H:%M:%S}  {event.event}  {safe}".rstrip() + known


def _signature(option: str, text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) not in _LINK_BYTES:
        raise InputError(f"{option} is the signature of an entry, 128 hexadecimal digits, found {text[:80]!r}")
    return value
