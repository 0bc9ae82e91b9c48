"""``scone session create``: upload a session."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser, add_cas
from bannock.cli.session_exchange import upload
from bannock.cli.session_options import add_session, prepared

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Upload a session to a CAS and print its hash. A session that is there already is only replaced if the file names the
hash of its newest version as `predecessor`; `scone session update` looks that up by itself."""
_EXAMPLES: Final = """\
  scone session create session.yml
  HASH=$(scone session create --use-env -e MRENCLAVE=$MRENCLAVE session.yml)
  scone session create --cas cas.example.com --name my-company/app session.yml"""


def main(arguments: Sequence[str]) -> int:
    """Parse, upload, print the hash."""
    parser = SconeParser("session create", _DESCRIPTION, _EXAMPLES)
    add_session(parser)
    add_cas(parser)
    parsed = parser.parse(arguments)
    sys.stdout.write(f"{upload(parsed, prepared(parsed))}\n")
    return 0
