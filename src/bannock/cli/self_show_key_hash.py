"""``scone self show-key-hash``: the hash of its key."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser
from bannock.cli.self_options import key_hash
from bannock.cli.state import state_file

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Print the hash of the key of this command, in base58: who it is to a CAS, and what access policies name."""
_EXAMPLES: Final = """\
  export OWNER=$(scone self show-key-hash)"""


def main(arguments: Sequence[str]) -> int:
    """Parse, print."""
    SconeParser("self show-key-hash", _DESCRIPTION, _EXAMPLES).parse(arguments)
    sys.stdout.write(key_hash(state_file(os.environ)))
    return 0
