"""``scone session check``: check a session file."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser
from bannock.cli.session_options import add_session, prepared, with_newline
from bannock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Check that a session file is in the session language, and print the session with its variables put in. All that is
wrong is told at once, with line and column, on standard error; the exit code is not 0 then. No CAS is asked."""
_EXAMPLES: Final = """\
  scone session check session.yml
  scone session check -e MRENCLAVE=$(SCONE_HASH=1 bannock run -- /app) session.yml
  scone session check --use-env --fail-on-warning session.yml > /dev/null"""


def main(arguments: Sequence[str]) -> int:
    """Parse, check, print the session."""
    parser = SconeParser("session check", _DESCRIPTION, _EXAMPLES)
    add_session(parser)
    parsed = parser.parse(arguments)
    session = prepared(parsed)
    if session.session is None:
        raise InputError(f"{parsed.file} is encrypted: only the CAS that it is for can tell what it says")
    sys.stdout.write(with_newline(session.document))
    return 0
