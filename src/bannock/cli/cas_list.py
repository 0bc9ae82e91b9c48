"""``scone cas list``: the CASes that were attested."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser
from bannock.cli.state import state_file
from bannock.net.address import Address

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
List the CASes that were attested: name, URL, key hash, when, and on which platform; a star marks the default one.
Nobody is asked."""
_EXAMPLES: Final = """\
  scone cas list"""


def main(arguments: Sequence[str]) -> int:
    """Parse, print a line for each."""
    SconeParser("cas list", _DESCRIPTION, _EXAMPLES).parse(arguments)
    state = state_file(os.environ).read()
    for name, known in sorted(state.cas.items()):
        mark = "*" if name == state.default_cas else " "
        url = f"https://{Address(known.host, known.port)}/"
        platform = f"  platform {known.platform}" if known.platform else ""
        sys.stdout.write(f"{mark} {name}  {url}  {known.key_hash}  attested {known.attested}{platform}\n")
    return 0
