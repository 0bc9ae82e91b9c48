"""``scone self show``: who this command is."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser
from bannock.cli.self_options import description
from bannock.cli.state import state_file

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Print the certificate of this command, the hash of its key, and the key that it signs sessions with. They are made when
they are needed for the first time, and kept in ~/.cas/config.json, which nobody else may see."""
_EXAMPLES: Final = """\
  scone self show"""


def main(arguments: Sequence[str]) -> int:
    """Parse, print."""
    SconeParser("self show", _DESCRIPTION, _EXAMPLES).parse(arguments)
    sys.stdout.write(description(state_file(os.environ)))
    return 0
