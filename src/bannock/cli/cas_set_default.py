"""``scone cas set-default``: choose the CAS that is used where none is named."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser
from bannock.cli.state import state_file

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Make a CAS that was attested the one that commands use where none is named."""
_EXAMPLES: Final = """\
  scone cas set-default cas.example.com"""


def main(arguments: Sequence[str]) -> int:
    """Parse, change."""
    parser = SconeParser("cas set-default", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("cas", metavar="CAS", help="the address that it was attested at")
    parsed = parser.parse(arguments)
    state_file(os.environ).change(lambda state: replace(state, default_cas=state.find_cas(parsed.cas).name))
    return 0
