"""``scone session calculate-hash``: the hash of a session file."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser, add_identity
from bannock.cli.session_options import add_session, prepared
from bannock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Print the hash of a session, as a CAS will give it, without asking one. It covers all that the session says, after its
variables are put in; layout, comments and the order of keys do not change it, and neither does who uploads it."""
_EXAMPLES: Final = """\
  scone session calculate-hash session.yml
  scone session calculate-hash -e VERSION=7 --name my-company/app session.yml"""


def main(arguments: Sequence[str]) -> int:
    """Parse, calculate, print."""
    parser = SconeParser("session calculate-hash", _DESCRIPTION, _EXAMPLES)
    add_session(parser)
    add_identity(parser)
    parser.add_argument(
        "--with-self-as-creator",
        choices=("tls", "signer"),
        metavar="IDENTITY",
        help="tls or signer; accepted and of no effect, because the creator is no part of the hash",
    )
    parsed = parser.parse(arguments)
    session = prepared(parsed).session
    if session is None:
        raise InputError(f"{parsed.file} is encrypted: only the CAS that it is for can tell its hash")
    sys.stdout.write(f"{session.digest}\n")
    return 0
