"""``scone version``: the version of this command."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from bannock import __version__
from bannock.cli.cas_options import SconeParser

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = "Print the version of this command; that of a CAS is told by `scone cas version`."
_EXAMPLES: Final = """\
  scone version"""


def main(arguments: Sequence[str]) -> int:
    """Parse, print."""
    SconeParser("version", _DESCRIPTION, _EXAMPLES).parse(arguments)
    sys.stdout.write(f"scone {__version__}\n")
    return 0
