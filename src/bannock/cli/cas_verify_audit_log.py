"""``scone cas verify-audit-log``: verify an audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bannock.cli.audit_log_options import EXIT_CODES, add_log, log_check, tell
from bannock.cli.cas_options import SconeParser

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = f"""\
Verify that an audit log is authentic and whole, and ask its CAS whether it was rolled back since. Only the owner of
the CAS gets an answer there. What is found goes to standard error.

{EXIT_CODES}"""
_EXAMPLES: Final = """\
  scone cas verify-audit-log /var/log/cas/audit/cas_audit.log -p
  scone cas verify-audit-log cas_audit.log.1 --predecessor 22a4543d69de… --last 863d7fb739c9…
      a file that was rotated: the last signature of the one before, the first predecessor of the one after"""


def main(arguments: Sequence[str]) -> int:
    """Parse, verify, print."""
    parser = SconeParser("cas verify-audit-log", _DESCRIPTION, _EXAMPLES)
    add_log(parser)
    parsed = parser.parse(arguments)
    with log_check(parsed) as check:
        return tell(check.verdict(), with_log=parsed.print_log, in_json=parsed.as_json)
