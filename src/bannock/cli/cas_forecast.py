"""``scone cas forecast``: when services would stop attesting, and why."""

from __future__ import annotations

import datetime as dt
import json
import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser, add_cas, cas_of
from bannock.cli.forecast_text import forecast_lines, replay_lines
from bannock.cli.session_options import variables_of
from bannock.errors import DeniedError, InputError
from bannock.policy.signing import Form
from bannock.remote.collateral import get_forecast, replay_session
from bannock.remote.session_file import open_signed, prepare, read_session_file

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["DAYS_MAX", "days_of", "main"]

DAYS_MAX: Final = 36_500
_DESCRIPTION: Final = """\
Tell for every service on every machine when it would stop attesting, and why: collateral of a vendor or a certificate
that ends, a recovery that says that its platform is out of date, a session that does not accept it any more. The CAS
judges the last evidence of each again, by what is known now. Only its owner can ask."""
_EXAMPLES: Final = """\
  scone cas forecast --days 14
      what has to be done within two weeks
  scone cas forecast --session stricter.yml -e MRENCLAVE=$MRENCLAVE
      12 of 340 would stop, and why
  scone cas forecast --json | jq -r '.outlooks[] | select(.stopped) | .session'
      sessions that would be refused already"""


def main(arguments: Sequence[str]) -> int:
    """Parse, ask, print."""
    parser = SconeParser("cas forecast", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("--days", metavar="DAYS", help="only what would stop within so many days")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument(
        "--session", metavar="FILE", help="tell what this version of a session would change (exit code 30: some stop)"
    )
    parser.add_argument(
        "-e", action="append", default=[], dest="variables", metavar="VAR=VALUE", help="of its template"
    )
    parser.add_argument("--use-env", action="store_true", help="take variables from the environment, too")
    add_cas(parser)
    parsed = parser.parse(arguments)
    days = days_of(parsed.days)
    if parsed.session is not None:
        return _replay(parsed)
    with cas_of(parsed) as cas:
        found = get_forecast(cas, days=days)
    if parsed.json:
        sys.stdout.write(f"{json.dumps(found, indent=2)}\n")
        return 0
    lines = forecast_lines(found["outlooks"], dt.datetime.fromisoformat(found["at"]), days=days)
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


def _replay(parsed: argparse.Namespace) -> int:
    file = read_session_file(parsed.session)
    document, _ = open_signed(file) if file.form is Form.SIGNED else prepare(file, variables_of(parsed))
    with cas_of(parsed) as cas:
        found = replay_session(cas, document)
    lines = [json.dumps(found, indent=2)] if parsed.json else replay_lines(found)
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return DeniedError.exit_code if found["stops"] else 0


def days_of(text: str | None) -> int | None:
    """Read a number of days.

    Raises:
        InputError: it is none.
    """
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and int(text) <= DAYS_MAX):
        raise InputError(f"--days is a number from 0 to {DAYS_MAX}, found {text[:40]!r}")
    return int(text)
