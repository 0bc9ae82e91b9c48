"""``scone self show-certificate``: its certificate."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser
from bannock.cli.self_options import certificate
from bannock.cli.state import state_file

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Print the certificate of this command in PEM, the form in which an access policy may name it."""
_EXAMPLES: Final = """\
  scone self show-certificate > me.crt"""


def main(arguments: Sequence[str]) -> int:
    """Parse, print."""
    SconeParser("self show-certificate", _DESCRIPTION, _EXAMPLES).parse(arguments)
    sys.stdout.write(certificate(state_file(os.environ)))
    return 0
