"""``scone cas attest-audit-log``: verify an audit log, and the attestation reports in it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

from bannock.cli.attest_options import (
    ACCEPTED_HELP,
    add_expectations,
    endorsements_of,
    expectations,
    verification_time,
)
from bannock.cli.audit_log_options import EXIT_CODES, add_log, log_check, tell
from bannock.cli.cas_options import SconeParser
from bannock.evidence.cas_verifier import verify_cas_evidence

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = f"""\
Do what verify-audit-log does, and check too that the log has an attestation report for each key that it is signed by:
evidence that the key is one of a CAS that can be trusted.

{ACCEPTED_HELP}

{EXIT_CODES}"""
_EXAMPLES: Final = """\
  scone cas attest-audit-log cas_audit.log --mrenclave 0a7f2f03e98a63656868a7083aa110210d244740fa73fa455130a1f926398e9e
  scone cas attest-audit-log cas_audit.log -GCS --only_for_testing-debug"""


def main(arguments: Sequence[str]) -> int:
    """Parse, verify, print."""
    parser = SconeParser("cas attest-audit-log", _DESCRIPTION, _EXAMPLES)
    add_log(parser)
    add_expectations(parser)
    parsed = parser.parse(arguments)
    expected = expectations(parsed)
    endorsements = endorsements_of(parsed, dt.datetime.now(dt.UTC))
    fixed = None
    if parsed.verification_time is not None:
        fixed = verification_time(parsed.verification_time, dt.datetime.now(dt.UTC))

    def appraise(evidence: bytes, *, report_data: bytes, at: dt.datetime) -> None:
        verify_cas_evidence(evidence, expected, report_data=report_data, at=fixed or at, endorsements=endorsements)

    with log_check(parsed, appraise) as check:
        return tell(check.verdict(), with_log=parsed.print_log, in_json=parsed.as_json)
