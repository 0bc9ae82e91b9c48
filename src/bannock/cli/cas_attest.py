"""``scone cas attest``: find out whether a CAS is what it has to be."""

from __future__ import annotations

import datetime as dt
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.attest_options import (
    ACCEPTED_HELP,
    add_expectations,
    add_keys,
    endorsements_of,
    expectations,
    verification_time,
)
from bannock.cli.cas_list import known_document
from bannock.cli.cas_options import SconeParser, add_retries, cas_address, retries_of
from bannock.cli.cas_remember import plain_name, remember
from bannock.cli.options import add_json, as_json
from bannock.cli.state import state_file
from bannock.errors import InputError
from bannock.evidence.cas_verifier import ATTESTATION_BYTES_MAX
from bannock.files import read_bounded
from bannock.remote.cas_attestation import attest_cas, attest_report

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from bannock.evidence.appraisal import Finding
    from bannock.evidence.cas_verifier import AttestedCas

__all__ = ["main"]

_DESCRIPTION: Final = f"""\
Ask a CAS for evidence of what it is, verify it, and remember the CAS by its key. All other commands speak only with a
CAS that was attested, and notice when another one answers. The first CAS becomes the default one.

{ACCEPTED_HELP}"""
_EXAMPLES: Final = """\
  scone cas attest cas.example.com
  scone cas attest cas.example.com --mrenclave 0a7f2f03e98a63656868a7083aa110210d244740fa73fa455130a1f926398e9e
  scone cas attest cas.example.com --explain
      and tell everything that was looked at, in a tree
  scone cas attest localhost -GCS --only_for_testing-debug
      a CAS of this very software on the platform sim
  scone cas attest cas:8081 -GCS --only_for_testing-debug --only_for_testing-ignore-signer --only_for_testing-trust-any
      whatever CAS is there: for tests, never with a secret that matters"""


def main(arguments: Sequence[str]) -> int:
    """Parse, attest, remember, print."""
    parser = SconeParser("cas attest", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("address", metavar="ADDRESS", help="HOST, HOST:PORT or https://HOST:PORT/")
    add_expectations(parser)
    add_keys(parser)
    add_retries(parser)
    parser.add_argument(
        "--allow-cas-owner-secret-access",
        action="store_true",
        dest="owner_access",
        help="accept a CAS whose owner chose the key of its database, and so can read the secrets of sessions",
    )
    parser.add_argument(
        "--only_for_testing_allow-unprovisioned-cas",
        action="store_true",
        dest="unprovisioned",
        help="accept a CAS that waits for its owner",
    )
    parser.add_argument(
        "--offline-report", type=Path, metavar="FILE", help="the answer of /v1/attest, from a file instead of the CAS"
    )
    parser.add_argument("--nonce", metavar="NONCE", help="the nonce that the offline report was asked for with")
    parser.add_argument(
        "-v", "--explain", action="store_true", help="tell everything that was looked at, also where it is refused"
    )
    add_json(parser, "what is remembered of it")
    parsed = parser.parse(arguments)
    now = dt.datetime.now(dt.UTC)
    address, name = cas_address(parsed.address), plain_name(parsed.address)
    known = remember(state_file(os.environ), name, address, _attested(parsed, now), now)
    if parsed.as_json:
        sys.stdout.write(as_json(known_document(known, state_file(os.environ).read().default_cas)))
        return 0
    sys.stdout.write(f"CAS {known.host} at https://{address}/ is trustworthy\n")
    return 0


def _tell(finding: Finding) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in finding.lines()))


def _tell_state(attested: AttestedCas) -> None:
    """Tell what findings do not: the state of the platform, and until when the evidence holds."""
    tcb = attested.tcb
    if tcb.status is not None:
        level = f", {tcb.level}" if tcb.level else ""
        sys.stdout.write(f"the platform is {tcb.status}{level}\n")
    for bound in sorted(attested.bounds):
        remedy = f"; {bound.remedy}" if bound.remedy else ""
        sys.stdout.write(f"holds until {bound.until.isoformat(timespec='seconds')}: {bound.what}{remedy}\n")


def _attested(parsed: argparse.Namespace, now: dt.datetime) -> AttestedCas:
    if parsed.nonce is not None and parsed.offline_report is None:
        raise InputError("--nonce goes with --offline-report: a CAS that is asked here gets a fresh one")
    expected = expectations(
        parsed,
        key_hash=parsed.key_hash,
        software_key_hash=parsed.software_key_hash,
        allow_unprovisioned=parsed.unprovisioned,
        allow_owner_secret_access=parsed.owner_access,
    )
    at = verification_time(parsed.verification_time, now)
    observer = _tell if parsed.explain and not parsed.as_json else None
    endorsements = endorsements_of(parsed, at)
    if parsed.offline_report is not None:
        report = read_bounded(parsed.offline_report, ATTESTATION_BYTES_MAX)
        attested = attest_report(
            report, expected, nonce=parsed.nonce, at=at, endorsements=endorsements, observer=observer
        )
    else:
        attested = attest_cas(
            cas_address(parsed.address),
            expected,
            retries=retries_of(parsed.retries),
            at=at,
            random=secrets.token_bytes,
            endorsements=endorsements,
            observer=observer,
        )
    if parsed.explain and not parsed.as_json:
        _tell_state(attested)
    return attested
