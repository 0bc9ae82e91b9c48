"""``scone cas version``: which version of its software a CAS runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser, add_cas, cas_of
from bannock.errors import PeerError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Ask a CAS for the version of its software. What it says is its own word; `scone cas attest` verifies what runs."""
_EXAMPLES: Final = """\
  scone cas version
  scone cas version --cas cas.example.com"""


def main(arguments: Sequence[str]) -> int:
    """Parse, ask, print."""
    parser = SconeParser("cas version", _DESCRIPTION, _EXAMPLES)
    add_cas(parser)
    with cas_of(parser.parse(arguments)) as cas:
        statement = cas.request_json("GET", "/v1/attest").get("statement")
    version = statement.get("version") if isinstance(statement, dict) else None
    if not isinstance(version, str) or not version.isprintable():
        raise PeerError("the CAS does not tell its version")
    sys.stdout.write(f"{version}\n")
    return 0
