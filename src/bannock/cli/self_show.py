"""``scone self show``: who this command is."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser
from bannock.cli.options import add_json, as_json
from bannock.cli.self_options import description, document
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
    parser = SconeParser("self show", _DESCRIPTION, _EXAMPLES)
    add_json(parser, "it")
    parsed = parser.parse(arguments)
    state = state_file(os.environ)
    sys.stdout.write(as_json(document(state)) if parsed.as_json else description(state))
    return 0
