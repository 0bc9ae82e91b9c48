"""``scone session read``: print a session of a CAS."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser, add_cas, cas_of
from bannock.cli.session_options import with_newline

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Print a session as its CAS has it. The access policy of the session decides who may read it. That the answer is the
session which its hash names is checked."""
_EXAMPLES: Final = """\
  scone session read my-company/app > session.yml
  scone session read my-company/app --hash 62d6d7f3a3bb8bd4bb8b7bd0c54f1d1b4b2c6a1a2d2a5f6e0b6f8d5d0a6b9c1e"""


def main(arguments: Sequence[str]) -> int:
    """Parse, read, print."""
    parser = SconeParser("session read", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("name", metavar="NAME", help="the name of the session, with its namespace")
    parser.add_argument("--hash", dest="digest", metavar="HASH", help="an older version, instead of the one in force")
    add_cas(parser)
    parsed = parser.parse(arguments)
    with cas_of(parsed) as cas:
        sys.stdout.write(with_newline(cas.read_session(parsed.name, parsed.digest).text))
    return 0
