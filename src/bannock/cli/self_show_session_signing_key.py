"""``scone self show-session-signing-key``: its session signing key."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser
from bannock.cli.self_options import signing_key
from bannock.cli.state import state_file

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Print the public key that this command signs sessions with (PEM), which an access policy names as `signer`."""
_EXAMPLES: Final = """\
  VOTER=$(scone self show-session-signing-key) scone session create --use-env session.yml"""


def main(arguments: Sequence[str]) -> int:
    """Parse, print."""
    SconeParser("self show-session-signing-key", _DESCRIPTION, _EXAMPLES).parse(arguments)
    sys.stdout.write(signing_key(state_file(os.environ)))
    return 0
